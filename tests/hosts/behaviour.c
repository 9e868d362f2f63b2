/*
 * What a host may do with the sampler, on a real model and in a real chain of whatever llama.cpp this is
 * compiled with. Prints a line for each thing that holds; the first that does not ends the program.
 *
 *     behaviour MODEL.gguf
 */
#include "support.h"

static void chain_equals_kernel(void) {
    struct llama_context *ctx = new_context(1024, 1);
    sda_pair *pair = new_pair(ctx, 0, &story);
    sda_sampler *sampler = new_sampler(pair, 1.0f);
    struct llama_sampler *chain = new_chain(NULL, sampler, NULL);
    const size_t n_vocab = (size_t)llama_vocab_n_tokens(vocab);
    float *logprobs = (float *)malloc(n_vocab * sizeof *logprobs);
    const sda_params params = new_params(1.0f);
    const float *p, *q;
    sda_step step;
    sda_step_info last;
    llama_token token;
    int i;

    CHECK(logprobs != NULL);
    CHECK(strcmp(llama_sampler_name(llama_sampler_chain_get(chain, 0)), "sda") == 0);
    for (i = 0; i < N_STEPS; i++) {
        CHECK(sda_pair_logits(pair, SDA_SIDE_INSTRUCTED, &p) == SDA_OK);
        CHECK(sda_pair_logits(pair, SDA_SIDE_PLAIN, &q) == SDA_OK);
        CHECK(sda_steer(p, q, n_vocab, &params, logprobs, &step) == SDA_OK);
        token = sample(chain, ctx, pair);
        CHECK(token == argmax(logprobs));
        CHECK(sda_step_info_init(&last, sizeof last) == SDA_OK);
        CHECK(sda_sampler_last_step(sampler, &last) == SDA_OK);
        CHECK(last.divergence == step.divergence && last.temperature == step.temperature);
        CHECK(step.divergence > 0.0f);
        CHECK(sda_pair_step(pair, token) == SDA_OK);
    }
    free(logprobs);
    sda_sampler_free(sampler); /* before the chain, elsewhere after it */
    llama_sampler_free(chain);
    sda_pair_free(pair);
    llama_free(ctx);
    puts("a chain takes the token that sda_steer() on the pair's two rows puts first");
}

static void pairs_and_host_share_a_context(void) {
    static const float amplification[2] = {1.0f, -0.5f};
    const struct prompt *instructed[2] = {&story, &poem};
    llama_token answer[2][N_STEPS], expected[N_STEPS], token[2];
    struct llama_context *ctx = new_context(2048, 2);
    sda_pair *pair[2];
    sda_sampler *sampler[2];
    struct llama_sampler *chain[2];
    sda_row row;
    int i, k;

    for (k = 0; k < 2; k++) {
        pair[k] = new_pair(ctx, 2 * k, instructed[k]);
        sampler[k] = new_sampler(pair[k], amplification[k]);
        chain[k] = new_chain(NULL, sampler[k], NULL);
        token[k] = sample(chain[k], ctx, pair[k]);
    }
    for (i = 0; i < N_STEPS; i++) {
        for (k = 0; k < 2; k++) {
            answer[k][i] = token[k];
            CHECK(sda_pair_step(pair[k], token[k]) == SDA_OK);
            token[k] = sample(chain[k], ctx, pair[k]); /* before anything else is decoded */
        }
        row.token = plain.tokens[i % plain.n];
        row.pos = i;
        row.seq = 4;
        row.wants_logits = 1;
        CHECK(sda_llama_decode(ctx, &row, 1) == 0);
    }
    for (k = 0; k < 2; k++) {
        CHECK(sda_sampler_status(sampler[k]) == SDA_OK);
        alone(instructed[k], amplification[k], expected);
        CHECK(same(answer[k], expected));
        llama_sampler_free(chain[k]);
        sda_sampler_free(sampler[k]);
        sda_pair_free(pair[k]);
    }
    llama_free(ctx);
    puts("two pairs with different instructions and a sequence of the host's do not touch each other");
}

