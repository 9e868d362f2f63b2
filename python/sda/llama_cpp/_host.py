"""Lends the llama.cpp that Python has loaded to libsda: what sda_llama.h does for hosts in C."""

import ctypes
import sys
import threading
import weakref
from collections.abc import Callable
from ctypes import POINTER, c_int8, c_int32
from typing import Any

import numpy as np

from sda._abi import CHost

_FIELDS: dict[str, Any] = dict(CHost._fields_)  # type: ignore[arg-type]
_ROW = np.dtype([(name, np.int32) for name in ("token", "pos", "seq", "wants_logits")])


class Host:
    """The table of one llama.cpp's functions. It is never freed, since a sampler in a chain may outlive every Python
    object and still calls them."""

    def __init__(self, llama: Any) -> None:
        """`llama` holds the functions of llama.h and the struct llama_batch with their ctypes types, as the package
        llama_cpp does."""
        self.table = CHost(struct_size=ctypes.sizeof(CHost))
        # The library calls these functions on the thread that called it.
        self._raised = threading.local()
        # Contexts whose Llama knows how to make another one like it.
        self._owners: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self.llama = llama
        memory = llama.llama_get_memory
        self._lend("decode", self._decode, -1)
        self._lend("seq_cp", lambda ctx, *a: llama.llama_memory_seq_cp(memory(ctx), *a), None)
        self._lend("seq_rm", lambda ctx, *a: llama.llama_memory_seq_rm(memory(ctx), *a), 0)
        self._lend("seq_pos_min", lambda ctx, *a: llama.llama_memory_seq_pos_min(memory(ctx), *a), -1)
        self._lend("n_vocab", self._n_vocab, -1)
        self._lend("context_new", self._context_new, None)
        self._lend("log", lambda _level, text, _data: print(text.decode(errors="replace"), file=sys.stderr), None)
        # These fit as they are.
        for name in ("get_logits_ith", "n_ctx", "n_ctx_seq", "n_batch", "n_seq_max"):
            self._lend_c(name, getattr(llama, f"llama_{name}"))
        self._lend_c("context_free", llama.llama_free)
        self._lend_c("sampler_new", llama.llama_sampler_init)

    def own(self, llm: Any) -> int:
        """The context of a `Llama`, of which another is to be made as its own was."""
        ctx: int = llm.ctx
        self._owners[ctx] = llm
        return ctx

    def take_error(self) -> BaseException | None:
        """What a Python function of the table has raised, once. It could not pass through the library."""
        error: BaseException | None = getattr(self._raised, "error", None)
        self._raised.error = None
        return error

    def _lend(self, name: str, function: Callable[..., Any], on_error: int | None) -> None:
        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as error:  # an interrupt, too, must not be lost in a callback
                self._raised.error = error
                return on_error

        setattr(self.table, name, _FIELDS[name](guarded))

    def _lend_c(self, name: str, function: Any) -> None:
        setattr(self.table, name, ctypes.cast(function, _FIELDS[name]))

    def _decode(self, ctx: int, rows: Any, n_rows: int) -> int:
        given = np.ctypeslib.as_array(ctypes.cast(rows, POINTER(c_int32)), (n_rows, 4)).view(_ROW).reshape(n_rows)
        token, pos, seq = (np.ascontiguousarray(given[name]) for name in ("token", "pos", "seq"))
        ones = np.ones(n_rows, np.int32)
        wants = (given["wants_logits"] != 0).astype(np.int8)
        # A pointer to each row's sequence.
        seqs = seq.ctypes.data + np.arange(n_rows, dtype=np.uintp) * np.uintp(seq.itemsize)

        def pointer(array: Any, kind: Any) -> Any:
            return array.ctypes.data_as(POINTER(kind))

        batch = self.llama.llama_batch(
            n_tokens=n_rows,
            token=pointer(token, c_int32),
            pos=pointer(pos, c_int32),
            n_seq_id=pointer(ones, c_int32),
            seq_id=pointer(seqs, POINTER(c_int32)),
            logits=pointer(wants, c_int8),
        )
        result: int = self.llama.llama_decode(ctx, batch)
        return result

    def _n_vocab(self, ctx: int) -> int:
        llama = self.llama
        n: int = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(llama.llama_get_model(ctx)))
        return n

    def _context_new(self, ctx: int) -> int | None:
        llama = self.llama
        llm = self._owners.get(ctx)
        if llm is not None and llm.ctx == ctx:
            made: int | None = llama.llama_init_from_model(llm.model, llm.context_params)
            return made
        settings = llama.llama_context_default_params()
        settings.n_ctx = llama.llama_n_ctx_seq(ctx)
        settings.n_batch = llama.llama_n_batch(ctx)
        settings.n_ubatch = llama.llama_n_ubatch(ctx)
        settings.n_seq_max = 1
        made = llama.llama_init_from_model(llama.llama_get_model(ctx), settings)
        if made:
            llama.llama_set_n_threads(made, llama.llama_n_threads(ctx), llama.llama_n_threads_batch(ctx))
        return made


_HOSTS: dict[int, tuple[Any, Host]] = {}


def host(llama: Any = None) -> Host:
    """The table of a llama.cpp, by default that of the package llama_cpp; one for each."""
    if llama is None:
        import llama_cpp as llama
    if id(llama) not in _HOSTS:
        _HOSTS[id(llama)] = (llama, Host(llama))
    return _HOSTS[id(llama)][1]
