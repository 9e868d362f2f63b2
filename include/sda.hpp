// sda.hpp: libsda for C++17 and later, a thin layer over sda.h. Header only; what the functions do, their units and their
// errors are said there.
//
// Ownership: sda::pair and sda::sampler own their handle, can be moved, and free it. get() lends the handle for the
// functions of sda.h, release() gives it away. A moved-from object holds NULL, and its calls fail with SDA_ERR_NULL.
// A llama_sampler from sampler::to_llama() is the caller's until llama_sampler_chain_add() takes it; with sda_llama.h
// included before this header, sda::add_to_chain() does both.
//
// Errors: what can fail returns sda::result<T>, which is used as std::expected is: `if (result)`, *result, error() with
// the status and the library's text, and value(), which throws sda::error. Nothing else here throws but std::bad_alloc,
// and what a callback of yours threw: it is kept while the library's frames are left and thrown again behind them. Without
// exceptions (-fno-exceptions) there is no value().
//
// Arrays are sda::view, a pointer and a size, made from std::vector, std::array, std::span and the like. Structs are those
// of sda.h, set up by sda::defaults<sda_params>().
//
//     sda_host host;
//     sda_llama_host(&host);
//     auto pair = sda::pair::make(host, ctx, 0, 1).value();
//     pair.prefill(plain, instructed).value();
//     auto params = sda::defaults<sda_params>();
//     params.amplification = sda::amplify(SDA_AMPLIFY_SIGMOID, score).value();
//     auto sampler = sda::sampler::make_paired(pair, params).value();
//     sda::add_to_chain(sampler, chain).value();
//     for (;;) {
//         const llama_token token = llama_sampler_sample(chain, ctx, pair.row().value());
//         sampler.check().value();
//         pair.step(token).value();
//     }
//
// Threads: as in sda.h, an object may move between threads and is used by one at a time.
#ifndef SDA_HPP
#define SDA_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sda.h"
#include "sda_result.hpp"

namespace sda {

// Writes the steered log-probabilities of one step to `logprobs`, which may be `instructed`. All three rows have one
// length, else SDA_ERR_LENGTH.
inline result<sda_step> steer(view<const float> instructed, view<const float> plain, const sda_params &params,
                              view<float> logprobs) {
    if (auto wrong = detail::lengths(instructed.size(), plain.size(), logprobs.size())) {
        return *std::move(wrong);
    }
    sda_step step = {};
    return detail::checked(sda_steer(instructed.data(), plain.data(), instructed.size(), &params, logprobs.data(), &step),
                           nullptr, step);
}

// The same by several instructions: `others` holds a row of each instruction alone, `weights` a weight for each.
inline result<sda_step_info> steer_many(view<const float> instructed, view<const float> plain,
                                        view<const view<const float>> others, view<const float> weights,
                                        const sda_params &params, view<float> logprobs) {
    if (auto wrong = detail::lengths(instructed.size(), plain.size(), logprobs.size())) {
        return *std::move(wrong);
    }
    std::array<const float *, SDA_MOST_INSTRUCTIONS> rows = {};
    if (others.size() > rows.size()) {
        return failure{SDA_ERR_PARAM, "others has " + std::to_string(others.size()) + " rows, expected at most " +
                                          std::to_string(rows.size())};
    }
    if (weights.size() != others.size()) {
        return failure{SDA_ERR_LENGTH, "weights has " + std::to_string(weights.size()) + " elements, expected " +
                                           std::to_string(others.size()) + ", as others"};
    }
    for (std::size_t i = 0; i < others.size(); i++) {
        if (auto wrong = detail::lengths(instructed.size(), others[i].size(), logprobs.size())) {
            return *std::move(wrong);
        }
        rows[i] = others[i].data();
    }
    auto info = defaults<sda_step_info>();
    const int32_t status = sda_steer_many(instructed.data(), plain.data(), rows.data(), weights.data(), others.size(),
                                          instructed.size(), &params, logprobs.data(), &info);
    return detail::checked(status, nullptr, info);
}

// Amplification for a judge's score from 1 to 100, by one of SDA_AMPLIFY_*.
inline result<float> amplify(int32_t function, float score) {
    float amplification = 0.0f;
    const int32_t status = sda_amplify(function, score, &amplification);
    return detail::checked(status, nullptr, amplification);
}

// Two or more sequences of a context, which hold different prompts and the same generated tokens.
class pair : public detail::talking_owner<sda_pair, sda_pair_free, sda_pair_error> {
public:
    using talking_owner::talking_owner;

