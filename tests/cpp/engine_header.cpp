// Compiled only: the engine's functions are in the library with llama.cpp inside.
#include "sda_engine.hpp"

static_assert(!std::is_copy_constructible_v<sda::model> && std::is_nothrow_move_constructible_v<sda::engine>);

// Every template, used once.
int score(const char *path) {
    auto model = sda::model::load(path).value();
    auto engine = sda::engine::make(model).value();
    auto params = sda::defaults<sda_generate_params>();
    params.prompt = "Why?";
    std::string answer;
    const auto on_text = [&](std::string_view text, const sda_token *) {
        answer += text;
        engine.cancel();
        return answer.size() < 100;
    };
    auto request = sda::defaults<sda_judge_request>();
    request.draft = answer.c_str();
    return engine.generate(params, on_text).value().finish + static_cast<int>(engine.score(request).value());
}
