/*
 * sda.h: Steering-Driven Distribution Alignment (SDA) for llama.cpp, the C interface of libsda.
 *
 * A language model runs on two prompts at once: plain (the query) and instructed (the query and an
 * instruction). Each step the instructed distribution is moved further away from the plain one, by an
 * amount that a score of a plain draft decides, and the temperature falls where the two disagree
 * (arXiv 2511.16324).
 *
 * The plugin links no llama.cpp: it calls the host's own, through a table of functions (sda_host) that
 * sda_llama.h fills. This header does not need llama.h, and goes with it in any order.
 *
 * Paired: the library keeps both branches in two sequences of the host's context.
 *
 *   1. sda_llama_host(&host)                      fill the table (sda_llama.h)
 *   2. sda_pair_new(&host, ctx, 0, 1, error, sizeof error, &pair)
 *                                                 take over two sequences
 *   3. sda_pair_prefill(pair, ...)                read both prompts, their common part once
 *   4. sda_params_init(&params, sizeof params)    and set params.amplification, for example with
 *      sda_amplify(SDA_AMPLIFY_SIGMOID, score, &params.amplification)
 *   5. sda_sampler_new_paired(pair, &params, error, sizeof error, &sampler)
 *      sda_sampler_to_llama(sampler, &s) and llama_sampler_chain_add(chain, s), first in the chain
 *   6. each step: sda_pair_row(pair, SDA_SIDE_INSTRUCTED, &row)
 *      token = llama_sampler_sample(chain, ctx, row), sda_sampler_status(sampler),
 *      sda_pair_step(pair, token)
 *
 * With several instructions, each with its weight: sda_pair_new_many() and sda_pair_prefill_many() in 2 and 3,
 * and sda_sampler_set_weights().
 *
 * Drop-in: the host keeps its loop; sda_sampler_new_dropin() in place of 2, 3 and 5, and no step of a
 * pair in 6. Without llama.cpp: sda_steer() on two rows of logits.
 *
 * Engine: for hosts that bring no llama.cpp there is a libsda that has one inside. Define SDA_BUNDLED
 * before this header to see its functions; the plain libsda, which is the plugin, does not have them.
 *
 *   1. sda_model_new("model.gguf", NULL, error, sizeof error, &model)
 *      sda_engine_new(model, NULL, error, sizeof error, &engine)
 *   2. sda_generate_params_init(&params, sizeof params), then set params.prompt, params.instruction and
 *      params.on_text
 *      For a strength by the score of a draft: params.judge = 1. A stronger model scores it if
 *      sda_engine_params.judge_model names one, and sda_engine_score() scores any other text.
 *   3. sda_engine_generate(engine, &params, NULL); any thread may call sda_engine_cancel(engine)
 *   4. sda_engine_free(engine) and sda_model_free(model)
 *
 * Conventions
 *   - Functions that can fail return a status: SDA_OK (0) or a negative SDA_ERR_*. Results go to the
 *     last arguments and are written only on success.
 *   - The text of an error names the argument or field, its value, and what is allowed.
 *     A call on a live handle keeps it there: sda_pair_error(), sda_sampler_error() and sda_engine_error()
 *     return that of the last call that failed.
 *     A call that makes a handle, and sda_judge_*(), which has none, write it to `error`, with room for
 *     `error_size` bytes: cut between characters if need be, always with its final NUL, and left alone
 *     on success. `error` may be NULL.
 *     sda_*_init(), sda_amplify(), sda_steer() and sda_steer_many() have no more to say than their status does:
 *     sda_status_str() has words for it.
 *   - Names: the object, then what is done. _new(), _clone() and _from_llama() make a handle, _free() frees
 *     it; _set_*() changes something that is read by its name; a const handle is not changed.
 *   - NULL is SDA_ERR_NULL where nothing else is said. Freeing NULL does nothing.
 *   - A pointer is NULL or valid for what the function says: arrays hold as many elements as the count
 *     beside them, handles were not freed, and what is read is not changed by another thread meanwhile.
 *   - Handles are made and freed by the library. Each may move between threads but must not be used by
 *     two at once; different handles are independent.
 *   - A struct that begins with `struct_size` can grow: later versions append fields. Set it up with its
 *     _init() and its sizeof, also where the library writes to it; then a program and a library of
 *     different age understand each other. The other structs stay as they are.
 *   - The library never panics or aborts into its host, and writes to no stream. The table's log function
 *     gets a line when a sampler in a chain, which cannot return a status, leaves the candidates alone.
 */


#ifndef SDA_H
#define SDA_H

#include <stddef.h>
#include <stdint.h>

/* The host's own structs; only pointers to them are passed on. */
struct llama_context;
struct llama_sampler;
struct llama_token_data_array;

/*
 Success.
 */
#define SDA_OK 0

/*
 A required pointer was NULL.
 */
#define SDA_ERR_NULL -1

/*
 A setting is outside its range.
 */
#define SDA_ERR_PARAM -2

/*
 Two arrays that must have the same length have not, or one is empty.
 */
#define SDA_ERR_LENGTH -3

/*
 A logit is NaN or +infinity.
 */
#define SDA_ERR_NOT_FINITE -4

/*
 Every token of a branch is masked (-infinity).
 */
#define SDA_ERR_ALL_MASKED -5

/*
 The candidate array does not hold every token of the vocabulary exactly once.
 */
#define SDA_ERR_CANDIDATES -6

/*
 No room is left in the context.
 */
#define SDA_ERR_CONTEXT_FULL -7

/*
 A prompt cannot be used, for example because it is empty.
 */
#define SDA_ERR_PROMPT -8

/*
 A function of the host failed.
 */
#define SDA_ERR_HOST -9

/*
 The call does not fit the object's state, for example logits before any were computed.
 */
#define SDA_ERR_STATE -10

/*
 A panic was caught inside the library; the handle can only be freed.
 */
#define SDA_ERR_PANIC -11

/*
 A struct comes from a version that this library does not understand.
 */
#define SDA_ERR_VERSION -12

/*
 The host asked to stop.
 */
#define SDA_ERR_CANCELLED -13

/*
 A model could not be loaded or lacks what is needed.
 */
#define SDA_ERR_MODEL -14

/*
 A judge gave no usable score.
 */
#define SDA_ERR_JUDGE -15

/*
 A file could not be read or written.
 */
#define SDA_ERR_IO -16

/*
 A text is not UTF-8.
 */
#define SDA_ERR_ENCODING -17

/*
 Version of this header: major number.
 */
#define SDA_VERSION_MAJOR 0

/*
 Version of this header: minor number.
 */
#define SDA_VERSION_MINOR 2

/*
 Version of this header: patch number.
 */
#define SDA_VERSION_PATCH 0

/*
 Version of this header as one number: major * 1000000 + minor * 1000 + patch.
 */
#define SDA_VERSION_NUMBER 2000

/*
 Version of the binary interface that this header describes; the number in the library's SONAME. It
 changes only when a program has to be compiled again.
 */
#define SDA_ABI_VERSION 2

/*
 Both branches, steered.
 */
#define SDA_ARM_STEERED 0

/*
 The instructed prompt alone, without steering.
 */
#define SDA_ARM_INSTRUCTED 1

/*
 The plain prompt alone: the draft that a judge scores.
 */
#define SDA_ARM_PLAIN 2

/*
 a = 2 (sigmoid(100/S - 1) - 1/2), the paper's function (eq. 3).
 */
#define SDA_AMPLIFY_SIGMOID 0

/*
 a = exp(-S/100 - 1)
 */
#define SDA_AMPLIFY_EXP_DECAY_SHIFTED 1

/*
 a = exp(-S/100)
 */
#define SDA_AMPLIFY_EXP_DECAY 2

/*
 a = 100/S
 */
#define SDA_AMPLIFY_INVERSE 3

/*
 a = 1 - 2 S/100, negative above a score of 50.
 */
#define SDA_AMPLIFY_LINEAR_SIGNED 4

/*
 a = 1 - S/100
 */
#define SDA_AMPLIFY_LINEAR 5

/*
 a = cos(pi S/200)
 */
#define SDA_AMPLIFY_COSINE 6

/*
 The most instructions that a step can be steered by.
 */
#define SDA_MOST_INSTRUCTIONS 8

/*
 The branch that sees the query alone.
 */
#define SDA_SIDE_PLAIN 0

/*
 The branch that sees the query and the instruction.
 */
#define SDA_SIDE_INSTRUCTED 1

/*
 The branch that sees the query and the first of several instructions alone; that of the next instruction is
 SDA_SIDE_SINGLE + 1, and so on.
 */
#define SDA_SIDE_SINGLE 2

/*
 Score by the instruction.
 */
#define SDA_DIMENSION_NONE 0

/*
 Score by empathy.
 */
#define SDA_DIMENSION_EMPATHY 1

/*
 Score by harmlessness.
 */
#define SDA_DIMENSION_HARMLESSNESS 2

