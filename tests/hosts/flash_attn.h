/*
 * Compiled into the examples with -include, for llama.cpp before September 2025: turns on flash attention in
 * every context, which later became the default. Only with it do a sequence's logits not depend on the
 * other sequences of its context, so that paired and drop-in hosts must agree token for token.
 */
#ifndef SDA_FLASH_ATTN_H
#define SDA_FLASH_ATTN_H

#include <llama.h>

static inline struct llama_context_params params_with_flash_attn(void) {
    struct llama_context_params params = llama_context_default_params();

    params.flash_attn = true;
    return params;
}
#define llama_context_default_params params_with_flash_attn

#endif