static void clone_goes_its_own_way(void) {
    llama_token begin[N_STEPS], rest[N_STEPS], other[N_STEPS], expected[N_STEPS];
    struct llama_context *ctx = new_context(2048, 2);
    sda_pair *pair = new_pair(ctx, 0, &story), *second = NULL;
    sda_sampler *sampler = new_sampler(pair, 1.0f), *clone_handle = NULL, *none = NULL;
    struct llama_sampler *chain = new_chain(NULL, sampler, NULL), *clone;
    sda_stats stats;
    int i;

    alone(&story, 1.0f, expected);
    generate(chain, ctx, pair, begin, 4);
    CHECK(sda_pair_clone(pair, 2, 3, NULL, 0, &second) == SDA_OK);
    clone = llama_sampler_clone(chain);
    CHECK(clone != NULL);
    CHECK(sda_sampler_from_llama(llama_sampler_chain_get(clone, 0), NULL, 0, &clone_handle) == SDA_OK);
    CHECK(sda_sampler_from_llama(llama_sampler_chain_get(clone, 1), NULL, 0, &none) == SDA_ERR_STATE &&
          none == NULL);
    CHECK(sda_sampler_set_pair(clone_handle, second) == SDA_OK);

    other[0] = sample(clone, ctx, second);
    CHECK(other[0] == expected[4]);
    CHECK(sda_pair_step(second, plain.tokens[0]) == SDA_OK); /* another token than the one it chose */
    generate(clone, ctx, second, other, 4);
    CHECK(sda_pair_step(pair, expected[4]) == SDA_OK);
    generate(chain, ctx, pair, rest, N_STEPS - 5);
    for (i = 5; i < N_STEPS; i++) {
        CHECK(rest[i - 5] == expected[i]);
    }
    CHECK(memcmp(other, expected + 5, 4 * sizeof *other) != 0);
    CHECK(sda_sampler_status(sampler) == SDA_OK && sda_sampler_status(clone_handle) == SDA_OK);
    CHECK(sda_stats_init(&stats, sizeof stats) == SDA_OK);
    CHECK(sda_sampler_stats(clone_handle, &stats) == SDA_OK && stats.steered == 9);

    llama_sampler_free(chain);
    llama_sampler_free(clone);
    sda_sampler_free(clone_handle);
    sda_sampler_free(sampler);
    sda_pair_free(second);
    sda_pair_free(pair);
    llama_free(ctx);
    puts("a chain cloned in the middle goes on by itself, and the first one as if there were no clone");
}

static void other_samplers_keep_their_say(void) {
    static const char *const grammar = "root ::= \"yes\" | \"no\"";
    struct llama_context *ctx = new_context(1024, 1);
    sda_pair *pair = new_pair(ctx, 0, &story);
    sda_sampler *sampler = new_sampler(pair, 1.0f);
    struct llama_sampler *chain = new_chain(NULL, sampler, NULL);
    const llama_token best = sample(chain, ctx, pair);
    const llama_logit_bias banned = {best, -INFINITY};
    struct llama_sampler *ban = llama_sampler_init_logit_bias(llama_vocab_n_tokens(vocab), 1, &banned);
    char piece[16] = {0};
    llama_token token;

    llama_sampler_free(chain);
    chain = new_chain(ban, sampler, NULL);
    token = sample(chain, ctx, pair);
    CHECK(token != best);
    llama_sampler_free(chain);

    chain = new_chain(NULL, sampler, llama_sampler_init_grammar(vocab, grammar, "root"));
    token = sample(chain, ctx, pair);
    CHECK(llama_token_to_piece(vocab, token, piece, sizeof piece - 1, 0, false) > 0);
    CHECK(strchr("yn", piece[0]) != NULL);
    llama_sampler_free(chain);

    chain = new_chain(NULL, sampler, llama_sampler_init_top_k(1));
    CHECK(sample(chain, ctx, pair) == best);
    CHECK(sda_sampler_status(sampler) == SDA_OK);
    llama_sampler_free(chain);
    sda_sampler_free(sampler);
    sda_pair_free(pair);
    llama_free(ctx);
    puts("a token that is banned before stays banned, grammar and top-k after work as ever");
}

