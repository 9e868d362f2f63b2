/*
 * A host that brings no llama.cpp: the libsda with one inside does it all. Ctrl-C ends the answer.
 *
 *     engine MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids] [--chatml] [--judge FILE]
 *     cc engine.c -Iinclude target/release/libsda.so -lpthread -o engine
 *
 * A negative SEED takes the most likely token each time. The model's own chat template is used, or with
 * --chatml the plain ChatML that the other hosts get from llama_chat_apply_template(). With --judge a second
 * model scores a plain draft first, and AMPLIFICATION is not used.
 */
#define SDA_BUNDLED
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sda.h"

static const char *const chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n"
                                  "{{ m.content }}<|im_end|>\n{% endfor %}"
                                  "{{ '<|im_start|>assistant\\n' }}";

static void fail(const char *call, int32_t status, const char *reason) {
    fprintf(stderr, "engine: %s: %s (%s)\n", call, sda_status_str(status), reason);
    exit(1);
}

static void log_errors(int32_t level, const char *text, void *data) {
    (void)data;
    if (level == 4) {
        fputs(text, stderr);
    }
}

/* Receives the answer: text that is complete, and the token that completed it. */
static int32_t show(const char *text, size_t size, const sda_token *token, void *data) {
    const int *ids = data;
    if (!*ids) {
        fwrite(text, 1, size, stdout);
    } else if (token != NULL) {
        printf("%d ", token->token);
    }
    /* A reader that has gone away ends the answer. */
    return fflush(stdout) != 0;
}

/* Cancelling is for another thread, not for a signal handler: this one waits for the signal. */
static void *cancel_on_interrupt(void *engine) {
    sigset_t interrupt;
    int signal_number;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    while (sigwait(&interrupt, &signal_number) == 0) {
        sda_engine_cancel(engine);
    }
    return NULL;
}

int main(int argc, char **argv) {
    char reason[512] = "";
    sda_model *model = NULL, *judge = NULL;
    sda_engine *engine = NULL;
    sda_engine_params settings;
    sda_params steering;
    sda_generate_params params;
    sda_answer answer;
    sigset_t interrupt;
    pthread_t canceller;
    int32_t status;
    int ids = 0, i;

    if (argc < 7) {
        fputs("usage: engine MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids] [--chatml]"
              " [--judge FILE]\n",
              stderr);
        return 2;
    }
    /* Before any thread is made, so that all of them leave the signal to the one that waits. */
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL);

    sda_log_set(log_errors, NULL);
    status = sda_model_new(argv[1], NULL, reason, sizeof reason, &model);
    if (status != SDA_OK) {
        fail("cannot load the model", status, reason);
    }
    sda_engine_params_init(&settings, sizeof settings);
    for (i = 7; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--judge") == 0) {
            status = sda_model_new(argv[i + 1], NULL, reason, sizeof reason, &judge);
            if (status != SDA_OK) {
                fail("cannot load the judge", status, reason);
            }
        }
    }
    settings.judge_model = judge;
    status = sda_engine_new(model, &settings, reason, sizeof reason, &engine);
    if (status != SDA_OK) {
        fail("sda_engine_new", status, reason);
    }
    if (pthread_create(&canceller, NULL, cancel_on_interrupt, engine) != 0) {
        fail("pthread_create", SDA_ERR_STATE, "no thread");
    }

    sda_params_init(&steering, sizeof steering);
    steering.amplification = strtof(argv[4], NULL);
    sda_generate_params_init(&params, sizeof params);
    params.prompt = argv[2];
    params.instruction = argv[3];
    params.steering = &steering;
    params.judge = judge != NULL;
    params.n_predict = atoi(argv[6]);
    params.on_text = show;
    params.user_data = &ids;
    if (argv[5][0] == '-') {
        steering.temperature = 0.0f;
    } else {
        params.seed = (uint32_t)strtoul(argv[5], NULL, 10);
    }
    for (i = 7; i < argc; i++) {
        ids |= strcmp(argv[i], "--ids") == 0;
        if (strcmp(argv[i], "--chatml") == 0) {
            params.chat_template = chatml;
        }
    }
    sda_answer_init(&answer, sizeof answer);
    status = sda_engine_generate(engine, &params, &answer);
    if (status != SDA_OK) {
        fail("sda_engine_generate", status, sda_engine_error(engine));
    }
    putchar('\n');
    if (judge != NULL) {
        fprintf(stderr, "the judge gives the draft %.1f of 100\n", answer.score);
    }

    pthread_cancel(canceller);
    pthread_join(canceller, NULL);
    sda_engine_free(engine);
    sda_model_free(model);
    sda_model_free(judge);
    return answer.finish == SDA_FINISH_CANCELLED ? 130 : 0;
}
