// The program of examples/c/paired.c for hosts in C++: every handle is owned, every error is an exception.
//
//     paired MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]
//     c++ -std=c++17 paired.cpp $(pkg-config --cflags --libs sda llama) -o paired

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "llama-cpp.h"
#include "sda_llama.h"

#include "sda.hpp"

namespace {

template <class T> T *check(T *pointer, const char *what) {
    if (pointer == nullptr) {
        throw std::runtime_error(what);
    }
    return pointer;
}

// Tokens of a user's turn that holds `prompt`, and `instruction` below it if there is one.
std::vector<llama_token> tokenize_chat(const llama_model *model, std::string prompt,
                                       const std::string &instruction) {
    if (!instruction.empty()) {
        prompt += "\n\n" + instruction;
    }
    const char *chat_template = llama_model_chat_template(model, nullptr);
    const llama_chat_message message = {"user", prompt.c_str()};
    std::string text(2 * prompt.size() + 1024, '\0');
    const int32_t length = llama_chat_apply_template(chat_template, &message, 1, true, text.data(),
                                                     static_cast<int32_t>(text.size()));
    if (length < 0 || static_cast<size_t>(length) > text.size()) {
        throw std::runtime_error("the chat template does not apply");
    }
    std::vector<llama_token> tokens(static_cast<size_t>(length) + 8);
    const llama_vocab *vocab = llama_model_get_vocab(model);
    int32_t n = llama_tokenize(vocab, text.data(), length, tokens.data(), static_cast<int32_t>(tokens.size()),
                               true, true);
    if (n > 0 && llama_vocab_get_add_eos(vocab)) {
        n--; // The model goes on with the prompt, so it has no end.
    }
    if (n <= 0) {
        throw std::runtime_error("the prompt does not tokenize");
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
}

std::string piece(const llama_vocab *vocab, llama_token token) {
    std::string text(256, '\0');
    const int32_t n =
        llama_token_to_piece(vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, false);
    if (n < 0) {
        throw std::runtime_error("a token's text does not fit");
    }
    text.resize(static_cast<size_t>(n));
    return text;
}

void run(const char *path, const std::string &prompt, const std::string &instruction, float amplification,
         long seed, int n_tokens, bool ids) {
    const llama_model_ptr model(
        check(llama_model_load_from_file(path, llama_model_default_params()), "cannot load the model"));
    const llama_vocab *vocab = llama_model_get_vocab(model.get());

    llama_context_params settings = llama_context_default_params();
    settings.n_ctx = 4096;
    sda_llama_pair_params(&settings, 1);
    const llama_context_ptr ctx(check(llama_init_from_model(model.get(), settings), "cannot make a context"));

    sda_host host;
    sda_llama_host(&host);
    auto pair = sda::pair::make(host, ctx.get(), 0, 1).value();
    pair.prefill(tokenize_chat(model.get(), prompt, ""), tokenize_chat(model.get(), prompt, instruction)).value();

    auto params = sda::defaults<sda_params>();
    params.amplification = amplification;
    params.temperature = seed < 0 ? 0.0f : params.temperature; // the most likely token each time
    const auto sampler = sda::sampler::make_paired(pair, params).value();
    const llama_sampler_ptr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
    sda::add_to_chain(sampler, chain.get()).value();
    llama_sampler_chain_add(chain.get(), llama_sampler_init_top_p(0.95f, 1));
    llama_sampler_chain_add(chain.get(), llama_sampler_init_dist(static_cast<uint32_t>(seed)));

    for (int i = 0; i < n_tokens; i++) {
        const llama_token token = llama_sampler_sample(chain.get(), ctx.get(), pair.row().value());
        sampler.check().value();
        if (llama_vocab_is_eog(vocab, token)) {
            break;
        }
        std::printf("%s", ids ? (std::to_string(token) + " ").c_str() : piece(vocab, token).c_str());
        std::fflush(stdout);
        pair.step(token).value();
    }
    std::putchar('\n');
}

} // namespace

int main(int argc, char **argv) {
    const bool ids = argc == 8 && std::string(argv[7]) == "--ids";
    if (argc != 7 && !ids) {
        std::puts("usage: paired MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]");
        return 2;
    }
    llama_log_set(
        [](ggml_log_level level, const char *text, void *) {
            if (level == GGML_LOG_LEVEL_ERROR) {
                std::fputs(text, stderr);
            }
        },
        nullptr);
    llama_backend_init();
    try {
        run(argv[1], argv[2], argv[3], std::stof(argv[4]), std::stol(argv[5]), std::stoi(argv[6]), ids);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "paired: %s\n", error.what());
        return 1;
    }
    llama_backend_free();
    return 0;
}
