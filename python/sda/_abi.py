"""sda.h for ctypes: the structs and numbers that this package uses. tests/test_abi.py compares them with the header."""

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from enum import IntEnum

ABI_VERSION = 2
MOST_INSTRUCTIONS = 8


class Status(IntEnum):
    """What a call into the library returned; sda.h says what each means."""

    OK = 0
    NULL = -1
    PARAM = -2
    LENGTH = -3
    NOT_FINITE = -4
    ALL_MASKED = -5
    CANDIDATES = -6
    CONTEXT_FULL = -7
    PROMPT = -8
    HOST = -9
    STATE = -10
    PANIC = -11
    VERSION = -12
    CANCELLED = -13
    MODEL = -14
    JUDGE = -15
    IO = -16
    ENCODING = -17


class Amplify(IntEnum):
    """A function from a score of the plain answer to an amplification."""

    SIGMOID = 0
    """`2 (sigmoid(100/S - 1) - 1/2)`, the paper's (eq. 3)."""
    EXP_DECAY_SHIFTED = 1
    """`exp(-S/100 - 1)`"""
    EXP_DECAY = 2
    """`exp(-S/100)`"""
    INVERSE = 3
    """`100/S`"""
    LINEAR_SIGNED = 4
    """`1 - 2 S/100`, negative above a score of 50."""
    LINEAR = 5
    """`1 - S/100`"""
    COSINE = 6
    """`cos(pi S/200)`"""


class Side(IntEnum):
    """A branch of a pair."""

    PLAIN = 0
    INSTRUCTED = 1


class CParams(ctypes.Structure):
    """sda_params"""

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


class CStep(ctypes.Structure):
    """sda_step"""

    _fields_ = [("divergence", c_float), ("temperature", c_float)]


class CStepInfo(ctypes.Structure):
    """sda_step_info"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("divergence", c_float),
        ("temperature", c_float),
        ("gain", c_float),
        ("kl", c_float),
    ]


class CPrefill(ctypes.Structure):
    """sda_prefill"""

    _fields_ = [("struct_size", c_size_t), ("shared", c_size_t), ("decoded", c_size_t), ("reused", c_size_t)]


class CStats(ctypes.Structure):
    """sda_stats"""

    _fields_ = [
        ("struct_size", c_size_t),
        ("steered", c_uint64),
        ("refused", c_uint64),
        ("repeated_accepts", c_uint64),
    ]


class CRow(ctypes.Structure):
    """sda_row"""

    _fields_ = [("token", c_int32), ("pos", c_int32), ("seq", c_int32), ("wants_logits", c_int32)]


class CHost(ctypes.Structure):
    """sda_host. Pointers to llama.cpp's objects are plain addresses."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("decode", CFUNCTYPE(c_int32, c_void_p, POINTER(CRow), c_size_t)),
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


class CCandidates(ctypes.Structure):
    """llama_token_data_array"""

    _fields_ = [
        ("data", c_void_p),
        ("size", c_size_t),
        ("selected", ctypes.c_int64),
        ("sorted", ctypes.c_bool),
    ]


_P, _I, _N = c_void_p, c_int32, c_size_t
# Room for the text of an error, and what is made.
_NEW = [c_char_p, _N, POINTER(_P)]

# Functions that return a status.
FALLIBLE: dict[str, list[object]] = {
    "sda_params_init": [_P, _N],
    "sda_step_info_init": [_P, _N],
    "sda_prefill_init": [_P, _N],
    "sda_stats_init": [_P, _N],
    "sda_amplify": [_I, c_float, POINTER(c_float)],
    "sda_steer": [_P, _P, _N, POINTER(CParams), _P, POINTER(CStep)],
    "sda_steer_many": [_P, _P, _P, _P, _N, _N, POINTER(CParams), _P, POINTER(CStepInfo)],
    "sda_pair_new": [POINTER(CHost), _P, _I, _I, *_NEW],
    "sda_pair_prefill": [_P, _P, _N, _P, _N, POINTER(CPrefill)],
    "sda_pair_step": [_P, _I],
    "sda_pair_row": [_P, _I, POINTER(_I)],
    "sda_pair_logits": [_P, _I, POINTER(_P)],
    "sda_pair_clear": [_P],
    "sda_sampler_new": [POINTER(CHost), _N, POINTER(CParams), *_NEW],
    "sda_sampler_new_paired": [_P, POINTER(CParams), *_NEW],
    "sda_sampler_new_dropin": [POINTER(CHost), _P, _P, _N, POINTER(CParams), *_NEW],
    "sda_sampler_to_llama": [_P, POINTER(_P)],
    "sda_sampler_apply": [_P, POINTER(CCandidates)],
    "sda_sampler_accept": [_P, _I],
    "sda_sampler_reset": [_P],
    "sda_sampler_set_params": [_P, POINTER(CParams)],
    "sda_sampler_set_prompt": [_P, _P, _N],
    "sda_sampler_status": [_P],
    "sda_sampler_last_step": [_P, POINTER(CStepInfo)],
    "sda_sampler_stats": [_P, POINTER(CStats)],
}

# The others, with what they return.
OTHERS: dict[str, tuple[object, list[object]]] = {
    "sda_status_str": (c_char_p, [_I]),
    "sda_version": (c_char_p, []),
    "sda_abi_version": (_I, []),
    "sda_pair_error": (c_char_p, [_P]),
    "sda_sampler_error": (c_char_p, [_P]),
    "sda_pair_free": (None, [_P]),
    "sda_sampler_free": (None, [_P]),
}
