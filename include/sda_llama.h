/*
 * sda_llama.h: lends a host's own llama.cpp to libsda.
 *
 * libsda links no llama.cpp and knows none of its structs. It calls the host's through `sda_host`, a
 * table of functions that this header fills. Everything here is compiled in the host's translation
 * unit, against the llama.h that the host builds with, so a mismatch of versions is a compile error
 * and never a crash. It works with static and with shared llama.cpp, in C99 and in C++.
 *
 *     #include "llama.h"        // any way you like; without it this header includes <llama.h>
 *     #include "sda_llama.h"
 *
 *     sda_host host;
 *     sda_llama_host(&host);    // the table may live on the stack: libsda copies it
 *     sda_pair_new(&host, ctx, ...);
 *
 * llama.cpp versions
 * ------------------
 * From b4500 (January 2025) to today; older ones back to b3750 (September 2024) are tested, too. llama.h
 * has no version number, so the names to use are chosen by macros that come and go in it.
 * SDA_LLAMA_API, the month in which a name came, overrides the choice:
 *
 *     -DSDA_LLAMA_API=   llama.cpp of         what changed                   chosen automatically
 *     202409             2024-09 to 2024-12   (functions take the model)     no
 *     202501             2025-01 to 2025-03   llama_vocab                    no
 *     202503             2025-03 to 2025-06   llama_kv_self_seq_*            before 2025-08
 *     202506             2025-06 to 2025-07   llama_memory_seq_*             no
 *     202507             2025-07 to 2025-08   kv_unified                     no
 *     202508             2025-08 to 2025-10   flash_attn_type                2025-08 to 2025-10
 *     202511             2025-11 to today     llama_n_ctx_seq                from 2025-11
 *
 * A wrong choice does not compile. If the compiler does not know `llama_kv_self_seq_rm`, or calls it
 * deprecated, look which of the functions your llama.h has and pass that line's number.
 *
 * Changing the table
 * ------------------
 * Any field may be replaced between sda_llama_host() and the first use. Two are worth a thought:
 *
 *  - `context_new` makes the second context of a drop-in sampler. sda_llama_context_new() copies what
 *    llama.h lets one ask a context for: length, batch sizes, threads. A host that sets anything else
 *    (type of the KV cache, flash attention, RoPE scaling, offloading, LoRA adapters, control vectors)
 *    writes its own function, which makes a context the way the host makes its first one.
 *  - `log` gets a line when the library had to leave the candidates of a step alone. By default the
 *    line goes to stderr, as llama.cpp's own do; NULL keeps quiet; sda_sampler_status() still reports it.
 *
 * Threads: the functions hold no state. libsda calls them on the thread that called libsda.
 */
#ifndef SDA_LLAMA_H
#define SDA_LLAMA_H

#include <stdio.h>
#include <string.h>

#ifndef LLAMA_H
#include <llama.h>
#endif
#include "sda.h"

#ifndef SDA_LLAMA_API
#if defined(GGML_ROPE_TYPE_IMROPE) || !defined(GGML_KQ_MASK_PAD)
#define SDA_LLAMA_API 202511
#elif defined(LLAMA_STATE_SEQ_FLAGS_SWA_ONLY)
#define SDA_LLAMA_API 202508
#else
#define SDA_LLAMA_API 202503
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Rows that sda_llama_decode() puts on the stack; a larger batch is allocated for the call. A step takes
 * two rows for each pair. */
#define SDA_LLAMA_STACK_ROWS 64

