"""Steering-Driven Distribution Alignment (SDA): a language model follows an instruction more closely, without training.

The model runs on two prompts at once, plain and instructed. Each step the instructed distribution moves away from the
plain one, and the temperature falls where the two disagree (arXiv 2511.16324).

`sda.steer()` does one step on two rows of logits, of any engine. `sda.llama_cpp` steers llama-cpp-python,
`sda.transformers` Hugging Face's models. Calls into the library leave Python's lock; `steer()` may run in any number of
threads, a handle in one at a time.
"""

from sda._abi import Amplify, Status
from sda._library import Error, version
from sda.kernel import Step, StepInfo, steer, steer_many
from sda.params import RECOMMENDED, Params, amplification

__version__ = version()

__all__ = [
    "RECOMMENDED",
    "Amplify",
    "Error",
    "Params",
    "Status",
    "Step",
    "StepInfo",
    "amplification",
    "steer",
    "steer_many",
    "version",
]
