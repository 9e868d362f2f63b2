/* Paired, drop-in and given logits take the same tokens, through the callbacks of a chain. */
#include "check.h"
#include "host.h"

enum { STEPS = 8 };

static const int32_t plain[] = {1, 2, 3};
static const int32_t instructed[] = {1, 2, 9, 3};

static sda_params settings(void) {
    sda_params params;
    CHECK(sda_params_init(&params, sizeof params) == SDA_OK);
    params.amplification = 0.7f;
    return params;
}

static void paired(int32_t *tokens) {
    static struct llama_context ctx;
    sda_host host = host_table();
    sda_params params = settings();
    sda_pair *pair = NULL;
    sda_sampler *sampler = NULL;
    struct llama_sampler *link = NULL;
    candidate data[VOCAB];
    CHECK(sda_pair_new(&host, &ctx, 0, 1, NULL, 0, &pair) == SDA_OK);
    CHECK(sda_pair_prefill(pair, plain, 3, instructed, 4, NULL) == SDA_OK);
    CHECK(sda_sampler_new_paired(pair, &params, NULL, 0, &sampler) == SDA_OK);
    CHECK(sda_sampler_to_llama(sampler, &link) == SDA_OK);
    for (int i = 0; i < STEPS; i++) {
        int32_t row = -1;
        CHECK(sda_pair_row(pair, SDA_SIDE_INSTRUCTED, &row) == SDA_OK);
        struct llama_token_data_array array = fill(data, ctx.logits[row]);
        iface_of(link)->apply(link, &array);
        tokens[i] = best(&array);
        iface_of(link)->accept(link, tokens[i]);
        CHECK(sda_sampler_status(sampler) == SDA_OK);
        CHECK(sda_pair_step(pair, tokens[i]) == SDA_OK);
    }
    sda_pair_free(pair);
    sda_sampler_free(sampler);
    sampler_free(link);
}

static void dropin(int32_t *tokens) {
    static struct llama_context ctx;
    sda_host host = host_table();
    sda_params params = settings();
    sda_sampler *sampler = NULL;
    sda_sampler *handle = NULL;
    struct llama_sampler *link = NULL;
    int32_t history[CELLS] = {1, 2, 9, 3};
    float logits[VOCAB];
    candidate data[VOCAB];
    CHECK(sda_sampler_new_dropin(&host, &ctx, plain, 3, &params, NULL, 0, &sampler) == SDA_OK);
    CHECK(sda_sampler_to_llama(sampler, &link) == SDA_OK);
    CHECK(strcmp(iface_of(link)->name(link), "sda") == 0);
    for (int i = 0; i < STEPS; i++) {
        if (i == STEPS / 2) {
            /* Go on with a clone; the first one is freed, in the order of a host. */
            struct llama_sampler *clone = iface_of(link)->clone(link);
            CHECK(siblings == 2);
            sampler_free(link);
            sda_sampler_free(sampler);
            CHECK(siblings == 1);
            link = clone;
            CHECK(sda_sampler_from_llama(link, NULL, 0, &handle) == SDA_OK);
            sampler = handle;
        }
        toy_logits(history, 4 + i, logits);
        struct llama_token_data_array array = fill(data, logits);
        iface_of(link)->apply(link, &array);
        tokens[i] = history[4 + i] = best(&array);
        iface_of(link)->accept(link, tokens[i]);
        CHECK(sda_sampler_status(sampler) == SDA_OK);
    }
    iface_of(link)->reset(link);
    struct llama_token_data_array none = {NULL, 0, -1, 0};
    iface_of(link)->apply(link, &none);
    CHECK(sda_sampler_status(sampler) == SDA_ERR_CANDIDATES && sda_sampler_error(sampler)[0] != 0);
    sda_sampler_free(sampler);
    sampler_free(link);
    CHECK(siblings == 0);
}

static void given(int32_t *tokens) {
    sda_params params = settings();
    sda_sampler *sampler = NULL;
    struct llama_sampler *link = NULL;
    sda_stats stats;
    int32_t history[2][CELLS] = {{1, 2, 3}, {1, 2, 9, 3}};
    float logits[2][VOCAB];
    candidate data[VOCAB];
    CHECK(sda_sampler_new(NULL, VOCAB, &params, NULL, 0, &sampler) == SDA_OK);
    CHECK(sda_sampler_to_llama(sampler, &link) == SDA_ERR_NULL && link == NULL);
    for (int i = 0; i < STEPS; i++) {
        toy_logits(history[0], 3 + i, logits[0]);
        toy_logits(history[1], 4 + i, logits[1]);
        struct llama_token_data_array array = fill(data, logits[1]);
        CHECK(sda_sampler_apply(sampler, &array) == SDA_ERR_STATE);
        CHECK(sda_sampler_set_plain_logits(sampler, logits[0], VOCAB) == SDA_OK);
        CHECK(sda_sampler_apply(sampler, &array) == SDA_OK);
        tokens[i] = history[0][3 + i] = history[1][4 + i] = best(&array);
        CHECK(sda_sampler_accept(sampler, tokens[i]) == SDA_OK);
    }
    CHECK(sda_stats_init(&stats, sizeof stats) == SDA_OK);
    CHECK(sda_sampler_stats(sampler, &stats) == SDA_OK && stats.steered == STEPS && stats.refused == STEPS);
    sda_sampler_free(sampler);
}

/* With a top_p in the settings few candidates are left, the best one first. */
static void nucleus(int32_t first) {
    sda_params params = settings();
    sda_sampler *sampler = NULL;
    int32_t history[2][CELLS] = {{1, 2, 3}, {1, 2, 9, 3}};
    float logits[2][VOCAB];
    candidate data[VOCAB];
    params.top_p = 1e-6f;
    CHECK(sda_sampler_new(NULL, VOCAB, &params, NULL, 0, &sampler) == SDA_OK);
    toy_logits(history[0], 3, logits[0]);
    toy_logits(history[1], 4, logits[1]);
    struct llama_token_data_array array = fill(data, logits[1]);
    CHECK(sda_sampler_set_plain_logits(sampler, logits[0], VOCAB) == SDA_OK);
    CHECK(sda_sampler_apply(sampler, &array) == SDA_OK);
    CHECK(array.size == 1 && array.sorted && array.data[0].id == first);
    params.top_p = 0.0f;
    CHECK(sda_sampler_set_params(sampler, &params) == SDA_ERR_PARAM);
    CHECK(strstr(sda_sampler_error(sampler), "top_p is 0") != NULL);
    sda_sampler_free(sampler);
}

int main(void) {
    int32_t tokens[3][STEPS] = {{0}};
    paired(tokens[0]);
    dropin(tokens[1]);
    given(tokens[2]);
    nucleus(tokens[2][0]);
    CHECK(memcmp(tokens[0], tokens[1], sizeof tokens[0]) == 0);
    CHECK(memcmp(tokens[0], tokens[2], sizeof tokens[0]) == 0);
    return finish("test_sampler");
}
