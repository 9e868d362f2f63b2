"""Settings of the steering."""

import ctypes
import math
from dataclasses import dataclass, replace
from typing import Any

from sda import _abi
from sda._abi import Amplify
from sda._library import call


def amplification(score: float, function: Amplify = Amplify.SIGMOID) -> float:
    """The amplification `a` that follows from a score of the plain answer (paper: arXiv 2511.16324, eq. 3).

    Args:
        score: greater than 0 and at most 100. A score that could not be had is no score: do not pass a made-up one.
        function: which function of it.

    Raises:
        Error: for a score out of range.
    """
    result = ctypes.c_float()
    call("sda_amplify", int(function), score, ctypes.byref(result))
    return result.value


@dataclass(frozen=True)
class Params:
    """How strongly to steer, and how to temper. The defaults are those of sda.h, which are the paper's.

    The library checks the ranges where the settings are used.
    """

    amplification: float = 0.0
    """`a`. Any finite number; 0 leaves the instructed distribution as it is."""
    k: float = 2.0
    """Gain on the amplification. Any finite number."""
    temperature: float = 0.6
    """Base temperature `T0`. Any finite number; 0 or less always takes the most likely token."""
    sigma: float = 2.0 * math.log(2.0)
    """Divergence in nats that halves the temperature. Greater than 0; infinity keeps the temperature fixed."""
    t_min: float = 0.0
    """Floor of the temperature. Finite, at least 0."""
    top_p: float = 1.0
    """Nucleus that a sampler of a llama.cpp chain cuts the candidates down to; greater than 0 and at most 1. It takes
    the place of a top-p sampler right behind it. `steer()` ignores it."""
    max_kl: float = math.inf
    """KL budget of a step in nats, at least 0: how far the steered distribution may be from the instructed one."""
    mean_kl: float = math.inf
    """KL budget of an answer in nats a token, at least 0. Samplers keep to it; `steer()` knows of no other steps and
    refuses it."""

    @classmethod
    def from_guidance(cls, guidance: float, **settings: float) -> "Params":
        """Settings of a guidance scale, `1 + k a`; 1 is the instructed distribution as it is."""
        params = cls(**settings)
        return params.with_guidance(guidance)

    @classmethod
    def from_score(cls, score: float, function: Amplify = Amplify.SIGMOID, **settings: float) -> "Params":
        """Settings that follow from a score of the plain answer.

        Raises:
            Error: for a score out of range.
        """
        return cls(amplification=amplification(score, function), **settings)

    @property
    def guidance(self) -> float:
        """The guidance scale, `1 + k a`."""
        return 1.0 + self.k * self.amplification

    def with_guidance(self, guidance: float) -> "Params":
        """The same settings with another guidance scale.

        Raises:
            ValueError: if `k` is 0, with which there is only one.
        """
        if self.k == 0:
            raise ValueError("k is 0, must be another number for a guidance scale")
        return replace(self, amplification=(guidance - 1.0) / self.k)

    def to_c(self) -> _abi.CParams:
        """The struct sda_params."""
        struct = _abi.CParams()
        call("sda_params_init", ctypes.byref(struct), ctypes.sizeof(struct))
        fields: dict[str, Any] = vars(self)
        for name, value in fields.items():
            setattr(struct, name, value)
        return struct


RECOMMENDED = Params(amplification=0.5, mean_kl=0.2)
"""What the command `sda` does unless told otherwise: guidance 2 and a KL budget of 0.2 nats a token."""
