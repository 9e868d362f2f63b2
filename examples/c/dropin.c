/*
 * Steering in a host that keeps its own decode loop, as in llama.cpp's simple-chat: one sampler more at
 * the head of the chain. The sampler computes the branch without the instruction in a context of its own.
 *
 *     dropin MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]
 *     cc dropin.c $(pkg-config --cflags --libs sda llama) -o dropin
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama.h"
#include "sda_llama.h"

static void fail(const char *what) {
    fprintf(stderr, "dropin: %s\n", what);
    exit(1);
}

static void check(int32_t status, const char *call, const char *reason) {
    if (status != SDA_OK) {
        fprintf(stderr, "dropin: %s: %s (%s)\n", call, sda_status_str(status), reason);
        exit(1);
    }
}

/* For calls on a handle, which keeps the reason. */
static void check_sampler(int32_t status, const char *call, const sda_sampler *sampler) {
    check(status, call, status == SDA_OK ? "" : sda_sampler_error(sampler));
}

static void log_errors(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

/* Tokens of a user's turn that holds `prompt`, and `instruction` below it if there is one. */
static int32_t tokenize_chat(const struct llama_model *model, const char *prompt, const char *instruction,
                             llama_token *tokens, int32_t capacity) {
    const char *template = llama_model_chat_template(model, NULL);
    const char *gap = instruction[0] != '\0' ? "\n\n" : "";
    char turn[4096], text[8192];
    struct llama_chat_message message = {"user", turn};
    int32_t n;

    n = snprintf(turn, sizeof turn, "%s%s%s", prompt, gap, instruction);
    if (n < 0 || n >= (int32_t)sizeof turn) {
        fail("the prompt is too long");
    }
    n = llama_chat_apply_template(template, &message, 1, true, text, sizeof text);
    if (n < 0 || n > (int32_t)sizeof text) {
        fail("the chat template does not apply");
    }
    n = llama_tokenize(llama_model_get_vocab(model), text, n, tokens, capacity, true, true);
    if (n > 0 && llama_vocab_get_add_eos(llama_model_get_vocab(model))) {
        n--; /* The model goes on with the prompt, so it has no end. */
    }
    if (n <= 0) {
        fail("the prompt does not tokenize");
    }
    return n;
}

int main(int argc, char **argv) {
    const int ids = argc == 8 && strcmp(argv[7], "--ids") == 0;
    llama_token plain[1024], instructed[1024], token;
    int32_t i, n_plain, n_instructed, n_piece;
    char piece[256], error[512] = "";

    if (argc != 7 && !ids) {
        fail("usage: dropin MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]");
    }
    llama_log_set(log_errors, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (model == NULL) {
        fail("cannot load the model");
    }
    const struct llama_vocab *vocab = llama_model_get_vocab(model);
    n_plain = tokenize_chat(model, argv[2], "", plain, 1024);
    n_instructed = tokenize_chat(model, argv[2], argv[3], instructed, 1024);

    struct llama_context_params settings = llama_context_default_params();
    settings.n_ctx = 2048;
    struct llama_context *ctx = llama_init_from_model(model, settings);
    if (ctx == NULL) {
        fail("cannot make a context");
    }

    sda_host host;
    sda_llama_host(&host);
    sda_params params;
    check(sda_params_init(&params, sizeof params), "sda_params_init", "sda.h and libsda do not fit");
    params.amplification = strtof(argv[4], NULL);
    if (argv[5][0] == '-') {
        params.temperature = 0.0f; /* a negative seed: the most likely token each time */
    }
    sda_sampler *sda = NULL;
    check(sda_sampler_new_dropin(&host, ctx, plain, (size_t)n_plain, &params, error, sizeof error, &sda),
          "sda_sampler_new_dropin", error);

    struct llama_sampler *steering = NULL;
    check_sampler(sda_sampler_to_llama(sda, &steering), "sda_sampler_to_llama", sda);
    struct llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(chain, steering); /* the one added line in the chain */
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(0.95f, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_dist((uint32_t)strtoul(argv[5], NULL, 10)));

    struct llama_batch batch = llama_batch_get_one(instructed, n_instructed);
    for (i = 0; i < atoi(argv[6]); i++) {
        if (llama_decode(ctx, batch) != 0) {
            fail("llama_decode");
        }
        token = llama_sampler_sample(chain, ctx, -1);
        check_sampler(sda_sampler_status(sda), "steering", sda);
        if (llama_vocab_is_eog(vocab, token)) {
            break;
        }
        n_piece = llama_token_to_piece(vocab, token, piece, sizeof piece, 0, false);
        if (n_piece < 0) {
            fail("a token's text does not fit");
        }
        if (ids) {
            printf("%d ", token);
        } else {
            printf("%.*s", (int)n_piece, piece);
            fflush(stdout);
        }
        batch = llama_batch_get_one(&token, 1);
    }
    putchar('\n');

    llama_sampler_free(chain); /* and with it the sampler that steers */
    sda_sampler_free(sda);
    llama_free(ctx);
    llama_model_free(model);
    llama_backend_free();
    return 0;
}
