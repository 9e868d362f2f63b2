/*
 * The lines of README.md, "In your llama.cpp program", as they stand there, in a program around them:
 *
 *     readme MODEL.gguf PROMPT INSTRUCTION SCORE SEED N_TOKENS --ids
 *
 * tests/hosts.rs cuts them out into readme_snippet.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "llama.h"
#include "sda_llama.h"

static int tokens_left;
static uint32_t seed;

/* Shows the token, and ends the answer at the wanted length. */
static bool is_last(const struct llama_vocab *vocab, llama_token token) {
    if (tokens_left-- == 0 || llama_vocab_is_eog(vocab, token)) {
        return true;
    }
    printf("%d ", token);
    return false;
}

/* Adds the samplers that the lines leave to the reader. */
static void add_all(struct llama_sampler *chain, struct llama_sampler *first) {
    llama_sampler_chain_add(chain, first);
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(0.95f, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(seed));
}

static int32_t generate(struct llama_model *model, const struct llama_vocab *vocab,
                        struct llama_sampler *chain, float score, const llama_token *plain, size_t n_plain,
                        const llama_token *instructed, size_t n_instructed) {
#define llama_vocab_is_eog is_last
#define llama_sampler_chain_add add_all
#include "readme_snippet.h"
    sda_sampler_free(sda);
    sda_pair_free(pair);
    llama_free(ctx);
    return status;
}

static size_t tokenize_chat(const struct llama_model *model, const char *turn, llama_token *tokens) {
    char text[4096];
    const struct llama_chat_message message = {"user", turn};
    const int32_t n = llama_chat_apply_template(llama_model_chat_template(model, NULL), &message, 1, true, text,
                                                sizeof text);
    return (size_t)llama_tokenize(llama_model_get_vocab(model), text, n, tokens, 1024, true, true);
}

static void silent(enum ggml_log_level level, const char *text, void *data) {
    (void)level;
    (void)text;
    (void)data;
}

int main(int argc, char **argv) {
    llama_token plain[1024], instructed[1024];
    char turn[2048];
    size_t n_plain, n_instructed;
    int32_t status;

    if (argc != 8) {
        return 2;
    }
    llama_log_set(silent, NULL);
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (model == NULL) {
        return 1;
    }
    n_plain = tokenize_chat(model, argv[2], plain);
    snprintf(turn, sizeof turn, "%s\n\n%s", argv[2], argv[3]);
    n_instructed = tokenize_chat(model, turn, instructed);
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    seed = (uint32_t)strtoul(argv[5], NULL, 10);
    tokens_left = atoi(argv[6]);
    status = generate(model, llama_model_get_vocab(model), chain, strtof(argv[4], NULL), plain, n_plain,
                      instructed, n_instructed);
    putchar('\n');
    llama_sampler_free(chain);
    llama_model_free(model);
    return status == SDA_OK ? 0 : 1;
}
