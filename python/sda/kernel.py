"""One step on rows of logits, for any engine that has them."""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sda import _abi
from sda._abi import Status
from sda._library import Error, call, fail, lib, make
from sda.params import Params

Row: TypeAlias = npt.NDArray[np.float32]
"""A row of values by token id."""

_DEFAULT = Params()


class Step(NamedTuple):
    """What a step of `steer()` found out."""

    divergence: float
    """Jensen-Shannon divergence of the two untempered distributions in nats, 0 to ln 2."""
    temperature: float
    """Temperature that was applied; 0 if the most likely token was taken."""


class StepInfo(NamedTuple):
    """What a step of a sampler or of `steer_many()` found out."""

    divergence: float
    """Jensen-Shannon divergence of the two untempered distributions in nats, 0 to ln 2."""
    temperature: float
    """Temperature that was applied; 0 if the most likely token was taken."""
    gain: float
    """Strength that was applied: `k a`, or the part of it that the KL budgets allowed."""
    kl: float
    """KL(steered || instructed) in nats before the temperature; NaN where there was no budget or no strength."""

    @classmethod
    def from_c(cls, info: _abi.CStepInfo) -> "StepInfo":
        """What the library wrote."""
        return cls(info.divergence, info.temperature, info.gain, info.kl)


def _row(name: str, row: Row, length: int | None = None) -> int:
    """The address of a row, which must lie in memory as the library reads it: nothing is copied or converted."""
    if not isinstance(row, np.ndarray) or row.dtype != np.float32:
        kind = row.dtype if isinstance(row, np.ndarray) else type(row).__name__
        raise TypeError(f"{name} is {kind}, must be a numpy array of float32")
    if row.ndim != 1 or (length is not None and row.size != length):
        wanted = "one dimension" if length is None else f"the shape ({length},)"
        raise ValueError(f"{name} has the shape {row.shape}, must have {wanted}")
    if not (row.flags.c_contiguous and row.flags.aligned):
        raise ValueError(f"{name} is not contiguous in memory, must be: numpy.ascontiguousarray() makes a copy that is")
    return row.ctypes.data


def _result(out: Row | None, length: int) -> Row:
    if out is None:
        return np.empty(length, np.float32)
    _row("out", out, length)
    if not out.flags.writeable:
        raise ValueError("out is read-only, must be writeable")
    return out


def _explained(error: Error, params: Params) -> Error:
    """The library's own words for a setting that the kernel refused with no more than a status."""
    if error.status == Status.PARAM:
        try:
            sampler = make("sda_sampler_new", None, 1, ctypes.byref(params.to_c()))
        except Error as better:
            return better
        lib.sda_sampler_free(sampler)
        if not np.isinf(params.mean_kl):
            return fail("sda_steer", Status.PARAM, f"mean_kl is {params.mean_kl}, must be infinity for single steps")
    return error


def steer(instructed: Row, plain: Row, params: Params = _DEFAULT, *, out: Row | None = None) -> tuple[Row, Step]:
    """Steers one step: from the logits of both branches to the log-probabilities of the next token.

    A token masked (-infinity) in `instructed` stays masked; one masked in `plain` only is not steered. Other Python
    threads run meanwhile.

    Args:
        instructed: logits by token id of the branch that has the instruction. Contiguous float32; not copied.
        plain: those of the branch without it.
        params: the settings.
        out: receives the result; a new array if None. May be `instructed` itself.

    Returns:
        Log-probabilities with the temperature applied, ready for top-p and the draw, and what the step found out.

    Raises:
        TypeError: for another dtype.
        ValueError: for rows that are not contiguous or not of one length.
        Error: for NaN, +infinity, no finite logit, or a setting out of range. Nothing is written then.
    """
    a = _row("instructed", instructed)
    b = _row("plain", plain, instructed.size)
    logprobs, step = _result(out, instructed.size), _abi.CStep()
    settings = params.to_c()
    try:
        call("sda_steer", a, b, instructed.size, ctypes.byref(settings), logprobs.ctypes.data, ctypes.byref(step))
    except Error as error:
        raise _explained(error, params) from None
    return logprobs, Step(step.divergence, step.temperature)


def steer_many(
    instructed: Row,
    plain: Row,
    others: Sequence[Row],
    weights: Sequence[float],
    params: Params = _DEFAULT,
    *,
    out: Row | None = None,
) -> tuple[Row, StepInfo]:
    """Steers one step by several instructions: `ln p + k a sum w_i (ln p_i - ln q)`.

    Args:
        instructed: logits `p` of the branch whose prompt has all instructions of positive weight. Contiguous float32.
        plain: those of the query alone, `q`.
        others: those of each instruction alone, `p_i`; at most 8. One may be `instructed` itself.
        weights: one for each of `others`; a negative one steers away from its instruction.
        params: the settings.
        out: receives the result; a new array if None. May be `instructed` itself.

    Returns:
        As `steer()`; the gain in the second part is without the weights.

    Raises:
        TypeError, ValueError, Error: as `steer()`; Error also for too many instructions and a weight that is not
            finite.
    """
    if len(others) != len(weights):
        raise ValueError(f"weights has {len(weights)} numbers, must have {len(others)}, one for each of others")
    n = instructed.size if isinstance(instructed, np.ndarray) else 0
    a, b = _row("instructed", instructed), _row("plain", plain, n)
    rows = (ctypes.c_void_p * len(others))(*(_row(f"others[{i}]", row, n) for i, row in enumerate(others)))
    numbers = (ctypes.c_float * len(weights))(*weights)
    logprobs, info, settings = _result(out, n), _abi.CStepInfo(), params.to_c()
    call("sda_step_info_init", ctypes.byref(info), ctypes.sizeof(info))
    arguments = (a, b, rows, numbers, len(others), n, ctypes.byref(settings), logprobs.ctypes.data, ctypes.byref(info))
    try:
        call("sda_steer_many", *arguments)
    except Error as error:
        raise _explained(error, params) from None
    return logprobs, StepInfo.from_c(info)