/*
 Score by helpfulness.
 */
#define SDA_DIMENSION_HELPFULNESS 3

/*
 Score by reasoning.
 */
#define SDA_DIMENSION_REASONING 4

/*
 Score by truthfulness.
 */
#define SDA_DIMENSION_TRUTHFULNESS 5

/*
 The judge is asked for a JSON object {"score": N}.
 */
#define SDA_REPLY_JSON 0

/*
 The judge is asked for a last line SCORE: N.
 */
#define SDA_REPLY_LINE 1

/*
 Without a score: an error.
 */
#define SDA_ON_FAILURE_ERROR 0

/*
 Without a score: the plain answer.
 */
#define SDA_ON_FAILURE_PLAIN 1

/*
 Without a score: the instructed answer, without steering.
 */
#define SDA_ON_FAILURE_INSTRUCTED 2

#if defined(SDA_BUNDLED)
/*
 SDA_PLACEMENT_AFTER, or SDA_PLACEMENT_BEFORE for a model without a chat template.
 */
#define SDA_PLACEMENT_AUTO 0

/*
 The instruction follows the query, in the user's turn.
 */
#define SDA_PLACEMENT_AFTER 1

/*
 The instruction precedes the query, in the user's turn.
 */
#define SDA_PLACEMENT_BEFORE 2

/*
 The instruction stands in the system message.
 */
#define SDA_PLACEMENT_SYSTEM 3

/*
 The model ended its answer.
 */
#define SDA_FINISH_END 0

/*
 The wanted number of tokens is there.
 */
#define SDA_FINISH_LENGTH 1

/*
 A stop text was generated.
 */
#define SDA_FINISH_STOP 2

/*
 The context has no room for another token.
 */
#define SDA_FINISH_CONTEXT_FULL 3

/*
 The callback or sda_engine_cancel() stopped it.
 */
#define SDA_FINISH_CANCELLED 4

/*
 A model's context with everything that steered generation needs.

 May move between threads. Two threads must not use it at once, but for sda_engine_cancel().
 */
typedef struct sda_engine sda_engine;

/*
 A loaded model. Any number of engines may be made from it, in any thread.
 */
typedef struct sda_model sda_model;
#endif

/*
 Two sequences of one llama_context that hold different prompts and the same generated tokens.

 May move between threads; not used by two at once. Neither the pair nor the samplers made from it may
 be used after the context is freed; freeing them then is fine.
 */
typedef struct sda_pair sda_pair;

/*
 Steers one generation: replaces the logits of a candidate array by steered log-probabilities.

 A handle beside the llama_sampler in the host's chain: either may be freed first. May move between
 threads; not used by two at once.
 */
typedef struct sda_sampler sda_sampler;

/*
 Settings of the steering. Set it up with sda_params_init(), then change single fields.

 `struct_size` comes first and tells which fields there are; later versions only append.
 */
typedef struct sda_params {
    /*
     Size of this struct as the caller knows it; sda_params_init() sets it.
     */
    size_t struct_size;
    /*
     Amplification a, from sda_amplify() or chosen by hand. Any finite number. Default 0: the
     instructed distribution as it is.
     */
    float amplification;
    /*
     Gain k on the amplification. Any finite number. Default 2. Guidance scale is 1 + k a.
     */
    float k;
    /*
     Base temperature T0. Any finite number; 0 or less always takes the most likely token. Default 0.6.
     */
    float temperature;
    /*
     Divergence in nats that halves the temperature. Greater than 0; infinity keeps the temperature
     fixed. Default 2 ln 2.
     */
    float sigma;
    /*
     Floor of the temperature. Finite, at least 0. Default 0.
     */
    float t_min;
    /*
     Reserved. Must be 0.
     */
    uint32_t flags;
    /*
     Nucleus that a sampler cuts the candidate array down to: the fewest tokens that hold this much of the
     probability, sorted, so that later samplers of the chain look at a few tokens only. It replaces a
     top-p sampler right behind it. Greater than 0 and at most 1. Default 1: all candidates stay, in their
     order, and a top-p sampler may follow; so they do when the most likely token is taken. sda_steer()
     ignores it.
     */
    float top_p;
    /*
     KL budget of a step in nats: the strength is lowered where the steered distribution would be further than
     this from the instructed one (KL(steered || instructed), before the temperature). At least 0. Default
     infinity: no limit, as in the paper.
     */
    float max_kl;
    /*
     KL budget of an answer in nats a token: at every point of it the steered steps so far have not gone further
     than this on average, and none of them further than ten times this. At least 0. Default infinity: no limit, as
     in the paper. Samplers and engines keep to it; sda_steer() and sda_steer_many() know of no other steps, and
     any other value than infinity is SDA_ERR_PARAM there.
     */
    float mean_kl;
    /*
     Reserved. Must be 0.
     */
    uint32_t reserved;
} sda_params;

/*
 What a step of sda_steer() found out about its two distributions. This struct stays as it is, so that it
 needs no set-up; what later versions add goes into sda_step_info.
 */
typedef struct sda_step {
    /*
     Jensen-Shannon divergence of the two untempered distributions in nats, 0 to ln 2.
     */
    float divergence;
    /*
     Temperature that was applied; 0 if the most likely token was taken.
     */
    float temperature;
} sda_step;

/*
 What a step of a sampler or of sda_steer_many() found out. Set it up with sda_step_info_init().
 */
typedef struct sda_step_info {
    /*
     Size of this struct as the caller knows it; sda_step_info_init() sets it.
     */
    size_t struct_size;
    /*
     Jensen-Shannon divergence of the two untempered distributions in nats, 0 to ln 2.
     */
    float divergence;
    /*
     Temperature that was applied; 0 if the most likely token was taken.
     */
    float temperature;
    /*
     Strength that was applied: k a, or the part of it that max_kl and mean_kl allowed. The guidance scale is 1
     more.
     */
    float gain;
    /*
     What that did: KL(steered || instructed) in nats, before the temperature. NaN where there was no budget or
     no strength.
     */
    float kl;
} sda_step_info;

/*
 What reading a prompt pair cost, in tokens. Set it up with sda_prefill_init().
 */
typedef struct sda_prefill {
    /*
     Size of this struct as the caller knows it; sda_prefill_init() sets it.
     */
    size_t struct_size;
    /*
     Tokens that both prompts begin with, and that are held once for both.
     */
    size_t shared;
    /*
     Tokens that were decoded.
     */
    size_t decoded;
    /*
     Tokens that were in the KV cache from earlier calls.
     */
    size_t reused;
} sda_prefill;

/*
 One row of a batch: a token at a position of one sequence.
 */
typedef struct sda_row {
    /*
     Token id.
     */
    int32_t token;
    /*
     Position in the sequence, from 0.
     */
    int32_t pos;
    /*
     Sequence the token belongs to.
     */
    int32_t seq;
    /*
     Not 0: logits of this row are wanted after the decode.
     */
    int32_t wants_logits;
} sda_row;

/*
 The functions that a host lends to the library.

 Every function gets the context pointer that was given with the table and is called on the thread
 that called into the library. The table is copied, so it may live on the caller's stack; what its
 pointers refer to must outlive every object made with it. Fields are only ever appended;
 `struct_size` tells which exist.
 */
