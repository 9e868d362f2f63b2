"""Steering in llama-cpp-python: its model, its tokens, its loop, and one sampler more at the head of the
chain. The sampler computes the branch without the instruction in a context of its own.

    llama_cpp_python.py MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]
"""

import contextlib
import ctypes
import sys
from ctypes import byref, c_int32

import llama_cpp
import sda_ctypes
import sda_llama


def tokenize_chat(llm, prompt, instruction):
    """Tokens of a user's turn that holds the prompt, and the instruction below it if there is one."""
    turn = "\n\n".join(filter(None, [prompt, instruction])).encode()
    message = llama_cpp.llama_chat_message(b"user", turn)
    text = ctypes.create_string_buffer(2 * len(turn) + 1024)
    template = llama_cpp.llama_model_chat_template(llm.model, None)
    length = llama_cpp.llama_chat_apply_template(template, byref(message), 1, True, text, len(text))
    if not 0 <= length <= len(text):
        raise RuntimeError("the chat template does not apply")
    tokens = llm.tokenize(text.raw[:length], add_bos=True, special=True)
    # The model goes on with the prompt, so it has no end.
    return tokens[:-1] if llm._model.add_eos_token() else tokens


def run(path, prompt, instruction, amplification, seed, n_tokens, ids):
    sda = sda_ctypes.load()
    llm = llama_cpp.Llama(path, n_ctx=2048, flash_attn=True, verbose=False)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(llm.close)
        plain = tokenize_chat(llm, prompt, "")
        instructed = tokenize_chat(llm, prompt, instruction)

        host = sda_llama.host(llama_cpp)
        # The second context is to compute as llm's own does, so it gets the same settings.
        host.set(context_new=lambda ctx: llama_cpp.llama_init_from_model(llm.model, llm.context_params))
        settings = sda_ctypes.params(sda, amplification)
        if seed < 0:
            settings.temperature = 0  # the most likely token each time
        plain_array = (c_int32 * len(plain))(*plain)
        steering = sda_ctypes.new(
            sda.sda_sampler_new_dropin, byref(host), llm.ctx, plain_array, len(plain), byref(settings)
        )
        cleanup.callback(sda.sda_sampler_free, steering)

        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        cleanup.callback(llama_cpp.llama_sampler_free, chain)
        sampler = sda_ctypes.llama_sampler(sda, steering)
        llama_cpp.llama_sampler_chain_add(chain, ctypes.cast(sampler, llama_cpp.llama_sampler_p_ctypes))
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_p(0.95, 1))
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(seed))

        tokens = instructed
        for _ in range(n_tokens):
            llm.eval(tokens)
            token = llama_cpp.llama_sampler_sample(chain, llm.ctx, -1)
            sda.sda_sampler_status(steering)
            if llama_cpp.llama_vocab_is_eog(llm._model.vocab, token):
                break
            # A token may be a part of a character, so bytes go out, not text.
            sys.stdout.buffer.write(b"%d " % token if ids else llm.detokenize([token]))
            sys.stdout.buffer.flush()
            tokens = [token]
        sys.stdout.buffer.write(b"\n")


def main():
    path, prompt, instruction, amplification, seed, n_tokens, *rest = sys.argv[1:]
    run(path, prompt, instruction, float(amplification), int(seed), int(n_tokens), rest == ["--ids"])


if __name__ == "__main__":
    if len(sys.argv) not in (7, 8):
        sys.exit(__doc__)
    try:
        main()
    except (RuntimeError, OSError, ValueError) as error:
        sys.exit(f"llama_cpp_python.py: {error}")