    // Takes over two sequences of `ctx`, and empties them. The host frees `ctx`, after the last use of the pair.
    static result<pair> make(const sda_host &host, llama_context *ctx, int32_t plain_seq, int32_t instructed_seq) {
        return detail::make<pair, sda_pair>([&](char *text, std::size_t size, sda_pair **out) {
            return sda_pair_new(&host, ctx, plain_seq, instructed_seq, text, size, out);
        });
    }

    // For several instructions: the ids of the plain branch, the instructed one, and one of each single instruction.
    static result<pair> make(const sda_host &host, llama_context *ctx, view<const int32_t> seqs) {
        return detail::make<pair, sda_pair>([&](char *text, std::size_t size, sda_pair **out) {
            return sda_pair_new_many(&host, ctx, seqs.data(), seqs.size(), text, size, out);
        });
    }

    // Reads both prompts.
    result<sda_prefill> prefill(view<const int32_t> plain, view<const int32_t> instructed) {
        auto cost = defaults<sda_prefill>();
        const int32_t status = sda_pair_prefill(get(), plain.data(), plain.size(), instructed.data(), instructed.size(), &cost);
        return checked(status, cost);
    }

    // Reads the prompts of several instructions, in the order of make()'s ids.
    result<sda_prefill> prefill(view<const sda_prompt> prompts) {
        auto cost = defaults<sda_prefill>();
        const int32_t status = sda_pair_prefill_many(get(), prompts.data(), prompts.size(), &cost);
        return checked(status, cost);
    }

    // Appends a token to all branches, with a single decode.
    result<void> step(int32_t token) { return checked(sda_pair_step(get(), token)); }

    // Row of the last decode that holds a branch's logits: by default the one to sample from.
    result<int32_t> row(int32_t side = SDA_SIDE_INSTRUCTED) const {
        int32_t row = 0;
        const int32_t status = sda_pair_row(get(), side, &row);
        return checked(status, row);
    }

    // n_vocab logits of a branch, which belong to the context and are valid until its next decode.
    result<const float *> logits(int32_t side) const {
        const float *logits = nullptr;
        const int32_t status = sda_pair_logits(get(), side, &logits);
        return checked(status, logits);
    }

    // Copies both branches to two other sequences.
    result<pair> clone(int32_t plain_seq, int32_t instructed_seq) const {
        return detail::make<pair, sda_pair>([&](char *text, std::size_t size, sda_pair **out) {
            return sda_pair_clone(get(), plain_seq, instructed_seq, text, size, out);
        });
    }

    // Copies all branches to other sequences.
    result<pair> clone(view<const int32_t> seqs) const {
        return detail::make<pair, sda_pair>([&](char *text, std::size_t size, sda_pair **out) {
            return sda_pair_clone_many(get(), seqs.data(), seqs.size(), text, size, out);
        });
    }

