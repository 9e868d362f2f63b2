/* A small host, for C and C++: every sequence is a list of tokens, logits are made from its last two and its length. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sda.h"

enum { VOCAB = 67, SEQS = 4, CELLS = 64, BATCH = 8 };

struct llama_context {
    int32_t tokens[SEQS][CELLS];
    int length[SEQS];
    float logits[BATCH][VOCAB];
    int contexts;
    int rows;
};

struct llama_sampler {
    const void *iface;
    void *ctx;
};

/* llama.h's, which the library knows by layout. */
typedef struct {
    int32_t id;
    float logit;
    float p;
} candidate;

struct llama_token_data_array {
    candidate *data;
    size_t size;
    int64_t selected;
    bool sorted;
};

static void toy_logits(const int32_t *tokens, int length, float *logits) {
    uint32_t last = (uint32_t)tokens[length - 1];
    uint32_t before = length > 1 ? (uint32_t)tokens[length - 2] : 99;
    uint32_t state = last * 2654435761u ^ before * 40503u ^ (uint32_t)length * 97u;
    for (int i = 0; i < VOCAB; i++) {
        state = state * 1664525u + 1013904223u;
        logits[i] = (float)(state >> 20) / 512.0f - 4.0f;
    }
}

static int32_t host_decode(struct llama_context *ctx, const sda_row *rows, size_t n_rows) {
    if (n_rows > BATCH) {
        return -1;
    }
    for (size_t i = 0; i < n_rows; i++) {
        int seq = rows[i].seq;
        if (rows[i].pos != ctx->length[seq] || rows[i].pos >= CELLS) {
            return -1;
        }
        ctx->tokens[seq][ctx->length[seq]++] = rows[i].token;
        ctx->rows++;
        if (rows[i].wants_logits) {
            toy_logits(ctx->tokens[seq], ctx->length[seq], ctx->logits[i]);
        }
    }
    return 0;
}

static const float *host_logits(struct llama_context *ctx, int32_t i) {
    return i >= 0 && i < BATCH ? ctx->logits[i] : NULL;
}

static void host_seq_cp(struct llama_context *ctx, int32_t src, int32_t dst, int32_t p0, int32_t p1) {
    int from = p0 < 0 ? 0 : p0;
    int to = p1 < 0 || p1 > ctx->length[src] ? ctx->length[src] : p1;
    for (int i = from; i < to; i++) {
        ctx->tokens[dst][i] = ctx->tokens[src][i];
    }
    ctx->length[dst] = to;
}

static int32_t host_seq_rm(struct llama_context *ctx, int32_t seq, int32_t p0, int32_t p1) {
    (void)p1;
    if (ctx->length[seq] > (p0 < 0 ? 0 : p0)) {
        ctx->length[seq] = p0 < 0 ? 0 : p0;
    }
    return 1;
}

static int32_t host_n_vocab(struct llama_context *ctx) { return (void)ctx, VOCAB; }
static uint32_t host_n_ctx(struct llama_context *ctx) { return (void)ctx, CELLS; }
static uint32_t host_n_batch(struct llama_context *ctx) { return (void)ctx, BATCH; }
static uint32_t host_n_seq_max(struct llama_context *ctx) { return (void)ctx, SEQS; }

static int siblings;

static struct llama_context *host_context_new(struct llama_context *ctx) {
    (void)ctx;
    siblings++;
    return (struct llama_context *)calloc(1, sizeof(struct llama_context));
}

static void host_context_free(struct llama_context *ctx) {
    siblings--;
    free(ctx);
}

static struct llama_sampler *host_sampler_new(const void *iface, void *data) {
    struct llama_sampler *sampler = (struct llama_sampler *)malloc(sizeof *sampler);
    if (sampler) {
        sampler->iface = iface;
        sampler->ctx = data;
    }
    return sampler;
}

/* The first six callbacks of every llama_sampler_i. */
typedef struct {
    const char *(*name)(const struct llama_sampler *);
    void (*accept)(struct llama_sampler *, int32_t);
    void (*apply)(struct llama_sampler *, struct llama_token_data_array *);
    void (*reset)(struct llama_sampler *);
    struct llama_sampler *(*clone)(const struct llama_sampler *);
    void (*free)(struct llama_sampler *);
} sampler_i;

static inline const sampler_i *iface_of(const struct llama_sampler *sampler) {
    return (const sampler_i *)sampler->iface;
}

static inline void sampler_free(struct llama_sampler *sampler) {
    iface_of(sampler)->free(sampler);
    free(sampler);
}

static inline struct llama_token_data_array fill(candidate *data, const float *logits) {
    struct llama_token_data_array array = {data, VOCAB, -1, 0};
    for (int i = 0; i < VOCAB; i++) {
        data[i].id = i;
        data[i].logit = logits[i];
        data[i].p = 0.0f;
    }
    return array;
}

static inline int32_t best(const struct llama_token_data_array *array) {
    int32_t at = 0;
    for (size_t i = 1; i < array->size; i++) {
        at = array->data[i].logit > array->data[at].logit ? (int32_t)i : at;
    }
    return array->data[at].id;
}

static inline sda_host host_table(void) {
    sda_host host;
    memset(&host, 0, sizeof host);
    host.struct_size = sizeof host;
    host.decode = host_decode;
    host.get_logits_ith = host_logits;
    host.seq_cp = host_seq_cp;
    host.seq_rm = host_seq_rm;
    host.n_vocab = host_n_vocab;
    host.n_ctx = host_n_ctx;
    host.n_batch = host_n_batch;
    host.n_seq_max = host_n_seq_max;
    host.context_new = host_context_new;
    host.context_free = host_context_free;
    host.sampler_new = host_sampler_new;
    return host;
}

#endif
