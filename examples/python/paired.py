"""The program of examples/c/paired.c in Python, with the package sda and any libllama that is installed as a shared
library: no other binding, and no compiler.

    paired.py MODEL.gguf PROMPT INSTRUCTION AMPLIFICATION SEED N_TOKENS [--ids]
"""

import contextlib
import ctypes
import sys
from ctypes import byref, c_int32

import llama_ctypes
import sda
from sda.llama_cpp import Pair, Paired


def tokenize_chat(llama, model, prompt, instruction):
    """Tokens of a user's turn that holds the prompt, and the instruction below it if there is one."""
    turn = "\n\n".join(filter(None, [prompt, instruction])).encode()
    message = llama_ctypes.ChatMessage(b"user", turn)
    text = ctypes.create_string_buffer(2 * len(turn) + 1024)
    template = llama.llama_model_chat_template(model, None)
    length = llama.llama_chat_apply_template(template, byref(message), 1, True, text, len(text))
    if not 0 <= length <= len(text):
        raise RuntimeError("the chat template does not apply")
    tokens = (c_int32 * (length + 8))()
    vocab = llama.llama_model_get_vocab(model)
    n = llama.llama_tokenize(vocab, text, length, tokens, len(tokens), True, True)
    if llama.llama_vocab_get_add_eos(vocab):
        n -= 1  # The model goes on with the prompt, so it has no end.
    if n <= 0:
        raise RuntimeError("the prompt does not tokenize")
    return tokens[:n]


def run(path, prompt, instruction, amplification, seed, n_tokens, ids):
    llama = llama_ctypes.load()
    llama.llama_log_set(llama_ctypes.log_errors, None)
    with contextlib.ExitStack() as cleanup:
        llama.llama_backend_init()
        cleanup.callback(llama.llama_backend_free)
        model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
        if not model:
            raise RuntimeError("cannot load the model")
        cleanup.callback(llama.llama_model_free, model)
        vocab = llama.llama_model_get_vocab(model)
        plain = tokenize_chat(llama, model, prompt, "")
        instructed = tokenize_chat(llama, model, prompt, instruction)

        settings = llama.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = 4096, 2
        ctx = llama.llama_init_from_model(model, settings)
        if not ctx:
            raise RuntimeError("cannot make a context")
        cleanup.callback(llama.llama_free, ctx)

        pair = cleanup.enter_context(Pair(ctx, llama=llama))
        pair.prefill(plain, instructed)
        # A negative seed takes the most likely token each time.
        params = sda.Params(amplification, temperature=0 if seed < 0 else 0.6)
        steering = cleanup.enter_context(Paired(pair, params))

        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        cleanup.callback(llama.llama_sampler_free, chain)
        steering.add_to(chain)
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_top_p(0.95, 1))
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_dist(seed))

        piece = ctypes.create_string_buffer(256)
        for _ in range(n_tokens):
            token = llama.llama_sampler_sample(chain, ctx, pair.row())
            steering.check()
            if llama.llama_vocab_is_eog(vocab, token):
                break
            n_piece = llama.llama_token_to_piece(vocab, token, piece, len(piece), 0, False)
            if n_piece < 0:
                raise RuntimeError("a token's text does not fit")
            # A token may be a part of a character, so bytes go out, not text.
            sys.stdout.buffer.write(b"%d " % token if ids else piece.raw[:n_piece])
            sys.stdout.buffer.flush()
            pair.step(token)
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
        sys.exit(f"paired.py: {error}")