typedef struct sda_host {
    /*
     `sizeof(sda_host)` as the caller knows it.
     */
    size_t struct_size;
    /*
     `llama_decode` of `n_rows` rows in order. Returns what `llama_decode` returned: 0 ok, 1 no room
     in the KV cache, anything else an error. Required.
     */
    int32_t (*decode)(struct llama_context *ctx,
                      const struct sda_row *rows,
                      size_t n_rows);
    /*
     `llama_get_logits_ith`: `n_vocab` logits of row `i` of the last decode, valid until the next
     one; NULL if that row wanted none. Required.
     */
    const float *(*get_logits_ith)(struct llama_context *ctx,
                                   int32_t i);
    /*
     `llama_memory_seq_cp`, positions `[p0, p1)`, negative for an open end. Required.
     */
    void (*seq_cp)(struct llama_context *ctx,
                   int32_t src,
                   int32_t dst,
                   int32_t p0,
                   int32_t p1);
    /*
     `llama_memory_seq_rm`, positions `[p0, p1)`, negative for an open end. Returns 0 if the memory
     cannot drop part of a sequence, else 1. Required.
     */
    int32_t (*seq_rm)(struct llama_context *ctx,
                      int32_t seq,
                      int32_t p0,
                      int32_t p1);
    /*
     `llama_memory_seq_pos_min`: smallest position still held, -1 if none. Optional: without it the
     library takes position 0 to be held always, which is wrong only for sliding-window models that
     rewind. Recurrent models are then told by `seq_rm`, which refuses a part.
     */
    int32_t (*seq_pos_min)(struct llama_context *ctx,
                           int32_t seq);
    /*
     `llama_vocab_n_tokens`. Required.
     */
    int32_t (*n_vocab)(struct llama_context *ctx);
    /*
     `llama_n_ctx`: KV cells of the whole context. Required.
     */
    uint32_t (*n_ctx)(struct llama_context *ctx);
    /*
     `llama_n_ctx_seq`: the most tokens one sequence can hold. Optional; where it is smaller than
     `n_ctx` the context is not `kv_unified` and parts of sequences cannot be shared.
     */
    uint32_t (*n_ctx_seq)(struct llama_context *ctx);
    /*
     `llama_n_batch`: the most rows of one decode. Required.
     */
    uint32_t (*n_batch)(struct llama_context *ctx);
    /*
     `llama_n_seq_max`: sequence ids are below it. Optional.
     */
    uint32_t (*n_seq_max)(struct llama_context *ctx);
    /*
     Makes a second context of the same model, with one sequence and at least as many cells per
     sequence as `ctx`; NULL if it cannot. Needed by drop-in samplers only.
     */
    struct llama_context *(*context_new)(struct llama_context *ctx);
    /*
     Frees what `context_new` made. Needed with `context_new`.
     */
    void (*context_free)(struct llama_context *ctx);
    /*
     Makes a `llama_sampler` around a callback table (`llama_sampler_i`) and its data, so that the
     host's own `llama_sampler_free` can free it; NULL if it cannot. Needed by samplers that go into
     a host's chain.
     */
    struct llama_sampler *(*sampler_new)(const void *iface,
                                         void *data);
    /*
     Receives a message without a final newline, `level` as in `ggml_log_level` (3 = warning). It may
     call the library, but not free what it is called for. Optional.
     */
    void (*log)(int32_t level,
                const char *text,
                void *log_data);
    /*
     Passed to `log` as it is.
     */
    void *log_data;
} sda_host;

/*
 The tokens of a prompt.
 */
typedef struct sda_prompt {
    /*
     Token ids.
     */
    const int32_t *tokens;
    /*
     How many there are, at least one.
     */
    size_t n_tokens;
} sda_prompt;

/*
 Counts since a sampler was made or reset. Set it up with sda_stats_init().
 */
typedef struct sda_stats {
    /*
     Size of this struct as the caller knows it; sda_stats_init() sets it.
     */
    size_t struct_size;
    /*
     Steps that were steered.
     */
    uint64_t steered;
    /*
     Steps that were refused: their candidates were left as they were.
     */
    uint64_t refused;
    /*
     Accepts that repeated the one before with no step between, and were ignored.
     */
    uint64_t repeated_accepts;
} sda_stats;

/*
 What a judge is to score. Set it up with sda_judge_request_init(). All texts are UTF-8 and end with a NUL.

 The query and the draft are nobody's words to obey: sda_judge_prompt() quotes them so that they cannot
 pass for part of the question.
 */
typedef struct sda_judge_request {
    /*
     Size of this struct as the caller knows it; sda_judge_request_init() sets it.
     */
    size_t struct_size;
    /*
     What the user asked.
     */
    const char *query;
    /*
     The plain answer that is to be scored, without a model's thinking.
     */
    const char *draft;
    /*
     What the steered answer should be like. The draft is scored by it if there is no dimension, and it
     may be NULL if there is one.
     */
    const char *instruction;
    /*
     One of SDA_DIMENSION_*.
     */
    int32_t dimension;
    /*
     Reserved. Must be 0.
     */
    uint32_t flags;
} sda_judge_request;

/*
 What follows from a judge's score, or from its failure. Set it up with sda_judgement_init().
 */
typedef struct sda_judgement {
    /*
     Size of this struct as the caller knows it; sda_judgement_init() sets it.
     */
    size_t struct_size;
    /*
     One of SDA_ARM_*: which distribution to draw the answer from.
     */
    int32_t arm;
    /*
     What the judge returned: SDA_OK, or why there is no score. SDA_ERR_JUDGE for a score out of range.
     */
    int32_t judge_status;
    /*
     The score, 1 to 100; 0 if there is none.
     */
    float score;
    /*
     For sda_params; 0 if there is no score.
     */
    float amplification;
} sda_judgement;

/*
 Scores a draft: writes a number from 1 to 100 to `score` and returns SDA_OK, or returns any other status
 if it has none. SDA_ERR_CANCELLED says that the user wants to stop. `request` lives until it returns; its
 `instruction` may be NULL. It must not unwind or jump out.
 */
typedef int32_t (*sda_judge_fn)(void *user_data,
                                const struct sda_judge_request *request,
                                float *score);

#if defined(SDA_BUNDLED)
/*
 A device that llama.cpp can compute on. The library owns it: the size is the library's, and the texts are there
 during the call.
 */
typedef struct sda_device {
    /*
     Size of this struct as the library knows it.
     */
    size_t struct_size;
    /*
     What `devices` of sda_model_params calls it, such as Vulkan0.
     */
    const char *name;
    /*
     What it is, in its maker's words.
     */
    const char *description;
    /*
     The backend that drives it, such as Vulkan.
     */
    const char *backend;
    /*
     Bytes of its memory; 0 where the backend does not say.
     */
    uint64_t memory_total;
    /*
     Bytes of it that are free.
     */
    uint64_t memory_free;
    /*
     0 the CPU, 1 something that helps the CPU, such as a BLAS library, 2 a GPU, 3 a GPU that shares the CPU's memory,
     4 another.
     */
    int32_t kind;
    /*
     Always 0.
     */
    uint32_t reserved;
} sda_device;

/*
 A GGUF file that is added to a model. Arrays hold it, so it stays as it is.
 */
typedef struct sda_adapter {
    /*
     The file's name, as for sda_model_new().
     */
    const char *path;
    /*
     Its strength: finite, 1 is as it was made, 0 is nothing.
     */
    float scale;
    /*
     Reserved. Must be 0.
     */
    uint32_t reserved;
} sda_adapter;

/*
 How to load a model. Set it up with sda_model_params_init(), then change single fields. What it points to is needed
 during sda_model_new() only.
 */
typedef struct sda_model_params {
    /*
     Size of this struct as the caller knows it; sda_model_params_init() sets it.
     */
    size_t struct_size;
    /*
     Layers whose weights go to devices, the last ones of the model: 0 or more, -1 for llama.cpp's auto, -2 for all.
     Default -1. Of no effect without a device, see sda_devices().
     */
    int32_t n_gpu_layers;
    /*
     Map the file instead of reading it, if not 0. Default 1.
     */
    int32_t use_mmap;
    /*
     Keep the weights from being swapped out, if not 0. Default 0.
     */
    int32_t use_mlock;
    /*
     Called while the model loads with the share that is done, 0 to 1; anything but 0 stops. May be NULL.
     */
    int32_t (*progress)(float share,
                        void *progress_data);
    /*
     Passed to `progress` as it is.
     */
    void *progress_data;
    /*
     Names of the devices to use, with commas between them, or "none". NULL (the default): all GPUs.
     */
    const char *devices;
    /*
     How much of the model each device takes, as proportions that are at least 0; those beyond `n_tensor_split` take
     nothing. NULL (the default): as their free memory is.
     */
    const float *tensor_split;
    /*
     Numbers in `tensor_split`, at most 16. Default 0.
     */
    size_t n_tensor_split;
    /*
     How a model is split among several devices: 0 not at all, 1 by layers, 2 by rows where the backend can, 3 by rows
     with the KV cache, which is experimental. Default 1.
     */
    int32_t split_mode;
    /*
     Which of the devices computes alone where nothing is split, from 0. Default 0.
     */
    uint32_t main_gpu;
    /*
     llama.cpp's RPC servers, HOST:PORT with commas between them, whose devices are added for the whole process. They
     can be used by anybody who reaches them, and what is sent to them can be read on the way. llama.cpp aborts the
     process when one is lost. NULL (the default): none. SDA_ERR_PARAM in builds without the RPC backend,
     SDA_ERR_MODEL if one cannot be reached.
     */
    const char *rpc_servers;
    /*
     LoRA adapters, which every engine of the model has. NULL (the default): none.
     */
    const struct sda_adapter *lora;
    /*
     Elements of `lora`. Default 0.
     */
    size_t n_lora;
    /*
     Control vectors, whose sum every engine of the model has. NULL (the default): none.
     */
    const struct sda_adapter *control_vectors;
    /*
     Elements of `control_vectors`. Default 0.
     */
    size_t n_control_vectors;
    /*
     The first layer that control vectors are added to, from 1; 0 (the default) is the first.
     */
    uint32_t control_first;
    /*
     The last one; 0 (the default) is the model's last.
     */
    uint32_t control_last;
    /*
     Values in place of those of the file: KEY=TYPE:VALUE, with commas between several and the types int, float, bool
     and str. NULL (the default): none.
     */
    const char *kv_overrides;
    /*
     Memory for tensors: PATTERN=BUFFER, with commas between several. A pattern is a regular expression that is found in
     a tensor's name, a buffer is CPU or a device's name. NULL (the default): none.
     */
    const char *tensor_overrides;
    /*
     Lay weights out anew for this CPU, if not 0. Default 1.
     */
    int32_t repack;
    /*
     Refuse weights that are infinite or not a number, if not 0. Default 0.
     */
    int32_t check_tensors;
} sda_model_params;

