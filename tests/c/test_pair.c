/* A pair in the small host. */
#include "check.h"
#include "host.h"

static int same_row(sda_pair *pair, int32_t side, const int32_t *tokens, int length) {
    float expected[VOCAB];
    const float *logits;
    toy_logits(tokens, length, expected);
    return sda_pair_logits(pair, side, &logits) == SDA_OK && memcmp(logits, expected, sizeof expected) == 0;
}

/* Two instructions: four branches in one decode, and a sampler that steers by all of them. */
static void several(void) {
    static struct llama_context ctx;
    const int32_t seqs[] = {0, 1, 2, 3};
    const int32_t plain[] = {1, 2, 20}, both[] = {1, 2, 3, 4, 20}, first[] = {1, 2, 3, 20}, second[] = {1, 2, 4, 20};
    const sda_prompt prompts[] = {{plain, 3}, {both, 5}, {first, 4}, {second, 4}};
    const float weights[] = {1.0f, -0.5f};
    const float *rows[4];
    float expected[VOCAB];
    candidate data[VOCAB];
    struct llama_token_data_array array;
    sda_host host = host_table();
    sda_pair *pair = NULL;
    sda_sampler *sampler = NULL;
    sda_params params;
    sda_step_info info;
    CHECK(sda_pair_new_many(&host, &ctx, seqs, 4, NULL, 0, &pair) == SDA_OK);
    CHECK(sda_pair_prefill_many(pair, prompts, 4, NULL) == SDA_OK && ctx.rows == 10);
    CHECK(sda_pair_step(pair, 7) == SDA_OK && ctx.rows == 14);
    CHECK(ctx.length[0] == 4 && ctx.length[3] == 5 && ctx.tokens[3][4] == 7);
    for (int32_t side = 0; side < 4; side++) {
        CHECK(sda_pair_logits(pair, side, &rows[side]) == SDA_OK);
    }
    CHECK(same_row(pair, SDA_SIDE_SINGLE + 1, ctx.tokens[3], 5));
    CHECK(sda_params_init(&params, sizeof params) == SDA_OK && sda_step_info_init(&info, sizeof info) == SDA_OK);
    params.amplification = 0.5f;
    CHECK(sda_sampler_new_paired(pair, &params, NULL, 0, &sampler) == SDA_OK);
    CHECK(sda_sampler_set_weights(sampler, 0.0f, weights, 2) == SDA_OK);
    array = fill(data, rows[1]);
    CHECK(sda_sampler_apply(sampler, &array) == SDA_OK);
    CHECK(sda_steer_many(rows[1], rows[0], rows + 2, weights, 2, VOCAB, &params, expected, &info) == SDA_OK);
    for (int i = 0; i < VOCAB; i++) {
        CHECK(data[i].logit == expected[i]);
    }
    sda_sampler_free(sampler);
    sda_pair_free(pair);
}

int main(void) {
    static struct llama_context ctx;
    sda_host host = host_table();
    sda_pair *pair = NULL;
    sda_pair *clone = NULL;
    sda_prefill cost;
    int32_t row = -1;
    char error[128] = "";
    const int32_t plain[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20};
    const int32_t instructed[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 21, 22, 20};
    CHECK(sda_pair_new(&host, &ctx, 0, 0, error, sizeof error, &pair) == SDA_ERR_PARAM && pair == NULL);
    CHECK(strstr(error, "instructed_seq is 0") != NULL);
    CHECK(sda_pair_new(&host, NULL, 0, 1, error, 4, &pair) == SDA_ERR_NULL && strcmp(error, "ctx") == 0);
    CHECK(sda_pair_new(&host, &ctx, 0, 1, NULL, 0, &pair) == SDA_OK);
    CHECK(sda_pair_row(pair, SDA_SIDE_INSTRUCTED, &row) == SDA_ERR_STATE);
    CHECK(strstr(sda_pair_error(pair), "no logits") != NULL);
    CHECK(sda_prefill_init(&cost, sizeof cost) == SDA_OK && cost.struct_size == sizeof cost);
    CHECK(sda_pair_prefill(pair, plain, 13, instructed, 15, &cost) == SDA_OK);
    CHECK(cost.shared == 12 && cost.decoded == 16 && ctx.rows == 16);
    CHECK(same_row(pair, SDA_SIDE_PLAIN, plain, 13) && same_row(pair, SDA_SIDE_INSTRUCTED, instructed, 15));
    CHECK(sda_pair_clone(pair, 2, 3, NULL, 0, &clone) == SDA_OK);
    CHECK(sda_pair_step(clone, 5) == SDA_OK && sda_pair_step(pair, 6) == SDA_OK);
    CHECK(ctx.length[3] == 16 && ctx.tokens[3][15] == 5 && ctx.tokens[1][15] == 6);
    CHECK(sda_pair_prefill(pair, plain, 0, instructed, 15, NULL) == SDA_ERR_PROMPT);
    CHECK(sda_pair_error(pair)[0] != 0);
    while (ctx.length[1] < CELLS) {
        CHECK(sda_pair_step(pair, 7) == SDA_OK);
    }
    CHECK(sda_pair_step(pair, 7) == SDA_ERR_CONTEXT_FULL);
    CHECK(sda_pair_clear(pair) == SDA_OK && ctx.length[0] == 0 && ctx.length[1] == 0);
    sda_pair_free(clone);
    sda_pair_free(pair);
    sda_pair_free(NULL);
    several();
    return finish("test_pair");
}
