"""Lends a llama.cpp that Python has loaded to libsda: what sda_llama.h does for hosts in C."""

import ctypes
import sys
from ctypes import POINTER, byref, c_int8, c_int32

import sda_ctypes


def host(llama):
    """A filled host table; keep it for as long as anything made with it.

    `llama` holds the functions of llama.h and the struct llama_batch, with their ctypes types: the package
    llama_cpp, or what llama_ctypes.load() returns. Most of the functions fit as they are.
    """

    def decode(ctx, rows, n_rows):
        rows = rows[:n_rows]
        seq = (c_int32 * n_rows)(*(row.seq for row in rows))
        batch = llama.llama_batch(
            n_tokens=n_rows,
            token=(c_int32 * n_rows)(*(row.token for row in rows)),
            pos=(c_int32 * n_rows)(*(row.pos for row in rows)),
            n_seq_id=(c_int32 * n_rows)(*[1] * n_rows),
            seq_id=(POINTER(c_int32) * n_rows)(
                *(ctypes.cast(byref(seq, 4 * i), POINTER(c_int32)) for i in range(n_rows))
            ),
            logits=(c_int8 * n_rows)(*(row.wants_logits != 0 for row in rows)),
        )
        return llama.llama_decode(ctx, batch)

    def memory(function):
        return lambda ctx, *arguments: function(llama.llama_get_memory(ctx), *arguments)

    def n_vocab(ctx):
        return llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(llama.llama_get_model(ctx)))

    def context_new(ctx):
        settings = llama.llama_context_default_params()
        settings.n_ctx = llama.llama_n_ctx_seq(ctx)
        settings.n_batch = llama.llama_n_batch(ctx)
        settings.n_ubatch = llama.llama_n_ubatch(ctx)
        settings.n_seq_max = 1
        second = llama.llama_init_from_model(llama.llama_get_model(ctx), settings)
        if second:
            llama.llama_set_n_threads(second, llama.llama_n_threads(ctx), llama.llama_n_threads_batch(ctx))
        return second

    table = sda_ctypes.Host(struct_size=ctypes.sizeof(sda_ctypes.Host))
    table.set(
        decode=decode,
        get_logits_ith=llama.llama_get_logits_ith,
        seq_cp=memory(llama.llama_memory_seq_cp),
        seq_rm=memory(llama.llama_memory_seq_rm),
        seq_pos_min=memory(llama.llama_memory_seq_pos_min),
        n_vocab=n_vocab,
        n_ctx=llama.llama_n_ctx,
        n_ctx_seq=llama.llama_n_ctx_seq,
        n_batch=llama.llama_n_batch,
        n_seq_max=llama.llama_n_seq_max,
        context_new=context_new,
        context_free=llama.llama_free,
        sampler_new=llama.llama_sampler_init,
        log=lambda _level, text, _data: print(text.decode(), file=sys.stderr),
    )
    return table