/*
 How to make an engine. Set it up with sda_engine_params_init(), then change single fields.
 */
typedef struct sda_engine_params {
    /*
     Size of this struct as the caller knows it; sda_engine_params_init() sets it.
     */
    size_t struct_size;
    /*
     Tokens that each of the two branches can hold, 2 to 1073741696; 0 is the model's training length, at most
     4096. Default 0. The KV cache has twice as many cells, or more with `max_instructions`.
     */
    uint32_t n_ctx;
    /*
     The most tokens of one decode, 3 to 1048576. Default 2048.
     */
    uint32_t n_batch;
    /*
     The most tokens computed at once, 1 to 1048576. Default 512.
     */
    uint32_t n_ubatch;
    /*
     Threads, at most 512; 0 is one per core. Default 0.
     */
    uint32_t n_threads;
    /*
     Threads while prompts are read, at most 512; 0 is the same as `n_threads`. Default 0.
     */
    uint32_t n_threads_batch;
    /*
     Flash attention: 0 off, 1 on, -1 where llama.cpp thinks it of use. Default -1.
     */
    int32_t flash_attn;
    /*
     Keep all cells of sliding-window layers, if not 0. Default 1; 0 saves memory, and is for prompts whose
     common part is shorter than the window.
     */
    int32_t swa_full;
    /*
     Tokens that a prompt of `judge_model` can have, with query and draft. 0 (the default) is as many as a branch
     holds and 512, at most the model's training length. Must be 0 without `judge_model`.
     */
    uint32_t judge_n_ctx;
    /*
     A model that scores plain drafts, for `judge` of sda_generate_params and sda_engine_score(): better a
     stronger one. NULL (the default): the engine's own model scores them. It may be freed before the engine, and
     be the judge of any number of engines. Its context is made here, with the settings above, and is the engine's.
     */
    const struct sda_model *judge_model;
    /*
     The most instructions of one answer that can have a branch of their own, at most SDA_MOST_INSTRUCTIONS. 0 (the
     default) is for one instruction, of a weight that is not negative. The KV cache gets cells for as many branches
     more, and a step as many rows.
     */
    uint32_t max_instructions;
    /*
     Reserved. Must be 0.
     */
    uint32_t reserved;
    /*
     Type of the keys in the KV cache, a ggml_type: 0 f32, 1 f16, 2 q4_0, 8 q8_0, 30 bf16. Default 1.
     */
    int32_t cache_type_k;
    /*
     Type of the values; 2 and 8 need flash attention. Default 1.
     */
    int32_t cache_type_v;
    /*
     Keep the KV cache on the devices that compute the layers, if not 0. Default 1.
     */
    int32_t offload_kqv;
    /*
     Let devices compute large parts of prompts with weights that the CPU keeps, if not 0. Default 1.
     */
    int32_t op_offload;
    /*
     How positions are scaled, not those of `judge_model`: 0 not at all, 1 linear, 2 YaRN, -1 as the model says. Default
     -1.
     */
    int32_t rope_scaling;
    /*
     Base of the positions' frequencies, more than 0; 0 is the model's. Default 0.
     */
    float rope_freq_base;
    /*
     Factor of the positions' frequencies, more than 0: 0.5 is for twice the length; 0 is the model's. Default 0.
     */
    float rope_freq_scale;
    /*
     YaRN: length that the model was trained for; 0 is what its file says. Default 0.
     */
    uint32_t yarn_orig_ctx;
    /*
     YaRN: share of extrapolation, 0 to 1; -1 is the model's. Default -1.
     */
    float yarn_ext_factor;
    /*
     YaRN: factor of the attention, at least 0; -1 is the model's. Default -1.
     */
    float yarn_attn_factor;
    /*
     YaRN: where extrapolation begins, at least 0; -1 is the model's. Default -1.
     */
    float yarn_beta_fast;
    /*
     YaRN: where interpolation begins, at least 0; -1 is the model's. Default -1.
     */
    float yarn_beta_slow;
} sda_engine_params;

/*
 A token of an answer.
 */
typedef struct sda_token {
    /*
     Size of this struct as the library knows it; later versions only append.
     */
    size_t struct_size;
    /*
     Index in the answer, from 0.
     */
    size_t index;
    /*
     Token id.
     */
    int32_t token;
    /*
     Jensen-Shannon divergence of the two branches in nats; NaN if the answer is not steered.
     */
    float divergence;
    /*
     Temperature that the token was drawn at; 0 if the most likely one was taken.
     */
    float temperature;
    /*
     Guidance scale 1 + k a that was in force; NaN if the answer is not steered.
     */
    float guidance;
    /*
     Log-probability of the token in the plain branch, untempered; NaN if `trace` is off.
     */
    float logprob_plain;
    /*
     Log-probability of the token in the instructed branch, untempered; NaN if `trace` is off.
     */
    float logprob_instructed;
} sda_token;

/*
 An earlier turn of a conversation; both are texts in UTF-8.
 */
typedef struct sda_turn {
    /*
     What the user asked, without the instruction.
     */
    const char *query;
    /*
     What the model answered.
     */
    const char *answer;
} sda_turn;

/*
 A token whose log-probability is changed, between the steering and the temperature.
 */
typedef struct sda_logit_bias {
    /*
     Token id.
     */
    int32_t token;
    /*
     What is added, in nats: finite, or -INFINITY, which bans the token.
     */
    float bias;
} sda_logit_bias;

/*
 How to generate an answer. Set it up with sda_generate_params_init(), then change single fields. Texts
 are in UTF-8 and are needed during the call only.
 */
