"""Samplers for a chain of llama.cpp, or for a candidate array of one's own."""

import ctypes
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from sda._abi import CCandidates, CStats, CStepInfo, Status
from sda._library import fail, lib
from sda.kernel import StepInfo
from sda.llama_cpp._handle import Handle, tokens_of
from sda.llama_cpp._host import host
from sda.llama_cpp.pair import Pair
from sda.params import Params


class Stats(NamedTuple):
    """Counts since a sampler was made or reset."""

    steered: int
    """Steps that were steered."""
    refused: int
    """Steps that were refused: their candidates were left as they were."""
    repeated_accepts: int
    """Accepts that repeated the one before with no step between, and were ignored."""


class Sampler(Handle):
    """Steers one generation: replaces the logits of a candidate array by steered log-probabilities.

    In a chain it goes first, and no temperature follows. One thread at a time.
    """

    _KIND: ClassVar[str] = "sampler"
    _llama: Any

    def add_to(self, chain: Any) -> None:
        """Adds it to a llama.cpp chain, as `llama_sampler_chain_init()` returns it. Callbacks cannot raise: call
        `check()` after each `llama_sampler_sample()`.

        The chain's part may outlive this object, but not the context.

        Raises:
            Error: if llama.cpp made no sampler.
        """
        made = ctypes.c_void_p()
        self._call("to_llama", ctypes.byref(made))
        add = self._llama.llama_sampler_chain_add
        pointer = getattr(self._llama, "llama_sampler_p_ctypes", ctypes.c_void_p)
        add(chain, ctypes.cast(made, pointer))

    def check(self) -> None:
        """Does nothing if all steps since it was made or reset were steered.

        Raises:
            Error: that of the first step which was not; its candidates were left as they were.
        """
        if self._handle is None:
            self._call("status")
        status = lib.sda_sampler_status(self._handle)
        if status != Status.OK:
            text: bytes = lib.sda_sampler_error(self._handle)
            raise fail("sda_sampler", status, text.decode(errors="replace")) from self._host.take_error()

    def apply(self, candidates: npt.NDArray[Any]) -> int:
        """Steers a candidate array: `CANDIDATE` records, each token of the vocabulary once. Returns how many are left,
        which is fewer where the settings have a `top_p`.

        Raises:
            Error: the candidates are then left as they were.
        """
        if candidates.dtype != CANDIDATE or candidates.ndim != 1 or not candidates.flags.carray:
            raise TypeError("candidates must be a contiguous and writeable array of sda.llama_cpp.sampler.CANDIDATE")
        array = CCandidates(candidates.ctypes.data, candidates.size, -1, False)
        self._call("apply", ctypes.byref(array))
        size: int = array.size
        return size

    def accept(self, token: int) -> None:
        """Tells it of the token that was chosen. A chain does so itself."""
        self._call("accept", token)

    def reset(self) -> None:
        """Returns to the state before the first step and forgets an earlier error."""
        self._call("reset")

    def set_params(self, params: Params) -> None:
        """Changes the settings from the next step on.

        Raises:
            Error: for a setting out of range; the old ones stay.
        """
        self._call("set_params", ctypes.byref(params.to_c()))

    @property
    def last_step(self) -> StepInfo:
        """What the last steered step found out.

        Raises:
            Error: before the first step.
        """
        return StepInfo.from_c(self._read("last_step", CStepInfo()))

    @property
    def stats(self) -> Stats:
        """Counts of steps and accepts."""
        stats = self._read("stats", CStats())
        return Stats(stats.steered, stats.refused, stats.repeated_accepts)


class DropIn(Sampler):
    """Computes the plain branch in a context of its own, with the same weights and another KV cache. The loop stays as
    it is: it decodes the instructed prompt and accepts every token. A second decode for each token.
    """

    def __init__(
        self,
        context: Any,
        plain: Sequence[int] | npt.NDArray[np.int32],
        params: Params,
        *,
        llama: Any = None,
    ) -> None:
        """
        Args:
            context: a `Llama`, whose settings the second context gets, and whose `close()` closes this; or a
                llama_context, of which only length, batch sizes and threads are known.
            plain: tokens of the prompt without the instruction; copied.
            params: the settings.
            llama: what holds llama.cpp's functions; the package llama_cpp if None.

        Raises:
            Error: for an empty prompt, a setting out of range, or no memory for the context.
        """
        lent = host(llama)
        self._llama = lent.llama
        is_llama = hasattr(context, "context_params")
        ctx = lent.own(context) if is_llama else context
        tokens = tokens_of("plain", plain)
        settings = params.to_c()
        super().__init__(
            lent,
            "sda_sampler_new_dropin",
            ctypes.byref(lent.table),
            ctx,
            tokens.ctypes.data,
            tokens.size,
            ctypes.byref(settings),
        )
        if is_llama:
            # Something that lives on, such as a stream, may hold this object when the model is freed.
            context._stack.callback(_close, weakref.ref(self))

    def set_prompt(self, plain: Sequence[int] | npt.NDArray[np.int32]) -> None:
        """Starts over with another plain prompt, the next turn of a chat. What it has in common with the tokens so far
        is not decoded again.

        Raises:
            Error: for an empty prompt.
        """
        tokens = tokens_of("plain", plain)
        self._call("set_prompt", tokens.ctypes.data, tokens.size)


def _close(sampler: weakref.ref[DropIn]) -> None:
    if (alive := sampler()) is not None:
        alive.close()


class Paired(Sampler):
    """Reads the plain branch from a pair. The loop samples from `pair.row()` and calls `pair.step()` with the token."""

    def __init__(self, pair: Pair, params: Params) -> None:
        """
        Raises:
            Error: for a setting out of range.
        """
        self._llama = pair._host.llama
        settings = params.to_c()
        super().__init__(pair._host, "sda_sampler_new_paired", pair._handle, ctypes.byref(settings))


CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""A llama_token_data."""
