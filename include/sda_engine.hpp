// sda_engine.hpp: the engine of a libsda that has llama.cpp inside, for C++17 and later; see sda.hpp for the conventions.
//
//     auto model = sda::model::load("model.gguf").value();
//     auto engine = sda::engine::make(model).value();
//     auto params = sda::defaults<sda_generate_params>();
//     params.prompt = "What does a computer do?";
//     params.instruction = "Answer like a pirate.";
//     engine.generate(params, [](std::string_view text, const sda_token *) { std::cout << text; return true; }).value();
#ifndef SDA_ENGINE_HPP
#define SDA_ENGINE_HPP

#ifndef SDA_BUNDLED
#define SDA_BUNDLED
#ifdef SDA_H
#error "define SDA_BUNDLED before sda.h, or include sda_engine.hpp before it"
#endif
#endif

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sda.hpp"

namespace sda {

// A loaded model. Engines that were made from it keep what they need.
class model : public detail::owner<sda_model, sda_model_free> {
public:
    using owner::owner;

    // Loads a GGUF file.
    static result<model> load(const char *path, const sda_model_params &params = defaults<sda_model_params>()) {
        return detail::make<model, sda_model>([&](char *text, std::size_t size, sda_model **out) {
            return sda_model_new(path, &params, text, size, out);
        });
    }
};

// A model's context with everything that steered generation needs.
class engine : public detail::talking_owner<sda_engine, sda_engine_free, sda_engine_error> {
public:
    using talking_owner::talking_owner;

    // Makes the context. The model may be freed before the engine.
    static result<engine> make(const model &from, const sda_engine_params &params = defaults<sda_engine_params>()) {
        return detail::make<engine, sda_engine>([&](char *text, std::size_t size, sda_engine **out) {
            return sda_engine_new(from.get(), &params, text, size, out);
        });
    }

    // Generates one answer. `on_text` receives it piece by piece, called as on_text(std::string_view text, const
    // sda_token *token) -> bool: false stops, an exception stops and is thrown on to the caller. It takes the place of
    // on_text and user_data of `params`.
    template <class OnText> result<sda_answer> generate(sda_generate_params params, OnText &&on_text) {
        detail::callback<OnText> callback(on_text);
        params.user_data = &callback;
        params.on_text = [](const char *text, std::size_t size, const sda_token *token, void *data) noexcept -> int32_t {
            bool more = false;
            const auto tell = [&](auto &function) { more = function(std::string_view(text, size), token); };
            return static_cast<detail::callback<OnText> *>(data)->run(tell) && more ? 0 : 1;
        };
        auto answer = defaults<sda_answer>();
        const int32_t status = sda_engine_generate(get(), &params, &answer);
        callback.rethrow();
        return checked(status, answer);
    }

    // Scores a draft, from 1 to 100.
    result<float> score(const sda_judge_request &request) {
        float score = 0.0f;
        const int32_t status = sda_engine_score(get(), &request, &score);
        return checked(status, score);
    }

    // Stops what is being computed; the only call for another thread than the one that uses the engine.
    void cancel() const noexcept { sda_engine_cancel(get()); }
};

} // namespace sda

#endif // SDA_ENGINE_HPP