typedef struct sda_generate_params {
    /*
     Size of this struct as the caller knows it; sda_generate_params_init() sets it.
     */
    size_t struct_size;
    /*
     What the user asks. Required.
     */
    const char *prompt;
    /*
     Receives the answer piece by piece: `text` holds `size` bytes of whole characters and a final NUL,
     and is empty while a character or a stop text is not complete. `token` is NULL for a last piece
     that was held back until the end. Anything but 0 stops. It may call sda_engine_cancel(), no other
     function on the same engine, and must not throw. Required.
     */
    int32_t (*on_text)(const char *text,
                       size_t size,
                       const struct sda_token *token,
                       void *user_data);
    /*
     Passed to `on_text` as it is.
     */
    void *user_data;
    /*
     What the answer should be like. NULL (the default) or empty: nothing is steered.
     */
    const char *instruction;
    /*
     A ready instruction in its place: "empathy", "harmlessness", "helpfulness", "reasoning" or
     "truthfulness". Default NULL.
     */
    const char *preset;
    /*
     What the answer should not be like: stands in the plain branch where the instruction stands in the
     other. Default NULL.
     */
    const char *negative;
    /*
     System message, the same in both branches. Default NULL.
     */
    const char *system;
    /*
     Chat template: Jinja, or the name of one of llama.cpp's, such as "chatml". NULL (the default) is the
     model's own, or none if it has none; empty is none, and the model gets the texts as they are.
     */
    const char *chat_template;
    /*
     Earlier turns of the conversation, `n_history` of them. What the KV cache holds of them is not read
     again. Default NULL.
     */
    const struct sda_turn *history;
    /*
     Number of earlier turns.
     */
    size_t n_history;
    /*
     Texts that end the answer and are no part of it, `n_stop` of them; texts of control tokens count. Default NULL.
     */
    const char *const *stop;
    /*
     Number of stop texts.
     */
    size_t n_stop;
    /*
     Settings of the steering. NULL (the default) is what sda_params_init() gives, but with an
     amplification of 0.25, which is a guidance scale of 1.5. Its `top_p` is ignored for the one below.
     */
    const struct sda_params *steering;
    /*
     Score of the plain answer, at most 100: the amplification is then sda_amplify() of it. 0 (the
     default) leaves the amplification as `steering` has it.
     */
    float score;
    /*
     SDA_AMPLIFY_*, for `score`. Default SDA_AMPLIFY_SIGMOID.
     */
    int32_t amplify;
    /*
     Where the instruction stands, SDA_PLACEMENT_*. Default SDA_PLACEMENT_AUTO.
     */
    int32_t placement;
    /*
     Which distribution the answer is drawn from, SDA_ARM_*. Default SDA_ARM_STEERED.
     */
    int32_t arm;
    /*
     The most tokens; -1 (the default) continues until the model or the context ends.
     */
    int32_t n_predict;
    /*
     Seed of the draw. Default 0.
     */
    uint32_t seed;
    /*
     Keep the most likely tokens only, this many; 0 (the default) keeps all.
     */
    int32_t top_k;
    /*
     Keep the fewest tokens that hold this much of the probability, 0 to 1. Default 0.95.
     */
    float top_p;
    /*
     Drop tokens less likely than this share of the most likely one, 0 to 1. Default 0.
     */
    float min_p;
    /*
     Tokens that the penalties look back on; 0 turns them off, -1 is the whole context. Default 64.
     */
    int32_t repeat_last_n;
    /*
     Penalty on repeated tokens, greater than 0; 1 (the default) is none.
     */
    float repeat_penalty;
    /*
     Penalty for each earlier use of a token. Default 0.
     */
    float frequency_penalty;
    /*
     Penalty for any earlier use of a token. Default 0.
     */
    float presence_penalty;
    /*
     Steer only after the model has ended its thinking with `</think>`, if not 0: the block that the chat template
     has opened, or that the answer begins with. Default 0.
     */
    int32_t steer_after_think;
    /*
     Compute the log-probabilities of sda_token, if not 0. Default 0.
     */
    int32_t trace;
    /*
     First have a plain draft written and scored by the engine's judge, if not 0. Its score takes the place of
     `score`, which must be 0, and `arm` must be SDA_ARM_STEERED. The draft does not go to `on_text`. Default 0.
     */
    int32_t judge;
    /*
     What the judge scores by, SDA_DIMENSION_*. Default SDA_DIMENSION_NONE, the instruction.
     */
    int32_t judge_dimension;
    /*
     What the answer is when the judge gives no score, SDA_ON_FAILURE_*. Default SDA_ON_FAILURE_ERROR.
     */
    int32_t on_judge_failure;
    /*
     Several instructions in place of `instruction` and `preset`, `n_instructions` of them, at most
     `max_instructions` of the engine. Those with a weight of 0 or more are asked for; by each the answer is steered
     in proportion to its weight, and away from it if that is negative. Default NULL.
     */
    const char *const *instructions;
    /*
     A finite weight for each of `instructions`; NULL (the default) is 1 each.
     */
    const float *weights;
    /*
     Number of instructions.
     */
    size_t n_instructions;
    /*
     Variables of the chat template as a JSON object, such as {"enable_thinking": false}; `messages` and
     `add_generation_prompt` are not among them. NULL (the default) or an empty object: none. Otherwise the
     template must be Jinja.
     */
    const char *chat_template_kwargs;
    /*
     What the answer keeps to: a grammar in GBNF, llama.cpp's notation, that begins with its rule `root`. It applies
     from behind a `<think>` block that the chat template has opened. NULL (the default): none.
     */
    const char *grammar;
    /*
     In its place a JSON schema, of which llama.cpp's converter makes a grammar. Default NULL.
     */
    const char *json_schema;
    /*
     Tokens that are made likelier or less likely, `n_logit_bias` of them. Default NULL.
     */
    const struct sda_logit_bias *logit_bias;
    /*
     Number of these tokens.
     */
    size_t n_logit_bias;
    /*
     Locally typical sampling: keep the tokens whose information is nearest to the entropy, which hold this much of the
     probability, 0 to 1. Default 1, all.
     */
    float typical_p;
    /*
     Drop tokens whose logits are more than this many standard deviations below the highest; 0 or less (the default is
     -1) keeps all.
     */
    float top_n_sigma;
    /*
     XTC: how often the most likely tokens are dropped, 0 to 1. Default 0.
     */
    float xtc_probability;
    /*
     XTC drops all tokens of at least this probability but the least likely of them, 0 to 1; above 0.5 it is off. Default
     0.1.
     */
    float xtc_threshold;
    /*
     DRY: what a token loses that would continue a repetition, at least 0: this much times `dry_base` to the power of
     the repetition's length over `dry_allowed_length`. Default 0.
     */
    float dry_multiplier;
    /*
     DRY's base, at least 1. Default 1.75.
     */
    float dry_base;
    /*
     DRY: repetitions shorter than this cost nothing, at least 0. Default 2.
     */
    int32_t dry_allowed_length;
    /*
     DRY: tokens that are searched for repetitions; 0 turns it off, -1 is the whole context. Default 64.
     */
    int32_t dry_penalty_last_n;
    /*
     DRY: no repetition goes beyond one of these texts, `n_dry_sequence_breakers` of them, each of 1 to 40 bytes. NULL
     (the default) is a line's end, a colon, a quotation mark and an asterisk.
     */
    const char *const *dry_sequence_breakers;
    /*
     Number of these texts; 0 where the pointer is not NULL is none.
     */
    size_t n_dry_sequence_breakers;
    /*
     The temperature goes from this much below the step's to this much above it, by the entropy of the candidates, at
     least 0. Default 0, off.
     */
    float dynatemp_range;
    /*
     How the entropy, as a share of the largest possible, becomes a place in that range: to this power, at least 0.
     Default 1.
     */
    float dynatemp_exponent;
    /*
     Mirostat 1 or 2 in place of all other samplers but the temperature; beside penalties, DRY, XTC, top-n-sigma and
     dynamic temperature it is refused. Default 0, off.
     */
    int32_t mirostat;
    /*
     The surprise in bits that mirostat aims at, at least 0. Default 5.
     */
    float mirostat_tau;
    /*
     How fast mirostat adapts, at least 0. Default 0.1.
     */
    float mirostat_eta;
    /*
     Ban the tokens that end an answer, if not 0. Not with a grammar. Default 0.
     */
    int32_t ignore_eos;
    /*
     Where the context is full, let go of the older half of the answer so far and continue, if not 0. The prompts and
     the newer half are read again. With `n_predict` -1 such an answer may never end. Default 0.
     */
    int32_t context_shift;
    /*
     Must be 0.
     */
    int32_t reserved;
    /*
     Which samplers, in which order: llama.cpp's names with semicolons between them. Those that are left out are not
     applied, the temperature neither. NULL (the default) is
     "temperature;penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc".
     */
    const char *samplers;
} sda_generate_params;

/*
 What an answer cost. Set it up with sda_answer_init().
 */
typedef struct sda_answer {
    /*
     Size of this struct as the caller knows it; sda_answer_init() sets it.
     */
    size_t struct_size;
    /*
     Tokens of the answer.
     */
    size_t n_tokens;
    /*
     Why it ended, SDA_FINISH_*.
     */
    int32_t finish;
    /*
     Mean divergence of the branches in nats; NaN if the answer is not steered or empty.
     */
    float mean_divergence;
    /*
     Tokens that both prompts begin with, and that are held once for both.
     */
    size_t prefill_shared;
    /*
     Tokens of the prompts that were decoded.
     */
    size_t prefill_decoded;
    /*
     Tokens of the prompts that were in the KV cache from earlier calls.
     */
    size_t prefill_reused;
    /*
     Milliseconds spent on reading the prompts.
     */
    double prefill_ms;
    /*
     Milliseconds spent in llama_decode on the answer's tokens.
     */
    double decode_ms;
    /*
     Milliseconds spent on steering and drawing.
     */
    double sample_ms;
    /*
     Tokens of the draft that a judge scored; 0 if none was asked.
     */
    size_t n_draft;
    /*
     Which distribution the answer was drawn from, SDA_ARM_*: without a score as `on_judge_failure` says.
     */
    int32_t arm;
    /*
     SDA_OK, or why the judge gave no score.
     */
    int32_t judge_status;
    /*
     The judge's score, 1 to 100; 0 if there is none.
     */
    float score;
    /*
     Standard deviation of the score under the judge's distribution, in points.
     */
    float spread;
} sda_answer;
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Meaning of a status code, in English. Static text, for any integer.
 */
const char *sda_status_str(int32_t status);

/*
 Version of the loaded library, such as "0.2.0". Static text.
 */
const char *sda_version(void);

/*
 Version of the loaded library's binary interface; compare it with SDA_ABI_VERSION.
 */
int32_t sda_abi_version(void);

/*
 Fills a struct with the default settings.

 `params` is the struct, `size` its size: pass sizeof *params.

 SDA_ERR_VERSION if `size` is smaller than any version of the struct, or larger than 4096.
 */
int32_t sda_params_init(struct sda_params *params,
                        size_t size);

/*
 Turns a judge's score of the plain answer into an amplification.

 `function` is one of SDA_AMPLIFY_*, `score` is greater than 0 and at most 100. A score that could not be
 had is no score: do not pass a made-up one. `amplification` receives the result.

 SDA_ERR_PARAM if `function` or `score` is out of range.

 Any number of threads may call it at once.
 */
int32_t sda_amplify(int32_t function,
                    float score,
                    float *amplification);

