/*
 * Lets the examples, which are written for llama.cpp of 2025 and later, compile with that of late 2024:
 * compiled in with -include. Not for real hosts of that age, which know their llama.h; sda_llama.h does
 * without it.
 */
#ifndef SDA_LLAMA_2024_H
#define SDA_LLAMA_2024_H

#include <llama.h>

/* There was no llama_vocab: its functions took the model. */
#define llama_vocab llama_model
#define llama_model_get_vocab(model) (model)
#define llama_vocab_is_eog llama_token_is_eog
#define llama_vocab_get_add_eos llama_add_eos_token
#define llama_vocab_n_tokens llama_n_vocab

/* Other names of the same functions. */
#define llama_model_load_from_file llama_load_model_from_file
#define llama_model_free llama_free_model
#define llama_init_from_model llama_new_context_with_model

/* A name of a template, as all versions take it; there was no function to read the model's own. */
#define llama_model_chat_template(model, name) "chatml"
#define llama_chat_apply_template(...) llama_chat_apply_template(NULL, __VA_ARGS__)

/* Positions were the host's business; `ctx` is what the examples call the context. */
#define llama_batch_get_one(tokens, n_tokens)                                                                \
    llama_batch_get_one(tokens, n_tokens, llama_get_kv_cache_used_cells(ctx), 0)

#endif