    // Empties the sequences.
    result<void> clear() { return checked(sda_pair_clear(get())); }
};

// Appends one token to each of several pairs of one context, with a single decode for all of them or none.
inline result<void> step_all(view<sda_pair *const> pairs, view<const int32_t> tokens) {
    if (pairs.size() != tokens.size()) {
        return failure{SDA_ERR_LENGTH, "tokens has " + std::to_string(tokens.size()) + " elements, expected " +
                                           std::to_string(pairs.size()) + ", as pairs"};
    }
    const int32_t status = sda_pair_step_many(pairs.data(), tokens.data(), pairs.size());
    return detail::checked(status, pairs.size() == 0 ? nullptr : sda_pair_error(pairs[0]));
}

// Steers one generation.
class sampler : public detail::talking_owner<sda_sampler, sda_sampler_free, sda_sampler_error> {
public:
    using talking_owner::talking_owner;

    // Reads the plain branch from a pair, which may be freed before the sampler.
    static result<sampler> make_paired(const pair &from, const sda_params &params) {
        return detail::make<sampler, sda_sampler>([&](char *text, std::size_t size, sda_sampler **out) {
            return sda_sampler_new_paired(from.get(), &params, text, size, out);
        });
    }

    // Keeps the plain branch in a context of its own. `ctx` must outlive the sampler.
    static result<sampler> make_dropin(const sda_host &host, llama_context *ctx, view<const int32_t> plain_prompt,
                                       const sda_params &params) {
        return detail::make<sampler, sda_sampler>([&](char *text, std::size_t size, sda_sampler **out) {
            return sda_sampler_new_dropin(&host, ctx, plain_prompt.data(), plain_prompt.size(), &params, text, size, out);
        });
    }

    // Gets its plain logits by set_plain_logits(). Only a sampler that goes into a chain needs a host.
    static result<sampler> make(std::size_t n_vocab, const sda_params &params, const sda_host *host = nullptr) {
        return detail::make<sampler, sda_sampler>([&](char *text, std::size_t size, sda_sampler **out) {
            return sda_sampler_new(host, n_vocab, &params, text, size, out);
        });
    }

    // A handle of its own for a llama_sampler that this library made, such as a clone of the host's.
    static result<sampler> from_llama(const llama_sampler *link) {
        return detail::make<sampler, sda_sampler>([&](char *text, std::size_t size, sda_sampler **out) {
            return sda_sampler_from_llama(link, text, size, out);
        });
    }

    // A sampler at the same point of its generation, independent from there on.
    result<sampler> clone() const {
        return detail::make<sampler, sda_sampler>([&](char *text, std::size_t size, sda_sampler **out) {
            return sda_sampler_clone(get(), text, size, out);
        });
    }

    // A llama_sampler of the same state, to go first into a chain, which owns it from then on; the caller owns it until
    // then. It stays usable without this object.
    result<llama_sampler *> to_llama() const {
        llama_sampler *link = nullptr;
        const int32_t status = sda_sampler_to_llama(get(), &link);
        return checked(status, link);
    }

    // Steers the host's candidates, for hosts without a chain.
    result<void> apply(llama_token_data_array &candidates) { return checked(sda_sampler_apply(get(), &candidates)); }

    // Tells of the token that was chosen, for hosts without a chain.
    result<void> accept(int32_t token) { return checked(sda_sampler_accept(get(), token)); }

    // Returns to the state before the first step.
    result<void> reset() { return checked(sda_sampler_reset(get())); }

    // Changes the settings from the next step on.
    result<void> set_params(const sda_params &params) { return checked(sda_sampler_set_params(get(), &params)); }

    // Continues a paired sampler with another pair.
    result<void> set_pair(const pair &other) { return checked(sda_sampler_set_pair(get(), other.get())); }

    // Starts a drop-in sampler over with another plain prompt.
    result<void> set_prompt(view<const int32_t> plain_prompt) {
        return checked(sda_sampler_set_prompt(get(), plain_prompt.data(), plain_prompt.size()));
    }

    // Hands in the plain logits of the coming step, for a sampler of make().
    result<void> set_plain_logits(view<const float> plain) {
        return checked(sda_sampler_set_plain_logits(get(), plain.data(), plain.size()));
    }