/*
 Steers one step: from the logits of both branches to the log-probabilities of the next token. Allocates
 nothing.

 `instructed` and `plain` hold `n_vocab` logits by token id, finite or -infinity for masked tokens. `params`
 are the settings. `logprobs` receives `n_vocab` values whose exponentials sum to 1: steered, with the
 temperature applied, ready for top-p and the draw. It may be `instructed` itself but must not overlap the
 inputs otherwise. `step` receives divergence and temperature; it needs no set-up.

 A token masked in `instructed` stays masked; one masked in `plain` only is not steered.

 SDA_ERR_LENGTH for no vocabulary, SDA_ERR_NOT_FINITE for a logit that is NaN or +infinity,
 SDA_ERR_ALL_MASKED for a branch with no finite logit, SDA_ERR_PARAM for a setting out of range or rows that
 overlap, SDA_ERR_VERSION for a struct of another version. Nothing is written then.

 Any number of threads may call it at once.
 */
int32_t sda_steer(const float *instructed,
                  const float *plain,
                  size_t n_vocab,
                  const struct sda_params *params,
                  float *logprobs,
                  struct sda_step *step);

/*
 Steers one step by several instructions, each with a weight of its own: as sda_steer(), but the instructed
 log-probabilities move by k a times the sum of weight * (ln p_i - ln q) over the instructions, where p_i is the
 distribution of one instruction alone and q the plain one.

 `instructed` holds the logits of the branch whose prompt has all instructions, `plain` those of the query alone,
 and `others` points to `n_others` rows of one instruction alone each; all rows hold `n_vocab` logits. `weights`
 holds a finite weight for each of `others`; a negative one steers away from its instruction, which is then to be
 left out of the prompt of `instructed`. A row of `others` may be `instructed` itself: with one instruction it is,
 and with a weight of 1 the result is that of sda_steer(). At most SDA_MOST_INSTRUCTIONS; with 0 both arrays may
 be NULL, and nothing is steered.

 `params` are the settings; the temperature follows from the divergence of `instructed` and `plain`, and `max_kl`
 limits the way from `instructed`. `logprobs` is as for sda_steer(). `info` receives divergence, temperature and
 the part of k a that was applied, without the weights; it may be NULL.

 A token masked in `instructed` stays masked. An instruction has no say about a token that is masked in its row or
 in `plain`.

 It allocates 8 bytes for each token of the vocabulary when a thread first calls it, and keeps them for that
 thread.

 Errors are those of sda_steer(); SDA_ERR_PARAM also for too many instructions and a weight that is not finite.

 Any number of threads may call it at once.
 */
int32_t sda_steer_many(const float *instructed,
                       const float *plain,
                       const float *const *others,
                       const float *weights,
                       size_t n_others,
                       size_t n_vocab,
                       const struct sda_params *params,
                       float *logprobs,
                       struct sda_step_info *info);

/*
 Sets a struct up to be written to; `size` is sizeof *prefill. Errors as sda_params_init().
 */
int32_t sda_prefill_init(struct sda_prefill *prefill,
                         size_t size);

/*
 Takes over two sequences of a context, and empties them.

 `host` is the table that sda_llama_host() fills; it is copied. `ctx` must have been made with at least two
 sequences (n_seq_max), and should have kv_unified set: without it the tokens that both prompts begin with
 are computed once all the same, but kept twice. `plain_seq` and `instructed_seq` are two different sequence
 ids that the host uses for nothing else.

 `pair` receives the handle; free it with sda_pair_free(). It does not keep the context: the host frees that,
 after the last use of the pair.

 SDA_ERR_PARAM for a sequence id out of range or twice the same, SDA_ERR_NULL if the table lacks a required
 function, SDA_ERR_HOST if one of them failed.
 */
int32_t sda_pair_new(const struct sda_host *host,
                     struct llama_context *ctx,
                     int32_t plain_seq,
                     int32_t instructed_seq,
                     char *error,
                     size_t error_size,
                     struct sda_pair **pair);

/*
 Frees a pair; NULL is fine.

 Samplers that were made from it stay usable. What its sequences hold in the KV cache stays there.
 */
void sda_pair_free(struct sda_pair *pair);

/*
 Reads both prompts. Afterwards both branches have logits.

 `plain` and `instructed` hold token ids, at least one each. The tokens that both begin with are decoded
 once; what the KV cache holds of them from earlier calls is used again, so a chat passes its whole
 conversation every time. `prefill` receives the cost and may be NULL.

 SDA_ERR_PROMPT for an empty prompt, SDA_ERR_CONTEXT_FULL if there is not enough room, SDA_ERR_HOST if the
 host's decode failed. On these both sequences are emptied.
 */
int32_t sda_pair_prefill(struct sda_pair *pair,
                         const int32_t *plain,
                         size_t n_plain,
                         const int32_t *instructed,
                         size_t n_instructed,
                         struct sda_prefill *prefill);

/*
 Appends one token to both branches with a single decode of two rows, and of one more for each branch of a single
 instruction.

 Logits that were read before are invalid afterwards, and so are the rows of other pairs in the same context:
 sample from a pair before the next one steps, or step all at once with sda_pair_step_many().

 SDA_ERR_CONTEXT_FULL if there is no room; the cache is then as it was. SDA_ERR_HOST if the host's decode
 failed.
 */
int32_t sda_pair_step(struct sda_pair *pair,
                      int32_t token);

/*
 Appends one token to each of several pairs of one context, in all branches with a single decode of two rows
 a pair and one more for each branch of a single instruction, so that the weights are read once.

 `pairs` holds `n_pairs` different pairs and `tokens` a token for each; the context's n_batch must hold all
 rows. With 0 pairs it does nothing, and both arrays may be NULL. Afterwards each pair has a row of its own,
 until the next decode.

 It succeeds for all pairs or for none; sda_pair_error() of the first has the text of an error.
 SDA_ERR_CONTEXT_FULL if there is no room; the cache is then as it was. SDA_ERR_PARAM if a pair is there
 twice or the batch is too small, SDA_ERR_STATE if the pairs are of different contexts.
 */
int32_t sda_pair_step_many(struct sda_pair *const *pairs,
                           const int32_t *tokens,
                           size_t n_pairs);

/*
 Row of the last decode that holds a branch's logits: the `idx` for llama_sampler_sample().

 `side` is one of SDA_SIDE_*; SDA_SIDE_INSTRUCTED is the row to sample from. `row` receives the row.

 SDA_ERR_STATE before the first prefill, after a failed step, and after a clone of the pair has decoded since.
 */
int32_t sda_pair_row(const struct sda_pair *pair,
                     int32_t side,
                     int32_t *row);

/*
 Logits of a branch after its last token.

 `side` is one of SDA_SIDE_*. `logits` receives a pointer to n_vocab values that belong to the context, valid
 until the next decode in it.

 SDA_ERR_STATE before the first prefill, after a failed step, and after a clone of the pair has decoded since.
 */
int32_t sda_pair_logits(const struct sda_pair *pair,
                        int32_t side,
                        const float **logits);

/*
 Copies both branches to two other sequences of the same context: a second answer to the same prompts.

 `plain_seq` and `instructed_seq` are as for sda_pair_new(), and not those of `pair`.

 `clone` receives the new pair; free it with sda_pair_free(). Its logits are those of `pair` until the next
 decode.

 SDA_ERR_PARAM for a sequence id out of range or in use.
 */
int32_t sda_pair_clone(const struct sda_pair *pair,
                       int32_t plain_seq,
                       int32_t instructed_seq,
                       char *error,
                       size_t error_size,
                       struct sda_pair **clone);

/*
 Empties both sequences. Afterwards there are no logits until the next prefill.
 */
int32_t sda_pair_clear(struct sda_pair *pair);

/*
 Text of the last call on the pair that failed, empty if there was none.

 NULL for NULL. Valid until the next call on the same pair.
 */
const char *sda_pair_error(const struct sda_pair *pair);

/*
 Takes over sequences of a context for a pair with several instructions, and empties them.

 As sda_pair_new(), where `seqs` holds `n_seqs` different sequence ids: of the plain branch, of the instructed
 one, and of one branch for each single instruction that prompts may bring. `ctx` must have been made with as many
 sequences (n_seq_max); a step decodes as many rows, which n_batch must hold.

 SDA_ERR_LENGTH for fewer than two ids; otherwise the errors are those of sda_pair_new().
 */
int32_t sda_pair_new_many(const struct sda_host *host,
                          struct llama_context *ctx,
                          const int32_t *seqs,
                          size_t n_seqs,
                          char *error,
                          size_t error_size,
                          struct sda_pair **pair);

/*
 Reads the prompts of a pair with several instructions. Afterwards all their branches have logits, and
 sda_pair_step() appends to all of them with a single decode.

 `prompts` holds `n_prompts` prompts: the plain one, the instructed one with all instructions that are asked for,
 and one with each single instruction, at most as many as the pair has sequences. The tokens that all begin with
 are decoded once; what the KV cache holds of them from earlier calls is used again. Branches without a prompt are
 emptied. If no instruction is asked for, so that the instructed prompt is the plain one, one branch serves both.
 `prefill` receives the cost and may be NULL.

 SDA_ERR_LENGTH for fewer than two prompts, SDA_ERR_PARAM for more than the pair has sequences; otherwise the
 errors are those of sda_pair_prefill().
 */
