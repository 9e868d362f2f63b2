"""Steering in llama-cpp-python's own loop: its model, its tokens, and one sampler more at the head of the chain, which
computes the branch without the instruction in a context of its own. For whole answers sda.llama_cpp.Steered does all
of this.

    llama_cpp_python.py MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]
"""

import contextlib
import ctypes
import sys

import llama_cpp
import sda
from sda.llama_cpp import DropIn


def tokenize_chat(llm, prompt, instruction):
    """Tokens of a user's turn that holds the prompt, and the instruction below it if there is one."""
    turn = "\n\n".join(filter(None, [prompt, instruction])).encode()
    message = llama_cpp.llama_chat_message(b"user", turn)
    text = ctypes.create_string_buffer(2 * len(turn) + 1024)
    template = llama_cpp.llama_model_chat_template(llm.model, None)
    length = llama_cpp.llama_chat_apply_template(template, ctypes.byref(message), 1, True, text, len(text))
    if not 0 <= length <= len(text):
        raise RuntimeError("the chat template does not apply")
    tokens = llm.tokenize(text.raw[:length], add_bos=True, special=True)
    # The model goes on with the prompt, so it has no end.
    return tokens[:-1] if llm._model.add_eos_token() else tokens


def run(path, prompt, instruction, amplification, seed, n_tokens, ids):
    llm = llama_cpp.Llama(path, n_ctx=2048, flash_attn=True, verbose=False)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(llm.close)
        # A negative seed takes the most likely token each time.
        params = sda.Params(amplification, temperature=0 if seed < 0 else 0.6)
        steering = cleanup.enter_context(DropIn(llm, tokenize_chat(llm, prompt, ""), params))

        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        cleanup.callback(llama_cpp.llama_sampler_free, chain)
        steering.add_to(chain)
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_p(0.95, 1))
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(seed))

        tokens = tokenize_chat(llm, prompt, instruction)
        for _ in range(n_tokens):
            llm.eval(tokens)
            token = llama_cpp.llama_sampler_sample(chain, llm.ctx, -1)
            steering.check()
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
