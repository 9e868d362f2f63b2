"""The part of sda.h that the Python examples use, for ctypes.

The library is looked up as $SDA_LIB, else as libsda by the system's loader. Callbacks that go into a
`Host` must be kept alive by the caller for as long as anything made with it: ctypes does not.
"""

import ctypes
import os
import sys
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_void_p

LIBRARY_NAME = {"darwin": "lib{}.dylib", "win32": "{}.dll"}.get(sys.platform, "lib{}.so")


class Row(ctypes.Structure):
    _fields_ = [("token", c_int32), ("pos", c_int32), ("seq", c_int32), ("wants_logits", c_int32)]


class Host(ctypes.Structure):
    """sda_host. Pointers to llama.cpp's objects are plain addresses here."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("decode", CFUNCTYPE(c_int32, c_void_p, POINTER(Row), c_size_t)),
        ("get_logits_ith", CFUNCTYPE(c_void_p, c_void_p, c_int32)),
        ("seq_cp", CFUNCTYPE(None, c_void_p, c_int32, c_int32, c_int32, c_int32)),
        ("seq_rm", CFUNCTYPE(c_int32, c_void_p, c_int32, c_int32, c_int32)),
        ("seq_pos_min", CFUNCTYPE(c_int32, c_void_p, c_int32)),
        ("n_vocab", CFUNCTYPE(c_int32, c_void_p)),
        ("n_ctx", CFUNCTYPE(c_uint32, c_void_p)),
        ("n_ctx_seq", CFUNCTYPE(c_uint32, c_void_p)),
        ("n_batch", CFUNCTYPE(c_uint32, c_void_p)),
        ("n_seq_max", CFUNCTYPE(c_uint32, c_void_p)),
        ("context_new", CFUNCTYPE(c_void_p, c_void_p)),
        ("context_free", CFUNCTYPE(None, c_void_p)),
        ("sampler_new", CFUNCTYPE(c_void_p, c_void_p, c_void_p)),
        ("log", CFUNCTYPE(None, c_int32, c_char_p, c_void_p)),
        ("log_data", c_void_p),
    ]

    def set(self, **functions):
        """Sets fields to Python callables, or to functions of a C library whose C signature is the same."""
        types = dict(self._fields_)
        for name, function in functions.items():
            if isinstance(function, ctypes._CFuncPtr):
                setattr(self, name, ctypes.cast(function, types[name]))
            else:
                setattr(self, name, types[name](function))


class Params(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("amplification", c_float),
        ("k", c_float),
        ("temperature", c_float),
        ("sigma", c_float),
        ("t_min", c_float),
        ("flags", c_uint32),
        ("top_p", c_float),
        ("max_kl", c_float),
        ("mean_kl", c_float),
        ("reserved", c_uint32),
    ]


SIDE_PLAIN, SIDE_INSTRUCTED = 0, 1


class SdaError(RuntimeError):
    """A call into libsda failed; the text is sda_status_str's, and the reason."""


def load():
    """libsda, with every fallible function raising `SdaError`."""
    lib = ctypes.CDLL(os.environ.get("SDA_LIB", LIBRARY_NAME.format("sda")))
    for name, arguments in {
        "sda_status_str": [c_int32],
        "sda_pair_error": [c_void_p],
        "sda_sampler_error": [c_void_p],
    }.items():
        getattr(lib, name).argtypes, getattr(lib, name).restype = arguments, c_char_p

    def reason(name, arguments):
        if name.endswith("_init"):
            return b"sda.h and libsda do not fit"
        if "_new" in name:
            return arguments[-3].value
        return (lib.sda_pair_error if name.startswith("sda_pair") else lib.sda_sampler_error)(arguments[0])

    def check(status, function, arguments):
        if status != 0:
            name = function.__name__
            text = f"{lib.sda_status_str(status).decode()} ({reason(name, arguments).decode()})"
            raise SdaError(f"{name}: {text}")

    tokens = POINTER(c_int32)
    error = [c_char_p, c_size_t]
    for name, arguments in {
        "sda_params_init": [POINTER(Params), c_size_t],
        "sda_pair_new": [POINTER(Host), c_void_p, c_int32, c_int32, *error, POINTER(c_void_p)],
        "sda_pair_prefill": [c_void_p, tokens, c_size_t, tokens, c_size_t, c_void_p],
        "sda_pair_row": [c_void_p, c_int32, POINTER(c_int32)],
        "sda_pair_step": [c_void_p, c_int32],
        "sda_sampler_new_paired": [c_void_p, POINTER(Params), *error, POINTER(c_void_p)],
        "sda_sampler_new_dropin": [
            POINTER(Host),
            c_void_p,
            tokens,
            c_size_t,
            POINTER(Params),
            *error,
            POINTER(c_void_p),
        ],
        "sda_sampler_to_llama": [c_void_p, POINTER(c_void_p)],
        "sda_sampler_status": [c_void_p],
    }.items():
        function = getattr(lib, name)
        function.argtypes, function.restype, function.errcheck = arguments, c_int32, check
    for name in ("sda_pair_free", "sda_sampler_free"):
        getattr(lib, name).argtypes, getattr(lib, name).restype = [c_void_p], None
    return lib


def params(lib, amplification):
    """Default settings with an amplification."""
    settings = Params()
    lib.sda_params_init(byref(settings), ctypes.sizeof(settings))
    settings.amplification = amplification
    return settings


def new(constructor, *arguments):
    """Calls a constructor whose last parameters take the text of an error and the handle; returns the
    handle."""
    handle, error = c_void_p(), ctypes.create_string_buffer(512)
    constructor(*arguments, error, len(error), byref(handle))
    return handle


def llama_sampler(lib, sampler):
    """A new llama_sampler of a sampler, for a chain, which will own it."""
    made = c_void_p()
    lib.sda_sampler_to_llama(sampler, byref(made))
    return made