int32_t sda_pair_prefill_many(struct sda_pair *pair,
                              const struct sda_prompt *prompts,
                              size_t n_prompts,
                              struct sda_prefill *prefill);

/*
 Copies all branches of a pair to other sequences of the same context, as sda_pair_clone().

 `seqs` holds `n_seqs` ids as for sda_pair_new_many(), at least as many as the prompts of `pair` use, and none of
 `pair`.

 SDA_ERR_LENGTH for fewer than two ids, SDA_ERR_PARAM for an id out of range or in use, and for too few of them.
 */
int32_t sda_pair_clone_many(const struct sda_pair *pair,
                            const int32_t *seqs,
                            size_t n_seqs,
                            char *error,
                            size_t error_size,
                            struct sda_pair **clone);

/*
 Says how much each branch counts, from the next step on: by how much of the difference of its log-probabilities to
 the plain ones a step moves, times k a.

 `instructed` is the weight of the instructed branch itself: that of the only instruction that its prompt holds,
 1 by default, and 0 where each of several instructions has a branch of its own. `singles` holds `n_singles`
 weights of these branches, and may be NULL if there are none; at each step as many of them must be in use. A
 negative weight steers away from an instruction, which is then to be left out of the instructed prompt.

 SDA_ERR_PARAM for a weight that is not finite and for more than SDA_MOST_INSTRUCTIONS, SDA_ERR_STATE for weights
 of single instructions in a sampler that was not made for a pair.
 */
int32_t sda_sampler_set_weights(struct sda_sampler *sampler,
                                float instructed,
                                const float *singles,
                                size_t n_singles);

/*
 Makes a sampler that reads the plain branch from a pair, in the host's own context. The host samples from
 the pair's instructed row and steps the pair with the token.

 `pair` stays the host's, and may be freed before the sampler. `params` are the settings.

 `sampler` receives the handle; free it with sda_sampler_free().

 SDA_ERR_PARAM for a setting out of range, SDA_ERR_VERSION for settings of another version.
 */
int32_t sda_sampler_new_paired(const struct sda_pair *pair,
                               const struct sda_params *params,
                               char *error,
                               size_t error_size,
                               struct sda_sampler **sampler);

/*
 Makes a sampler that keeps the plain branch in a context of its own, for hosts that keep their loop. The host
 decodes the instructed prompt as always, and has to accept every token (llama_sampler_sample does). Nothing
 is decoded before the first step.

 `host` needs context_new and context_free; it is copied. `ctx` is the host's context and must outlive the
 sampler. `plain_prompt` holds the `n_plain_prompt` tokens of the prompt without the instruction, and is
 copied. `params` are the settings.

 `sampler` receives the handle; free it with sda_sampler_free().

 SDA_ERR_PROMPT for an empty prompt, SDA_ERR_PARAM for a setting out of range, SDA_ERR_NULL if the table lacks
 a required function, SDA_ERR_HOST if the host made no context.
 */
int32_t sda_sampler_new_dropin(const struct sda_host *host,
                               struct llama_context *ctx,
                               const int32_t *plain_prompt,
                               size_t n_plain_prompt,
                               const struct sda_params *params,
                               char *error,
                               size_t error_size,
                               struct sda_sampler **sampler);

/*
 Makes a sampler whose plain logits the host hands in before each step, with sda_sampler_set_plain_logits().

 `host` may be NULL if the sampler is used with sda_sampler_apply() and not in a llama.cpp chain; it is
 copied. `n_vocab` is the length of every row, at least 1. `params` are the settings.

 `sampler` receives the handle; free it with sda_sampler_free().

 SDA_ERR_PARAM for no vocabulary or a setting out of range.
 */
int32_t sda_sampler_new(const struct sda_host *host,
                        size_t n_vocab,
                        const struct sda_params *params,
                        char *error,
                        size_t error_size,
                        struct sda_sampler **sampler);

/*
 Frees a sampler's handle; NULL is fine. A llama_sampler made from it stays usable.
 */
void sda_sampler_free(struct sda_sampler *sampler);

/*
 Makes a llama_sampler for llama_sampler_chain_add(). It goes first in the chain: it needs the whole
 vocabulary. Temperature is included, so the chain should not have one.

 `llama_sampler` receives it. The chain owns and frees it; it stays usable after sda_sampler_free(), and both
 are the same sampler until then.

 SDA_ERR_NULL if the host's table has no sampler_new, SDA_ERR_HOST if that failed.
 */
int32_t sda_sampler_to_llama(const struct sda_sampler *sampler,
                             struct llama_sampler **llama_sampler);

/*
 Makes a handle of a llama_sampler that this library made, for example of one that the host cloned.

 `sampler` receives a handle of its own; free it with sda_sampler_free().

 SDA_ERR_STATE if it is another llama_sampler.
 */
int32_t sda_sampler_from_llama(const struct llama_sampler *llama_sampler,
                               char *error,
                               size_t error_size,
                               struct sda_sampler **sampler);

/*
 Makes a sampler at the same point of its generation, independent of the first from there on. A paired one
 reads the same pair until sda_sampler_set_pair(); a drop-in one gets another context of its own.

 `clone` receives the handle; free it with sda_sampler_free().

 SDA_ERR_HOST if the host made no context.
 */
int32_t sda_sampler_clone(const struct sda_sampler *sampler,
                          char *error,
                          size_t error_size,
                          struct sda_sampler **clone);

/*
 Steers a candidate array (the host's llama_token_data_array), for hosts without a chain.

 `candidates` holds every token of the vocabulary once, in any order. On success its logits are
 log-probabilities and it counts as unsorted; with a `top_p` below 1 in the settings it then holds the
 nucleus only, its size says how many, and it counts as sorted.

 On an error it is left as it was. SDA_ERR_CANDIDATES if it is not the whole vocabulary, SDA_ERR_STATE if the
 plain logits of this step are not there, SDA_ERR_NOT_FINITE and SDA_ERR_ALL_MASKED as for sda_steer();
 SDA_ERR_CONTEXT_FULL and SDA_ERR_HOST if a drop-in sampler could not decode.
 */
int32_t sda_sampler_apply(struct sda_sampler *sampler,
                          struct llama_token_data_array *candidates);

/*
 Tells the sampler of the token that was chosen, for hosts without a chain.

 Tokens before the first step, and a second accept of the same token with no step between, are ignored.
 */
int32_t sda_sampler_accept(struct sda_sampler *sampler,
                           int32_t token);

/*
 Returns to the state before the first step and forgets an earlier error. A drop-in sampler returns to its
 plain prompt; a pair is left alone.
 */
int32_t sda_sampler_reset(struct sda_sampler *sampler);

/*
 Changes the settings from the next step on.

 `params` are the new settings. On an error the old ones stay.

 SDA_ERR_PARAM for a setting out of range, SDA_ERR_VERSION for settings of another version.
 */
int32_t sda_sampler_set_params(struct sda_sampler *sampler,
                               const struct sda_params *params);

/*
 Continues a paired sampler with another pair, for a clone that continues in sequences of its own.

 `pair` is as for sda_sampler_new_paired().

 SDA_ERR_STATE if the sampler is not a paired one.
 */
int32_t sda_sampler_set_pair(struct sda_sampler *sampler,
                             const struct sda_pair *pair);

/*
 Starts a drop-in sampler over with another plain prompt, for the next turn of a chat. What the new prompt has
 in common with the tokens so far is not decoded again.

 `plain_prompt` holds `n_plain_prompt` tokens, and is copied.

 SDA_ERR_PROMPT for an empty prompt, SDA_ERR_STATE if the sampler is not a drop-in one.
 */
int32_t sda_sampler_set_prompt(struct sda_sampler *sampler,
                               const int32_t *plain_prompt,
                               size_t n_plain_prompt);

/*
 Hands in the plain branch's logits of the coming step.

 `plain` holds `n_vocab` values by token id, and is copied.

 SDA_ERR_LENGTH if it is not as long as the sampler's vocabulary, SDA_ERR_STATE if the sampler reads the plain
 branch itself.
 */
int32_t sda_sampler_set_plain_logits(struct sda_sampler *sampler,
                                     const float *plain,
                                     size_t n_vocab);

/*
 Status of the first step that failed since the sampler was made or reset, SDA_OK if there was none. Callbacks
 in a chain cannot report: check this after each step.
 */
int32_t sda_sampler_status(const struct sda_sampler *sampler);

/*
 Text of the last call on the sampler that failed, or of the first step that failed in a chain if no call
 failed since; empty if there was none, and after a reset.

 NULL for NULL. Valid until the next call on the same handle.
 */
const char *sda_sampler_error(const struct sda_sampler *sampler);

/*
 Sets a struct up to be written to; `size` is sizeof *info. Errors as sda_params_init().
 */
int32_t sda_step_info_init(struct sda_step_info *info,
                           size_t size);