/* llama_decode of `n_rows` rows. Returns what llama_decode returns, -1 for no rows. */
static inline int32_t sda_llama_decode(struct llama_context *ctx, const sda_row *rows, size_t n_rows) {
    llama_token token[SDA_LLAMA_STACK_ROWS];
    llama_pos pos[SDA_LLAMA_STACK_ROWS];
    int32_t n_seq_id[SDA_LLAMA_STACK_ROWS];
    llama_seq_id seq[SDA_LLAMA_STACK_ROWS];
    llama_seq_id *seq_id[SDA_LLAMA_STACK_ROWS];
    int8_t logits[SDA_LLAMA_STACK_ROWS];
    const int on_stack = n_rows <= SDA_LLAMA_STACK_ROWS;
    struct llama_batch batch;
    int32_t result;
    size_t i;

    if (n_rows == 0 || n_rows > INT32_MAX) {
        return -1;
    }
    if (on_stack) {
        memset(&batch, 0, sizeof batch);
        batch.token = token;
        batch.pos = pos;
        batch.n_seq_id = n_seq_id;
        batch.seq_id = seq_id;
        batch.logits = logits;
        for (i = 0; i < n_rows; i++) {
            seq_id[i] = &seq[i];
        }
    } else {
        batch = llama_batch_init((int32_t)n_rows, 0, 1);
    }
    for (i = 0; i < n_rows; i++) {
        batch.token[i] = rows[i].token;
        batch.pos[i] = rows[i].pos;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = rows[i].seq;
        batch.logits[i] = rows[i].wants_logits != 0;
    }
    batch.n_tokens = (int32_t)n_rows;
    result = llama_decode(ctx, batch);
    if (!on_stack) {
        llama_batch_free(batch);
    }
    return result;
}

/* Logits of row `i` of the last decode. */
static inline const float *sda_llama_get_logits_ith(struct llama_context *ctx, int32_t i) {
    return llama_get_logits_ith(ctx, i);
}

/* Copies positions [p0, p1) of a sequence. Where the context has one KV buffer for all sequences
 * (kv_unified, and every llama.cpp before July 2025) nothing is copied, the cells are shared. */
static inline void sda_llama_seq_cp(struct llama_context *ctx, int32_t src, int32_t dst, int32_t p0,
                                    int32_t p1) {
#if SDA_LLAMA_API >= 202506
    llama_memory_seq_cp(llama_get_memory(ctx), src, dst, p0, p1);
#elif SDA_LLAMA_API >= 202503
    llama_kv_self_seq_cp(ctx, src, dst, p0, p1);
#else
    llama_kv_cache_seq_cp(ctx, src, dst, p0, p1);
#endif
}

/* Drops positions [p0, p1) of a sequence; 0 if this memory cannot drop a part. */
static inline int32_t sda_llama_seq_rm(struct llama_context *ctx, int32_t seq, int32_t p0, int32_t p1) {
#if SDA_LLAMA_API >= 202506
    return llama_memory_seq_rm(llama_get_memory(ctx), seq, p0, p1);
#elif SDA_LLAMA_API >= 202503
    return llama_kv_self_seq_rm(ctx, seq, p0, p1);
#else
    return llama_kv_cache_seq_rm(ctx, seq, p0, p1);
#endif
}

#if SDA_LLAMA_API >= 202506
/* Smallest position still held of a sequence, -1 if none. Not in the table of earlier versions, since
 * not all of them can report it. */
static inline int32_t sda_llama_seq_pos_min(struct llama_context *ctx, int32_t seq) {
    return llama_memory_seq_pos_min(llama_get_memory(ctx), seq);
}
#endif

/* Tokens in the vocabulary. */
static inline int32_t sda_llama_n_vocab(struct llama_context *ctx) {
#if SDA_LLAMA_API >= 202501
    return llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(ctx)));
#else
    return llama_n_vocab(llama_get_model(ctx));
#endif
}

/* KV cells of the whole context. */
static inline uint32_t sda_llama_n_ctx(struct llama_context *ctx) {
    return llama_n_ctx(ctx);
}

/* The most tokens that one sequence can hold. From July to October 2025 a context did not report whether
 * its sequences share one KV buffer; separate buffers, its default, are assumed. If yours is unified,
 * say so with `host.n_ctx_seq = sda_llama_n_ctx` and they can be as long as the context. */
static inline uint32_t sda_llama_n_ctx_seq(struct llama_context *ctx) {
#if SDA_LLAMA_API >= 202511
    return llama_n_ctx_seq(ctx);
#elif SDA_LLAMA_API >= 202507
    return llama_n_ctx(ctx) / llama_n_seq_max(ctx);
#else
    return llama_n_ctx(ctx);
#endif
}

/* The most rows of one decode. */
static inline uint32_t sda_llama_n_batch(struct llama_context *ctx) {
    return llama_n_batch(ctx);
}