static void misuse_is_told(void) {
    struct llama_context *ctx = new_context(1024, 1);
    sda_pair *pair = new_pair(ctx, 0, &story);
    sda_sampler *sampler = new_sampler(pair, 1.0f);
    struct llama_sampler *chain = new_chain(llama_sampler_init_top_k(40), sampler, NULL);
    const float *logits;
    int32_t row;

    CHECK(sda_pair_logits(pair, SDA_SIDE_INSTRUCTED, &logits) == SDA_OK);
    n_logged = 0;
    CHECK(sample(chain, ctx, pair) == argmax(logits)); /* left as it was */
    CHECK(sda_sampler_status(sampler) == SDA_ERR_CANDIDATES);
    CHECK(strstr(sda_sampler_error(sampler), "first in the chain") != NULL);
    (void)sample(chain, ctx, pair);
    CHECK(n_logged == 1);
    llama_sampler_reset(chain);
    CHECK(sda_sampler_status(sampler) == SDA_OK);
    llama_sampler_free(chain);

    chain = new_chain(NULL, sampler, NULL);
    CHECK(sda_pair_row(pair, SDA_SIDE_PLAIN, &row) == SDA_OK);
    (void)llama_sampler_sample(chain, ctx, row);
    CHECK(sda_sampler_status(sampler) == SDA_ERR_STATE);
    llama_sampler_reset(chain);
    (void)sample(chain, ctx, pair);
    CHECK(sda_sampler_status(sampler) == SDA_OK);
    llama_sampler_free(chain);
    sda_sampler_free(sampler);
    sda_pair_free(pair);
    llama_free(ctx);
    puts("a sampler that is not first, and the wrong row, are errors that are logged once; reset forgives");
}

static void full_context_is_an_error(void) {
    const uint32_t n_ctx = 256;
    struct llama_context *ctx = new_context(n_ctx, 1);
    sda_pair *pair = new_pair(ctx, 0, &story);
    uint32_t n = 0;
    int32_t status, row;

    do {
        status = sda_pair_step(pair, plain.tokens[0]);
        n++;
    } while (status == SDA_OK && n < n_ctx);
    CHECK(status == SDA_ERR_CONTEXT_FULL);
    CHECK(n > n_ctx / 3);
    CHECK(strlen(sda_pair_error(pair)) > 0);
    /* Recurrent memory has no cells to run out of: the branch is as long as it may be, and nothing was decoded. */
    CHECK(sda_pair_row(pair, SDA_SIDE_INSTRUCTED, &row) ==
          (llama_model_is_recurrent(llama_get_model(ctx)) ? SDA_OK : SDA_ERR_STATE));
    CHECK(sda_pair_step(pair, plain.tokens[0]) == SDA_ERR_CONTEXT_FULL);
    CHECK(sda_pair_prefill(pair, plain.tokens, (size_t)plain.n, poem.tokens, (size_t)poem.n, NULL) == SDA_OK);
    CHECK(sda_pair_step(pair, plain.tokens[0]) == SDA_OK);
    sda_pair_free(pair);
    llama_free(ctx);
    puts("a full context is an error, after which other prompts can be read");
}

/* One answer of a drop-in host. `n_accepts` is how often it accepts each token: llama_sampler_sample() does
 * once. At `copy_at` the chain is replaced by a clone of it. Returns the sampler's status. */
static int32_t drop_in(int n_accepts, int copy_at, llama_token *out) {
    struct llama_context_params settings = llama_context_default_params();
    const sda_params params = new_params(1.0f);
    const sda_host host = new_host();
    sda_sampler *sampler = NULL, *handle = NULL;
    struct llama_sampler *chain, *old;
    struct llama_context *ctx;
    llama_token_data_array candidates;
    llama_token_data *data;
    struct prompt prompt = story;
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    const float *logits;
    int32_t status;
    sda_row row;
    int i, k;

    settings.n_ctx = 512;
    ctx = llama_init_from_model(model, settings);
    data = (llama_token_data *)malloc((size_t)n_vocab * sizeof *data);
    CHECK(ctx != NULL && data != NULL);
    CHECK(sda_sampler_new_dropin(&host, ctx, plain.tokens, (size_t)plain.n, &params, NULL, 0, &sampler) ==
          SDA_OK);
    chain = new_chain(NULL, sampler, NULL);
    CHECK(llama_decode(ctx, llama_batch_get_one(prompt.tokens, prompt.n)) == 0);
    for (i = 0; i < N_STEPS; i++) {
        if (i == copy_at) {
            old = chain;
            chain = llama_sampler_clone(chain);
            llama_sampler_free(old);
        }
        logits = llama_get_logits_ith(ctx, -1);
        for (k = 0; k < n_vocab; k++) {
            data[k].id = k;
            data[k].logit = logits[k];
            data[k].p = 0.0f;
        }
        memset(&candidates, 0, sizeof candidates);
        candidates.data = data;
        candidates.size = (size_t)n_vocab;
        candidates.selected = -1;
        llama_sampler_apply(chain, &candidates);
        out[i] = candidates.data[candidates.selected].id;
        for (k = 0; k < n_accepts; k++) {
            llama_sampler_accept(chain, out[i]);
        }
        row.token = out[i];
        row.pos = prompt.n + i;
        row.seq = 0;
        row.wants_logits = 1;
        CHECK(sda_llama_decode(ctx, &row, 1) == 0);
    }
    CHECK(sda_sampler_from_llama(llama_sampler_chain_get(chain, 0), NULL, 0, &handle) == SDA_OK);
    status = sda_sampler_status(handle);
    sda_sampler_free(handle);
    sda_sampler_free(sampler);
    llama_sampler_free(chain);
    llama_free(ctx);
    free(data);
    return status;
}

