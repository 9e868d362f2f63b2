"""Steering for llama-cpp-python, in one line:

    pirate = sda.llama_cpp.Steered(llm, "Answer like a pirate.")
    pirate.create_chat_completion(messages, stream=True)

`Steered` takes what `Llama` takes. `Processor` is what it puts into a `logits_processor` list. For a loop of your own
over llama.cpp's functions there are `DropIn`, which computes the plain branch in a context of its own, and `Pair` with
`Paired`, which keep both branches in two sequences of one context, in one decode a step.

The plugin links no llama.cpp: it calls the one that llama_cpp has loaded, through a table of functions.
"""

from sda._abi import Side
from sda.llama_cpp.pair import Pair, Prefill
from sda.llama_cpp.processor import Processor
from sda.llama_cpp.sampler import DropIn, Paired, Sampler, Stats
from sda.llama_cpp.steered import Steered

__all__ = ["DropIn", "Pair", "Paired", "Prefill", "Processor", "Sampler", "Side", "Stats", "Steered"]