/*
 Sets a struct up to be written to; `size` is sizeof *stats. Errors as sda_params_init().
 */
int32_t sda_stats_init(struct sda_stats *stats,
                       size_t size);

/*
 What the last steered step found out.

 `info` receives it.

 SDA_ERR_STATE before the first step, SDA_ERR_VERSION if `info` was not set up.
 */
int32_t sda_sampler_last_step(const struct sda_sampler *sampler,
                              struct sda_step_info *info);

/*
 Counts of steps and accepts.

 `stats` receives them.

 SDA_ERR_VERSION if `stats` was not set up.
 */
int32_t sda_sampler_stats(const struct sda_sampler *sampler,
                          struct sda_stats *stats);

/*
 Fills a struct with NULL and 0, and its size; `size` is sizeof *request. Errors as sda_params_init().
 */
int32_t sda_judge_request_init(struct sda_judge_request *request,
                               size_t size);

/*
 Sets a struct up to be written to; `size` is sizeof *judgement. Errors as sda_params_init().
 */
int32_t sda_judgement_init(struct sda_judgement *judgement,
                           size_t size);

/*
 Asks a host's judge, and turns its score into an amplification.

 `judge` is called once, on this thread, with `user_data` (which may be NULL), unless the draft is blank,
 which is a failure as if the judge had no score. `function` is one of SDA_AMPLIFY_*. `on_failure` is one of
 SDA_ON_FAILURE_* and says what to do when there is no score: no failure ever becomes an amplification.
 `judgement` receives the outcome.

 SDA_ERR_JUDGE without a score under SDA_ON_FAILURE_ERROR; SDA_ERR_CANCELLED when the judge returned that;
 SDA_ERR_PARAM for a request with neither instruction nor dimension.

 Any number of threads may call it at once.
 */
int32_t sda_judge_amplify(sda_judge_fn judge,
                          void *user_data,
                          const struct sda_judge_request *request,
                          int32_t function,
                          int32_t on_failure,
                          char *error,
                          size_t error_size,
                          struct sda_judgement *judgement);

/*
 Writes the question for a judge that is a language model, as one user message. It quotes query and draft
 between marker lines with a random code, so that nothing in them can end the quotation, and says in which
 form to reply.

 `prompt_template` is the middle part, with {draft} once and {query}, {criterion}, {instruction} and {nonce}
 at will; NULL is the built-in one. `reply` is one of SDA_REPLY_*. `buffer` receives the text and a NUL, `size`
 is its room. `length` receives the length without the NUL. `buffer` may be NULL to ask for the length alone,
 which is the same for every call with the same request.

 SDA_ERR_LENGTH if the room is too small; SDA_ERR_PARAM for a bad template or a request with neither
 instruction nor dimension; SDA_ERR_JUDGE for a blank draft.

 Any number of threads may call it at once.
 */
int32_t sda_judge_prompt(const struct sda_judge_request *request,
                         const char *prompt_template,
                         int32_t reply,
                         char *error,
                         size_t error_size,
                         char *buffer,
                         size_t size,
                         size_t *length);

/*
 Reads the score in a judge's reply, strictly: a JSON object with one number `score`, or a last line
 SCORE: N, from 1 to 100. A number anywhere else counts for nothing.

 `request` is what was asked, or NULL; with it, a score that the query or the draft holds in one of these
 forms is refused, since the reply may be an echo. `score` receives the number.

 SDA_ERR_JUDGE if there is no score, with a text that quotes what came back, shortened; SDA_ERR_ENCODING if
 the reply is not UTF-8.

 Any number of threads may call it at once.
 */
int32_t sda_judge_parse(const struct sda_judge_request *request,
                        const char *reply,
                        char *error,
                        size_t error_size,
                        float *score);

#if defined(SDA_BUNDLED)
/*
 Tells of every device that llama.cpp can compute on, the CPU among them.

 `each` is called once for each, before the function returns, and must not call the library. `each_data` is passed on
 as it is.

 SDA_ERR_NULL without `each`; SDA_ERR_MODEL if llama.cpp could not be set up.
 */
int32_t sda_devices(void (*each)(const struct sda_device *device,
                                 void *each_data),
                    void *each_data);

/*
 Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
 */
int32_t sda_model_params_init(struct sda_model_params *params,
                              size_t size);

/*
 Loads a GGUF file, or the first part of a model in several.

 `path` is its name, on Unix in any bytes, elsewhere in UTF-8. `params` may be NULL for the defaults.

 `model` receives the handle; free it with sda_model_free().

 SDA_ERR_PARAM for a setting outside its range, SDA_ERR_IO if there is no such file, SDA_ERR_MODEL if it is not a model that llama.cpp can load, if it cannot
 continue a text (encoders, diffusion models), or if `progress` stopped it.
 */
int32_t sda_model_new(const char *path,
                      const struct sda_model_params *params,
                      char *error,
                      size_t error_size,
                      struct sda_model **model);

/*
 Frees a model; NULL is fine. Engines that were made from it keep what they need.
 */
void sda_model_free(struct sda_model *model);

/*
 Sends the log lines of the built-in llama.cpp to a function, in the whole process; by default they go
 nowhere.

 `log` gets a `level` as in ggml_log_level: 1 debug, 2 info, 3 warning, 4 error, 5 continues the line before.
 It must not call the library; NULL turns the log off. `log_data` is passed on as it is.

 `log` may be called from any thread, until another one is set.
 */
void sda_log_set(void (*log)(int32_t level,
                             const char *text,
                             void *log_data),
                 void *log_data);

/*
 Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
 */
int32_t sda_engine_params_init(struct sda_engine_params *params,
                               size_t size);

/*
 Fills a struct with the defaults; `size` is sizeof *params. Errors as sda_params_init().
 */
int32_t sda_generate_params_init(struct sda_generate_params *params,
                                 size_t size);

/*
 Sets a struct up to be written to; `size` is sizeof *answer. Errors as sda_params_init().
 */
int32_t sda_answer_init(struct sda_answer *answer,
                        size_t size);

/*
 Makes the context for a prompt pair, and that of `judge_model`, if `params` names one.

 Both models may be freed before the engine. `params` may be NULL for the defaults.

 `engine` receives the handle; free it with sda_engine_free().

 SDA_ERR_MODEL if there is not enough memory, SDA_ERR_PARAM for a setting out of range.
 */
int32_t sda_engine_new(const struct sda_model *model,
                       const struct sda_engine_params *params,
                       char *error,
                       size_t error_size,
                       struct sda_engine **engine);

/*
 Frees an engine; NULL is fine. No thread may be generating with it.
 */
void sda_engine_free(struct sda_engine *engine);

/*
 Generates one answer, and returns when it is finished.

 `params` says what is asked and how; its `on_text` receives the answer. What the KV cache holds of the prompts
 from earlier calls is used again. `answer` receives what it cost, and may be NULL. An answer that the callback
 or sda_engine_cancel() stopped, or that filled the context, is not an error: see `finish`.

 With `judge` set a plain draft is written and scored first, and `answer` also receives the score. Without a score
 the answer is what `on_judge_failure` says, and never steered: see `arm` and `judge_status`.

 SDA_ERR_JUDGE for a judge without a score under SDA_ON_FAILURE_ERROR, SDA_ERR_PROMPT for an empty prompt, for a
 chat template that is wrong, works too long or drops a text, and for an instruction that makes no difference,
 SDA_ERR_CONTEXT_FULL if the prompts do not fit, SDA_ERR_PARAM for a
 setting out of range, SDA_ERR_ENCODING for a text that is not UTF-8, SDA_ERR_STATE if the engine is generating
 already.
 */
int32_t sda_engine_generate(struct sda_engine *engine,
                            const struct sda_generate_params *params,
                            struct sda_answer *answer);

/*
 Scores a draft, from 1 to 100: by the engine's `judge_model`, or by its own model if it has none.

 The model writes nothing: the score is the number that it expects to write. `score` receives it. Its prompt holds
 query, draft and instruction (or what stands for `dimension`) in the chat template of the judge's model.

 SDA_ERR_JUDGE for a blank draft, or one that does not fit into the judge's context; SDA_ERR_PARAM for a request
 with neither instruction nor dimension; SDA_ERR_CANCELLED after sda_engine_cancel(); SDA_ERR_STATE if the engine
 is generating.
 */
int32_t sda_engine_score(struct sda_engine *engine,
                         const struct sda_judge_request *request,
                         float *score);

/*
 Stops the answer or score that is being computed, after the present token or part of a prompt;
 does nothing if there is none.

 Any thread may call it while another one uses the engine; it is the one function of which this is true.
 */
int32_t sda_engine_cancel(struct sda_engine *engine);

/*
 Text of the last call on the engine that failed, empty if there was none.

 NULL for NULL. Valid until the next call on the same engine.
 */
const char *sda_engine_error(const struct sda_engine *engine);
#endif

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SDA_H */
