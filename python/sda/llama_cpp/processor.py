"""A logits processor for llama-cpp-python."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sda._abi import Status
from sda._library import Error
from sda.llama_cpp.sampler import CANDIDATE, DropIn


class Processor:
    """Steers one answer of a `Llama`, as an element of its `logits_processor` list.

    It goes first in that list, and the temperature of the call is 1, or 0 for the most likely token: the sampler's own
    is applied already. llama-cpp-python calls processors from C, where an exception is lost; so `stop` goes among the
    `stopping_criteria`, and raises it before the step's token gets out.
    """

    def __init__(self, sampler: DropIn) -> None:
        """The sampler has the plain prompt of this answer."""
        self._sampler = sampler
        self._seen: npt.NDArray[np.intc] | None = None
        self._candidates: npt.NDArray[Any] = np.empty(0, CANDIDATE)
        self.error: BaseException | None = None
        """Why a step was not steered."""

    def __call__(self, input_ids: npt.NDArray[np.intc], scores: npt.NDArray[np.single]) -> npt.NDArray[np.single]:
        """Steered log-probabilities; `scores` are the instructed logits by token id, `input_ids` all tokens so far.
        Where that fails there is an `error`, and no token has a finite score."""
        try:
            return self._steered(input_ids, scores)
        except BaseException as error:  # C would lose it, an interrupt, too
            self.error = self.error or error
            return np.full(scores.size, -np.inf, np.single)

    def end(self, reason: str) -> None:
        """Refuses further steps."""
        self.error = self.error or Error(Status.STATE, f"this answer cannot be continued: {reason}")

    def stop(self, input_ids: npt.NDArray[np.intc], logits: npt.NDArray[np.single]) -> bool:
        """A stopping criterion that never stops, but raises what the last step did.

        Raises:
            Error: if the step was not steered.
        """
        if self.error is not None:
            raise self.error
        return False

    def _steered(self, input_ids: npt.NDArray[np.intc], scores: npt.NDArray[np.single]) -> npt.NDArray[np.single]:
        if self.error is not None:
            raise self.error
        if self._seen is not None:
            n = self._seen.size
            if input_ids.size <= n or not np.array_equal(input_ids[:n], self._seen):
                raise Error(Status.STATE, "a processor is for one answer, make another one for the next")
            for token in input_ids[n:]:
                self._sampler.accept(int(token))
        self._seen = input_ids.copy()
        if self._candidates.size != scores.size:
            self._candidates = np.empty(scores.size, CANDIDATE)
        self._candidates["id"] = np.arange(scores.size)
        self._candidates["logit"] = scores
        left = self._candidates[: self._sampler.apply(self._candidates)]
        steered = np.full(scores.size, -np.inf, np.single)
        steered[left["id"]] = left["logit"]
        return steered
