// Paired, drop-in and given logits take the same tokens through sda.hpp, in the small host of the C tests.
#include <array>
#include <stdexcept>
#include <type_traits>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

#include "check.h"
#include "host.h"
#include "sda.hpp"

namespace {

constexpr int STEPS = 8;
using Tokens = std::vector<int32_t>;

const Tokens plain = {1, 2, 3};
const Tokens instructed = {1, 2, 9, 3};

static_assert(!std::is_copy_constructible_v<sda::pair> && !std::is_copy_assignable_v<sda::sampler>);
static_assert(std::is_nothrow_move_constructible_v<sda::pair> && std::is_nothrow_move_assignable_v<sda::sampler>);

// The host's own, which its chain frees.
struct link_owner {
    explicit link_owner(llama_sampler *from) : link(from) {}
    link_owner(const link_owner &) = delete;
    link_owner &operator=(const link_owner &) = delete;
    ~link_owner() { sampler_free(link); }
    llama_sampler *link;
};

sda_params settings() {
    auto params = sda::defaults<sda_params>();
    params.amplification = 0.7f;
    return params;
}

Tokens paired() {
    static llama_context ctx;
    const sda_host host = host_table();
    auto made = sda::pair::make(host, &ctx, 0, 1).value();
    auto pair = std::move(made);
    CHECK(made.get() == nullptr && made.step(1).error().status == SDA_ERR_NULL);
    CHECK(pair.row().error().status == SDA_ERR_STATE && pair.row().error().text.find("no logits") != std::string::npos);
    const sda_prefill cost = pair.prefill(plain, instructed).value();
    CHECK(cost.shared == 2 && cost.decoded == 5);
    auto sampler = sda::sampler::make_paired(pair, settings()).value();
    const link_owner chain(sampler.to_llama().value());
    CHECK(sampler.last_step().error().status == SDA_ERR_STATE);
    Tokens tokens;
    candidate data[VOCAB];
    for (int i = 0; i < STEPS; i++) {
        llama_token_data_array array = fill(data, ctx.logits[pair.row().value()]);
        CHECK(pair.logits(SDA_SIDE_INSTRUCTED).value() == ctx.logits[*pair.row()]);
        iface_of(chain.link)->apply(chain.link, &array);
        tokens.push_back(best(&array));
        iface_of(chain.link)->accept(chain.link, tokens.back());
        sampler.check().value();
        pair.step(tokens.back()).value();
    }
    CHECK(sampler.last_step().value().temperature > 0.0f && sampler.stats().value().steered == STEPS);
    // Another answer to the same prompts, stepped together with the first; then a sampler of it.
    auto second = pair.clone(2, 3).value();
    sda_pair *const both[] = {pair.get(), second.get()};
    const Tokens next = {5, 6};
    sda::step_all(both, next).value();
    CHECK(ctx.tokens[1][4 + STEPS] == 5 && ctx.tokens[3][4 + STEPS] == 6);
    CHECK(sda::step_all(both, {next.data(), 1}).error().status == SDA_ERR_LENGTH);
    sampler.clone().value().set_pair(second).value();
    pair.clear().value();
    CHECK(ctx.length[0] == 0 && pair.row().error().status == SDA_ERR_STATE);
    return tokens;
}

Tokens dropin() {
    static llama_context ctx;
    const sda_host host = host_table();
    auto sampler = sda::sampler::make_dropin(host, &ctx, plain, settings()).value();
    llama_sampler *first = sampler.to_llama().value();
    llama_sampler *clone = iface_of(first)->clone(first);
    CHECK(siblings == 2);
    sampler_free(first);
    sampler = sda::sampler::from_llama(clone).value(); // Frees the handle of the first.
    CHECK(siblings == 1);
    Tokens tokens, history = instructed;
    candidate data[VOCAB];
    float logits[VOCAB];
    {
        const link_owner chain(clone);
        for (int i = 0; i < STEPS; i++) {
            toy_logits(history.data(), static_cast<int>(history.size()), logits);
            llama_token_data_array array = fill(data, logits);
            iface_of(clone)->apply(clone, &array);
            tokens.push_back(best(&array));
            history.push_back(tokens.back());
            iface_of(clone)->accept(clone, tokens.back());
            sampler.check().value();
        }
        llama_token_data_array none = {nullptr, 0, -1, false};
        iface_of(clone)->apply(clone, &none);
        CHECK(sampler.check().error().status == SDA_ERR_CANDIDATES && !sampler.check().error().text.empty());
        sampler.reset().value();
        sampler.set_prompt(instructed).value();
        CHECK(sampler.set_prompt({}).error().status == SDA_ERR_PROMPT);
    }
    // The handle is given away, and freed by hand.
    sda_sampler *handle = sampler.release();
    CHECK(sampler.get() == nullptr && siblings == 1);
    sda_sampler_free(handle);
    CHECK(siblings == 0);
    return tokens;
}

Tokens given() {
    auto sampler = sda::sampler::make(VOCAB, settings()).value();
    CHECK(sampler.to_llama().error().status == SDA_ERR_NULL);
    Tokens tokens, histories[2] = {plain, instructed};
    std::array<float, VOCAB> rows[2];
    candidate data[VOCAB];
    for (int i = 0; i < STEPS; i++) {
        for (int side = 0; side < 2; side++) {
            toy_logits(histories[side].data(), static_cast<int>(histories[side].size()), rows[side].data());
        }
        llama_token_data_array array = fill(data, rows[1].data());
        CHECK(sampler.apply(array).error().status == SDA_ERR_STATE);
#if __cplusplus >= 202002L
        sampler.set_plain_logits(std::span<const float>(rows[0])).value();
#else
        sampler.set_plain_logits(rows[0]).value();
#endif
        sampler.apply(array).value();
        tokens.push_back(best(&array));
        sampler.accept(tokens.back()).value();
        for (auto &history : histories) {
            history.push_back(tokens.back());
        }
    }
    auto params = settings();
    params.top_p = 0.0f;
    const auto refused = sampler.set_params(params);
    CHECK(refused.error().status == SDA_ERR_PARAM && refused.error().text.find("top_p is 0") != std::string::npos);
    CHECK(sampler.set_weights(2.0f).has_value());
    return tokens;
}

// Four branches in one decode.
void several() {
    static llama_context ctx;
    const sda_host host = host_table();
    const int32_t seqs[] = {0, 1, 2, 3};
    const Tokens first = {1, 2, 9, 3}, second = {1, 2, 8, 3}, both = {1, 2, 9, 8, 3};
    const std::vector<sda_prompt> prompts = {
        {plain.data(), plain.size()}, {both.data(), both.size()}, {first.data(), first.size()}, {second.data(), second.size()}};
    auto pair = sda::pair::make(host, &ctx, seqs).value();
    pair.prefill(prompts).value();
    auto sampler = sda::sampler::make_paired(pair, settings()).value();
    const float weights[] = {1.0f, -0.5f};
    sampler.set_weights(0.0f, weights).value();
    std::vector<float> row(pair.logits(SDA_SIDE_INSTRUCTED).value(), *pair.logits(SDA_SIDE_INSTRUCTED) + VOCAB);
    candidate data[VOCAB];
    llama_token_data_array array = fill(data, row.data());
    sampler.apply(array).value();
    const sda::view<const float> singles[] = {{pair.logits(SDA_SIDE_SINGLE).value(), VOCAB},
                                              {pair.logits(SDA_SIDE_SINGLE + 1).value(), VOCAB}};
    sda::steer_many(row, {pair.logits(SDA_SIDE_PLAIN).value(), VOCAB}, singles, weights, settings(), row).value();
    for (int i = 0; i < VOCAB; i++) {
        CHECK(data[i].logit == row[static_cast<std::size_t>(i)]);
    }
}

int32_t throwing_decode(llama_context *, const sda_row *, size_t) { throw std::runtime_error("no decode"); }

void throwing_log(int32_t, const char *, void *) { throw std::runtime_error("no log"); }

// What a host's function throws becomes the value that says that it failed.
void host_exceptions() {
    static llama_context ctx;
    sda_host host = host_table();
    host.decode = sda::no_throw<throwing_decode, -1>;
    host.log = sda::no_throw<throwing_log>;
    auto pair = sda::pair::make(host, &ctx, 0, 1).value();
    const auto failed = pair.prefill(plain, instructed);
    CHECK(!failed && failed.error().status == SDA_ERR_HOST);
    auto sampler = sda::sampler::make(VOCAB, settings(), &host).value();
    const link_owner chain(sampler.to_llama().value());
    candidate data[VOCAB];
    const std::vector<float> row(VOCAB, 0.0f);
    llama_token_data_array array = fill(data, row.data());
    iface_of(chain.link)->apply(chain.link, &array);
    CHECK(sampler.check().error().status == SDA_ERR_STATE);
}

void no_pair() {
    const sda_host host = host_table();
    const auto pair = sda::pair::make(host, nullptr, 0, 1);
    CHECK(!pair && pair.error().status == SDA_ERR_NULL && pair.error().text == "ctx is NULL");
    try {
        static llama_context ctx;
        sda::pair::make(host, &ctx, 0, 0).value();
        CHECK(false);
    } catch (const sda::error &error) {
        CHECK(error.status() == SDA_ERR_PARAM && std::string(error.what()).find("instructed_seq is 0") != std::string::npos);
    }
}

} // namespace

int main() {
    const Tokens tokens = paired();
    CHECK(tokens.size() == STEPS && tokens == dropin() && tokens == given());
    several();
    host_exceptions();
    no_pair();
    return finish("test_sampler_cpp");
}