static void drop_in_hosts_differ(void) {
    llama_token once[N_STEPS], twice[N_STEPS], cloned[N_STEPS], never[N_STEPS], paired[N_STEPS];

    CHECK(drop_in(1, -1, once) == SDA_OK);
    alone(&story, 1.0f, paired);
    CHECK(same(once, paired));
    CHECK(drop_in(2, -1, twice) == SDA_OK);
    CHECK(same(once, twice));
    CHECK(drop_in(1, 5, cloned) == SDA_OK);
    CHECK(same(once, cloned));
    CHECK(drop_in(0, -1, never) == SDA_ERR_STATE);
    puts("drop-in: the same answer as paired, also when tokens are accepted twice or the chain is a clone; a "
         "host that never accepts is told");
}

#ifdef SDA_TEST_SAMPLER_COPY
static void copy_takes_over_the_state(void) {
    llama_token expected[N_STEPS], out[N_STEPS];
    struct llama_context *ctx = new_context(1024, 1);
    sda_pair *pair = new_pair(ctx, 0, &story);
    sda_sampler *from = new_sampler(pair, 1.0f), *to = new_sampler(pair, -1.0f), *now = NULL;
    struct llama_sampler *source = new_chain(NULL, from, NULL), *target = new_chain(NULL, to, NULL);
    sda_stats stats;
    int i;

    alone(&story, 1.0f, expected);
    generate(source, ctx, pair, out, 3);
    llama_sampler_copy(source, target);
    llama_sampler_free(source);
    generate(target, ctx, pair, out, N_STEPS - 3);
    for (i = 3; i < N_STEPS; i++) {
        CHECK(out[i - 3] == expected[i]);
    }
    CHECK(sda_sampler_from_llama(llama_sampler_chain_get(target, 0), NULL, 0, &now) == SDA_OK);
    CHECK(sda_stats_init(&stats, sizeof stats) == SDA_OK);
    CHECK(sda_sampler_stats(now, &stats) == SDA_OK && stats.steered == N_STEPS);
    sda_sampler_free(now);
    llama_sampler_free(target);
    sda_sampler_free(to);
    sda_sampler_free(from);
    sda_pair_free(pair);
    llama_free(ctx);
    puts("llama_sampler_copy() takes settings and state over");
}
#endif

int main(int argc, char **argv) {
    CHECK(argc == 2);
    llama_log_set(log_errors, NULL);
    llama_backend_init();
    model = llama_model_load_from_file(argv[1], llama_model_default_params());
    CHECK(model != NULL);
    vocab = llama_model_get_vocab(model);
    plain = tokenize("");
    story = tokenize("\n\nExplain it to a five-year-old child, with an animal in the story.");
    poem = tokenize("\n\nAnswer with a poem about the sea.");

    chain_equals_kernel();
    pairs_and_host_share_a_context();
    clone_goes_its_own_way();
    other_samplers_keep_their_say();
    misuse_is_told();
    full_context_is_an_error();
    drop_in_hosts_differ();
#ifdef SDA_TEST_SAMPLER_COPY
    copy_takes_over_the_state();
#endif
    llama_model_free(model);
    llama_backend_free();
    return 0;
}
