"""The part of llama.h that paired.py uses, for ctypes, of llama.cpp since November 2025.

The library is looked up as $LLAMA_LIB, else as libllama by the system's loader.
"""

import ctypes
import os
import sys
from ctypes import (
    CFUNCTYPE,
    POINTER,
    c_bool,
    c_char,
    c_char_p,
    c_float,
    c_int8,
    c_int32,
    c_size_t,
    c_uint32,
    c_void_p,
)

LIBRARY_NAME = {"darwin": "libllama.dylib", "win32": "llama.dll"}.get(sys.platform, "libllama.so")
LOG_LEVEL_ERROR = 4


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", c_void_p),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


class Settings(ctypes.Structure):
    """llama_model_params and llama_context_params, which grow with the releases and go by value.

    They are kept as bytes, with room to spare. On the usual platforms a struct of this size is passed and
    returned in memory, so the callee writes or reads as much as it knows of. Only the first four fields
    of llama_context_params are used by name; they have not moved since 2024.
    """

    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("rest", c_char * 1008),
    ]


class ChainSettings(ctypes.Structure):
    _fields_ = [("no_perf", c_bool)]


class ChatMessage(ctypes.Structure):
    _fields_ = [("role", c_char_p), ("content", c_char_p)]


LogCallback = CFUNCTYPE(None, c_int32, c_char_p, c_void_p)


@LogCallback
def log_errors(level, text, _data):
    if level == LOG_LEVEL_ERROR:
        sys.stderr.write(text.decode(errors="replace"))


def load():
    """libllama, with the types of the functions below set."""
    lib = ctypes.CDLL(os.environ.get("LLAMA_LIB", LIBRARY_NAME))
    tokens, chat = POINTER(c_int32), POINTER(ChatMessage)
    for name, result, arguments in [
        ("llama_log_set", None, [LogCallback, c_void_p]),
        ("llama_backend_init", None, []),
        ("llama_backend_free", None, []),
        ("llama_model_default_params", Settings, []),
        ("llama_model_load_from_file", c_void_p, [c_char_p, Settings]),
        ("llama_model_get_vocab", c_void_p, [c_void_p]),
        ("llama_model_chat_template", c_char_p, [c_void_p, c_char_p]),
        ("llama_model_free", None, [c_void_p]),
        ("llama_context_default_params", Settings, []),
        ("llama_init_from_model", c_void_p, [c_void_p, Settings]),
        ("llama_get_model", c_void_p, [c_void_p]),
        ("llama_get_memory", c_void_p, [c_void_p]),
        ("llama_memory_seq_cp", None, [c_void_p, c_int32, c_int32, c_int32, c_int32]),
        ("llama_memory_seq_rm", c_bool, [c_void_p, c_int32, c_int32, c_int32]),
        ("llama_memory_seq_pos_min", c_int32, [c_void_p, c_int32]),
        ("llama_decode", c_int32, [c_void_p, Batch]),
        ("llama_get_logits_ith", c_void_p, [c_void_p, c_int32]),
        ("llama_n_ctx", c_uint32, [c_void_p]),
        ("llama_n_ctx_seq", c_uint32, [c_void_p]),
        ("llama_n_batch", c_uint32, [c_void_p]),
        ("llama_n_ubatch", c_uint32, [c_void_p]),
        ("llama_n_threads", c_int32, [c_void_p]),
        ("llama_n_threads_batch", c_int32, [c_void_p]),
        ("llama_set_n_threads", None, [c_void_p, c_int32, c_int32]),
        ("llama_n_seq_max", c_uint32, [c_void_p]),
        ("llama_free", None, [c_void_p]),
        ("llama_vocab_n_tokens", c_int32, [c_void_p]),
        ("llama_vocab_get_add_eos", c_bool, [c_void_p]),
        ("llama_vocab_is_eog", c_bool, [c_void_p, c_int32]),
        ("llama_tokenize", c_int32, [c_void_p, c_char_p, c_int32, tokens, c_int32, c_bool, c_bool]),
        ("llama_token_to_piece", c_int32, [c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool]),
        ("llama_chat_apply_template", c_int32, [c_char_p, chat, c_size_t, c_bool, c_char_p, c_int32]),
        ("llama_sampler_chain_default_params", ChainSettings, []),
        ("llama_sampler_chain_init", c_void_p, [ChainSettings]),
        ("llama_sampler_chain_add", None, [c_void_p, c_void_p]),
        ("llama_sampler_init", c_void_p, [c_void_p, c_void_p]),
        ("llama_sampler_init_top_p", c_void_p, [c_float, c_size_t]),
        ("llama_sampler_init_dist", c_void_p, [c_uint32]),
        ("llama_sampler_sample", c_int32, [c_void_p, c_void_p, c_int32]),
        ("llama_sampler_free", None, [c_void_p]),
    ]:
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.llama_batch = Batch
    return lib
