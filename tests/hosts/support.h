/* What the tests in behaviour.c are made of: prompts, contexts, pairs, chains, answers. */
#ifndef SDA_TEST_SUPPORT_H
#define SDA_TEST_SUPPORT_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama.h"
#include "sda_llama.h"

#define N_STEPS 12
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

struct prompt {
    llama_token tokens[256];
    int32_t n;
};

static struct llama_model *model;
static const struct llama_vocab *vocab;
static struct prompt plain, story, poem;
static int n_logged;

static void log_errors(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

static void count_log(int32_t level, const char *text, void *count) {
    CHECK(level == 3 && strstr(text, "sda") == text);
    ++*(int *)count;
}

static struct prompt tokenize(const char *instruction) {
    struct prompt prompt;
    char text[512];
    int32_t n;

    n = snprintf(text, sizeof text,
                 "<|im_start|>user\nWhat does a computer do?%s<|im_end|>\n<|im_start|>assistant\n",
                 instruction);
    CHECK(n > 0 && n < (int32_t)sizeof text);
    prompt.n = llama_tokenize(vocab, text, n, prompt.tokens, 256, true, true);
    CHECK(prompt.n > 0);
    return prompt;
}

static sda_host new_host(void) {
    sda_host host;

    sda_llama_host(&host);
#if SDA_LLAMA_API >= 202507 && SDA_LLAMA_API < 202511
    host.n_ctx_seq = sda_llama_n_ctx; /* as sda_llama.h says, for a context with kv_unified */
#endif
    host.log = count_log;
    host.log_data = &n_logged;
    return host;
}

static struct llama_context *new_context(uint32_t n_ctx, uint32_t n_pairs) {
    struct llama_context_params params = llama_context_default_params();
    struct llama_context *ctx;

    params.n_ctx = n_ctx;
    sda_llama_pair_params(&params, n_pairs);
    params.n_seq_max += 1; /* one for the host */
    ctx = llama_init_from_model(model, params);
    CHECK(ctx != NULL);
    return ctx;
}

static sda_pair *new_pair(struct llama_context *ctx, int32_t seq, const struct prompt *instructed) {
    const sda_host host = new_host();
    sda_pair *pair = NULL;

    CHECK(sda_pair_new(&host, ctx, seq, seq + 1, NULL, 0, &pair) == SDA_OK);
    CHECK(sda_pair_prefill(pair, plain.tokens, (size_t)plain.n, instructed->tokens, (size_t)instructed->n,
                           NULL) == SDA_OK);
    return pair;
}

/* Default settings. The chains below end with the most likely token, so every answer is determined. */
static sda_params new_params(float amplification) {
    sda_params params;

    CHECK(sda_params_init(&params, sizeof params) == SDA_OK);
    params.amplification = amplification;
    return params;
}

static sda_sampler *new_sampler(sda_pair *pair, float amplification) {
    const sda_params params = new_params(amplification);
    sda_sampler *sampler = NULL;

    CHECK(sda_sampler_new_paired(pair, &params, NULL, 0, &sampler) == SDA_OK);
    return sampler;
}

static struct llama_sampler *to_llama(const sda_sampler *sampler) {
    struct llama_sampler *out = NULL;

    CHECK(sda_sampler_to_llama(sampler, &out) == SDA_OK && out != NULL);
    return out;
}

/* A chain of `first`, which may be NULL, the sampler, `then`, which may be NULL, and the most likely token.
 */
static struct llama_sampler *new_chain(struct llama_sampler *first, const sda_sampler *sampler,
                                       struct llama_sampler *then) {
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());

    if (first != NULL) {
        llama_sampler_chain_add(chain, first);
    }
    llama_sampler_chain_add(chain, to_llama(sampler));
    if (then != NULL) {
        llama_sampler_chain_add(chain, then);
    }
    llama_sampler_chain_add(chain, llama_sampler_init_greedy());
    return chain;
}

static llama_token sample(struct llama_sampler *chain, struct llama_context *ctx, sda_pair *pair) {
    int32_t row;

    CHECK(sda_pair_row(pair, SDA_SIDE_INSTRUCTED, &row) == SDA_OK);
    return llama_sampler_sample(chain, ctx, row);
}

static void generate(struct llama_sampler *chain, struct llama_context *ctx, sda_pair *pair, llama_token *out,
                     int32_t n) {
    int32_t i;

    for (i = 0; i < n; i++) {
        out[i] = sample(chain, ctx, pair);
        CHECK(sda_pair_step(pair, out[i]) == SDA_OK);
    }
}

static int same(const llama_token *a, const llama_token *b) {
    return memcmp(a, b, N_STEPS * sizeof *a) == 0;
}

static int32_t argmax(const float *row) {
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    int32_t i, best = 0;

    for (i = 1; i < n_vocab; i++) {
        if (row[i] > row[best]) {
            best = i;
        }
    }
    return best;
}

/* The answer of a pair that has its context for itself: what all others are compared with. */
static void alone(const struct prompt *instructed, float amplification, llama_token *out) {
    struct llama_context *ctx = new_context(1024, 1);
    sda_pair *pair = new_pair(ctx, 0, instructed);
    sda_sampler *sampler = new_sampler(pair, amplification);
    struct llama_sampler *chain = new_chain(NULL, sampler, NULL);

    generate(chain, ctx, pair, out, N_STEPS);
    CHECK(sda_sampler_status(sampler) == SDA_OK);
    llama_sampler_free(chain);
    sda_sampler_free(sampler);
    sda_pair_free(pair);
    llama_free(ctx);
}

#endif