/* Sequence ids are below it. */
static inline uint32_t sda_llama_n_seq_max(struct llama_context *ctx) {
    return llama_n_seq_max(ctx);
}

/* A second context of the same model with one sequence, for a drop-in sampler; NULL if there is no
 * memory for it. See "Changing the table" above for what it does not copy. */
static inline struct llama_context *sda_llama_context_new(struct llama_context *ctx) {
    struct llama_context_params params = llama_context_default_params();

    params.n_ctx = sda_llama_n_ctx_seq(ctx);
    params.n_batch = llama_n_batch(ctx);
    params.n_ubatch = llama_n_ubatch(ctx);
    params.n_seq_max = 1;
    params.n_threads = llama_n_threads(ctx);
    params.n_threads_batch = llama_n_threads_batch(ctx);
    params.no_perf = true;
    /* A model is const to a reader of the context, but a new context may be made of it. */
#if SDA_LLAMA_API >= 202501
    return llama_init_from_model((struct llama_model *)llama_get_model(ctx), params);
#else
    return llama_new_context_with_model((struct llama_model *)llama_get_model(ctx), params);
#endif
}

/* Frees what sda_llama_context_new() made. */
static inline void sda_llama_context_free(struct llama_context *ctx) {
    llama_free(ctx);
}

/* A llama_sampler around libsda's callbacks. llama_sampler_init came later than samplers did and has
 * changed since; so a stock sampler is made, which allocates the object the way llama_sampler_free()
 * will free it, and is then given other contents. */
static inline struct llama_sampler *sda_llama_sampler_new(const void *iface, void *data) {
    struct llama_sampler *sampler = llama_sampler_init_greedy();

    if (sampler == NULL) {
        return NULL;
    }
    if (sampler->iface->free != NULL) {
        sampler->iface->free(sampler);
    }
    sampler->iface = (struct llama_sampler_i *)iface;
    sampler->ctx = data;
    return sampler;
}

/* Prints a message of the library to stderr. */
static inline void sda_llama_log(int32_t level, const char *text, void *log_data) {
    (void)level;
    (void)log_data;
    fprintf(stderr, "%s\n", text);
}

/* Changes the settings of a context to what `n_pairs` pairs need; `n_ctx` should hold both prompts and
 * twice the answer.
 *
 *  - Two sequences for each pair.
 *  - One KV buffer for all sequences, so that what two prompts begin with is computed and kept once.
 *  - All cells of sliding-window layers, llama.h's own default: such a layer never frees a cell that two
 *    sequences share, and would run out of room after a long common beginning.
 *  - Flash attention where it is not the default yet. Without it, and with one buffer, llama.cpp's sums
 *    depend on where the other sequences' cells lie: 0.1 in the average logit of a 135M model in Q4_1,
 *    which steering amplifies. With it both rows are what each would be in a context of its own. */
static inline void sda_llama_pair_params(struct llama_context_params *params, uint32_t n_pairs) {
    params->n_seq_max = 2 * n_pairs;
#if SDA_LLAMA_API >= 202507
    params->kv_unified = true;
    params->swa_full = true;
#endif
#if SDA_LLAMA_API < 202508
    params->flash_attn = true;
#endif
}

/* Fills `host` with the functions above. */
static inline void sda_llama_host(sda_host *host) {
    memset(host, 0, sizeof *host);
    host->struct_size = sizeof *host;
    host->decode = sda_llama_decode;
    host->get_logits_ith = sda_llama_get_logits_ith;
    host->seq_cp = sda_llama_seq_cp;
    host->seq_rm = sda_llama_seq_rm;
#if SDA_LLAMA_API >= 202506
    host->seq_pos_min = sda_llama_seq_pos_min;
#endif
    host->n_vocab = sda_llama_n_vocab;
    host->n_ctx = sda_llama_n_ctx;
    host->n_ctx_seq = sda_llama_n_ctx_seq;
    host->n_batch = sda_llama_n_batch;
    host->n_seq_max = sda_llama_n_seq_max;
    host->context_new = sda_llama_context_new;
    host->context_free = sda_llama_context_free;
    host->sampler_new = sda_llama_sampler_new;
    host->log = sda_llama_log;
}

#ifdef __cplusplus
}
#endif

#endif /* SDA_LLAMA_H */
