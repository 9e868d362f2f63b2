"""Both branches in two sequences of one llama_context."""

import ctypes
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from sda._abi import CPrefill, Side
from sda._library import call
from sda.kernel import Row
from sda.llama_cpp._handle import Handle, tokens_of
from sda.llama_cpp._host import host


class Prefill(NamedTuple):
    """What reading a prompt pair cost, in tokens."""

    shared: int
    """Tokens that both prompts begin with, and that are held once for both."""
    decoded: int
    """Tokens that were decoded."""
    reused: int
    """Tokens that were in the KV cache from earlier calls."""


class Pair(Handle):
    """Two sequences of a context with different prompts and the same generated tokens, in one decode a step.

    The context must have two sequences (`n_seq_max`) and should have one KV buffer for both (`kv_unified`), all cells
    of sliding-window layers (`swa_full`) and flash attention, llama.cpp's default; `configure()` sets the others. It
    must live until the last use of the pair. One thread at a time.
    """

    _KIND: ClassVar[str] = "pair"

    def __init__(self, ctx: int, plain_seq: int = 0, instructed_seq: int = 1, *, llama: Any = None) -> None:
        """
        Args:
            ctx: a llama_context, as llama_cpp's functions return it.
            plain_seq: id of a sequence that nothing else uses.
            instructed_seq: another one.
            llama: what holds llama.cpp's functions; the package llama_cpp if None.

        Raises:
            Error: for an id out of range or twice the same.
        """
        lent = host(llama)
        super().__init__(lent, "sda_pair_new", ctypes.byref(lent.table), ctx, plain_seq, instructed_seq)
        self._n_vocab: int = lent.table.n_vocab(ctx)

    @staticmethod
    def configure(params: Any) -> None:
        """Changes llama_context_params to what a pair needs. `n_ctx` should hold both prompts and twice the answer."""
        params.n_seq_max = 2
        params.kv_unified = True
        params.swa_full = True

    def prefill(
        self, plain: Sequence[int] | npt.NDArray[np.int32], instructed: Sequence[int] | npt.NDArray[np.int32]
    ) -> Prefill:
        """Reads both prompts, their common beginning once. Both branches have logits then.

        A chat passes its whole conversation each time; what the KV cache holds of it is not read again.

        Raises:
            Error: for an empty prompt, for too little room, and if a decode failed. Both sequences are empty then.
        """
        a, b = tokens_of("plain", plain), tokens_of("instructed", instructed)
        cost = CPrefill()
        call("sda_prefill_init", ctypes.byref(cost), ctypes.sizeof(cost))
        self._call("prefill", a.ctypes.data, a.size, b.ctypes.data, b.size, ctypes.byref(cost))
        return Prefill(cost.shared, cost.decoded, cost.reused)

    def step(self, token: int) -> None:
        """Appends a token to both branches, with one decode of two rows.

        Raises:
            Error: if there is no room or the decode failed.
        """
        self._call("step", token)

    def row(self, side: Side = Side.INSTRUCTED) -> int:
        """Row of the last decode that holds a branch's logits: the index for llama_sampler_sample().

        Raises:
            Error: before the first prefill.
        """
        row = ctypes.c_int32()
        self._call("row", int(side), ctypes.byref(row))
        return row.value

    def logits(self, side: Side) -> Row:
        """Logits of a branch after its last token. Not a copy: they belong to the context, until its next decode.

        Raises:
            Error: before the first prefill.
        """
        address = ctypes.c_void_p()
        self._call("logits", int(side), ctypes.byref(address))
        row = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (self._n_vocab,))
        row.flags.writeable = False
        return row

    def clear(self) -> None:
        """Empties both sequences."""
        self._call("clear")