    // How much the instructed branch and those of single instructions count.
    result<void> set_weights(float instructed, view<const float> singles = {}) {
        return checked(sda_sampler_set_weights(get(), instructed, singles.data(), singles.size()));
    }

    // Whether all steps since the start succeeded: to be asked after each step in a chain, which cannot report.
    result<void> check() const { return checked(sda_sampler_status(get())); }

    // What the last step found out.
    result<sda_step_info> last_step() const {
        auto info = defaults<sda_step_info>();
        const int32_t status = sda_sampler_last_step(get(), &info);
        return checked(status, info);
    }

    // Counts of steps and accepts.
    result<sda_stats> stats() const {
        auto stats = defaults<sda_stats>();
        const int32_t status = sda_sampler_stats(get(), &stats);
        return checked(status, stats);
    }
};

// Asks `judge`, called once as judge(const sda_judge_request &) -> std::optional<float>, for a score from 1 to 100, and
// turns it into an amplification. Nothing returned is a failure, of which `on_failure` (SDA_ON_FAILURE_*) decides; an
// exception is thrown on to the caller.
template <class Judge>
result<sda_judgement> judge_amplify(Judge &&judge, const sda_judge_request &request,
                                    int32_t function = SDA_AMPLIFY_SIGMOID, int32_t on_failure = SDA_ON_FAILURE_ERROR) {
    detail::callback<Judge> callback(judge);
    const sda_judge_fn call = [](void *data, const sda_judge_request *asked, float *score) noexcept -> int32_t {
        std::optional<float> answer;
        const auto ask = [&](auto &function_) { answer = function_(*asked); };
        if (!static_cast<detail::callback<Judge> *>(data)->run(ask)) {
            return SDA_ERR_CANCELLED;
        }
        *score = answer.value_or(0.0f);
        return answer ? SDA_OK : SDA_ERR_JUDGE;
    };
    char text[detail::error_size] = "";
    auto judgement = defaults<sda_judgement>();
    const int32_t status =
        sda_judge_amplify(call, &callback, &request, function, on_failure, text, sizeof text, &judgement);
    callback.rethrow();
    return detail::checked(status, text, judgement);
}

// The question for a judge that is a language model. `prompt_template` may be NULL for the built-in one.
inline result<std::string> judge_prompt(const sda_judge_request &request, int32_t reply,
                                        const char *prompt_template = nullptr) {
    char text[detail::error_size] = "";
    std::size_t length = 0;
    int32_t status = sda_judge_prompt(&request, prompt_template, reply, text, sizeof text, nullptr, 0, &length);
    std::string prompt(status == SDA_OK ? length + 1 : 0, '\0');
    if (status == SDA_OK) {
        status = sda_judge_prompt(&request, prompt_template, reply, text, sizeof text, prompt.data(), prompt.size(), &length);
        prompt.resize(status == SDA_OK ? length : 0);
    }
    return detail::checked(status, text, std::move(prompt));
}

// The score in a judge's reply. With `request`, a score that may be an echo of it is refused.
inline result<float> judge_parse(std::string_view reply, const sda_judge_request *request = nullptr) {
    char text[detail::error_size] = "";
    float score = 0.0f;
    if (reply.find('\0') != std::string_view::npos) {
        return failure{SDA_ERR_ENCODING, "reply holds a NUL"};
    }
    const int32_t status = sda_judge_parse(request, std::string(reply).c_str(), text, sizeof text, &score);
    return detail::checked(status, text, score);
}

#ifdef SDA_LLAMA_H
// Puts a sampler into a chain of llama.cpp, which owns what was put there. It has to be the chain's first.
inline result<void> add_to_chain(const sampler &from, llama_sampler *chain) {
    const auto link = from.to_llama();
    if (!link) {
        return link.error();
    }
    llama_sampler_chain_add(chain, *link);
    return {};
}
#endif

} // namespace sda

#endif // SDA_HPP
