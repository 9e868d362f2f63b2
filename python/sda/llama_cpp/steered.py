"""A `Llama` whose answers are steered."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sda.llama_cpp._prompts import Capture, Messages, Placement, capture, paragraphs, place, tokens
from sda.llama_cpp.processor import Processor
from sda.llama_cpp.sampler import DropIn
from sda.params import RECOMMENDED, Params

# At run time llama_cpp is needed by calls alone: hosts with another llama.cpp import this package, too.
if TYPE_CHECKING:
    import llama_cpp
    from llama_cpp import llama_types

    Chat: TypeAlias = (
        llama_types.CreateChatCompletionResponse | Iterator[llama_types.CreateChatCompletionStreamResponse]
    )
    Completion: TypeAlias = llama_types.CreateCompletionResponse | Iterator[llama_types.CreateCompletionStreamResponse]


class Steered:
    """Answers of a `Llama` that follow an instruction more closely.

    The calls take what `Llama`'s take and return what they return, streams too. The instructed branch is `llm`'s own
    context; the plain one is in a second context of the same model, whose KV cache is kept from answer to answer. One
    answer at a time: beginning the next ends a stream.
    """

    def __init__(
        self,
        llm: "llama_cpp.Llama",
        instruction: str = "",
        params: Params = RECOMMENDED,
        *,
        negative: str = "",
        placement: Placement = "after",
    ) -> None:
        """
        Args:
            llm: the model. A draft model cannot be used beside.
            instruction: what the answers should be like.
            params: how strongly, and how tempered; by default as the command `sda` does it.
            negative: what they should not be like: stands in the plain branch where the instruction stands in
                the other.
            placement: where in the user's turn the instruction stands, or at the end of the system message.

        Raises:
            ValueError: for a `Llama` with a draft model or a LoRA adapter, and for another placement.
        """
        if llm.draft_model is not None:
            raise ValueError("draft_model is given, must be None: its tokens are not steered one by one")
        if llm.lora_path is not None:
            raise ValueError(f"lora_path is {llm.lora_path}, must be None: the plain branch would lack it")
        place([], "", placement)
        self.llm, self.params = llm, params
        self.instruction, self.negative, self.placement = instruction, negative, placement
        self._sampler: DropIn | None = None
        self._processor: Processor | None = None

    def close(self) -> None:
        """Frees the second context. `llm.close()` does it, too."""
        if self._processor is not None:
            self._processor.end("it was closed")
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    def create_chat_completion(
        self, messages: Messages, *, temperature: float | None = None, **arguments: Any
    ) -> "Chat":
        """As `Llama.create_chat_completion()`. Every user's turn gets the instruction, so the messages are those of a
        conversation without it.

        Args:
            messages: the conversation.
            temperature: the base temperature `T0`; that of the settings if None.
            **arguments: whatever `Llama` takes, with its defaults.

        Raises:
            Error: for a step that could not be steered; from a stream while it is read.
            ValueError: for what `Llama` refuses, and a chat format that asks the model several times or reads images.
        """
        from llama_cpp import Llama

        plain = capture(self.llm, place(messages, self.negative, self.placement), arguments)
        asked: Any = Capture(self.llm, lambda prompt, **rest: self._complete(prompt, plain, temperature, rest))
        instructed = place(messages, self.instruction, self.placement)
        answer: Chat = Llama.create_chat_completion(asked, instructed, **arguments)
        return answer

    def create_completion(
        self,
        prompt: str | Sequence[int],
        plain_prompt: str | Sequence[int] | None = None,
        *,
        temperature: float | None = None,
        **arguments: Any,
    ) -> "Completion":
        """As `Llama.create_completion()`.

        Args:
            prompt: text or tokens. With a `plain_prompt` it is the instructed prompt as it is; without, it is a text
                that is to be continued, and the instruction is put before it as a paragraph of its own.
            plain_prompt: the same without the instruction.
            temperature: the base temperature `T0`; that of the settings if None.
            **arguments: whatever `Llama` takes, with its defaults, but no `suffix`.

        Raises:
            Error: for a step that could not be steered; from a stream while it is read.
            ValueError: for what `Llama` refuses, and for tokens without a `plain_prompt`.
        """
        if plain_prompt is None:
            if not isinstance(prompt, str):
                raise ValueError("plain_prompt is missing, must be there if prompt is not a text")
            plain_prompt, prompt = (paragraphs(text, prompt) for text in (self.negative, self.instruction))
        return self._complete(prompt, tokens(self.llm, plain_prompt), temperature, arguments)

    __call__ = create_completion

    def _complete(
        self, prompt: str | Sequence[int], plain: list[int], temperature: float | None, arguments: dict[str, Any]
    ) -> "Completion":
        from llama_cpp import LogitsProcessorList, StoppingCriteriaList

        if arguments.get("suffix"):
            raise ValueError("suffix is given, must be None: there is no plain prompt with it")
        params = self.params if temperature is None else replace(self.params, temperature=temperature)
        greedy = params.temperature <= 0
        if greedy:
            # The chain takes the most likely token, behind whatever else changes or masks it.
            params = replace(params, temperature=1.0, sigma=math.inf, t_min=0.0)
        processor = self._begin(plain, params)
        bias = arguments.pop("logit_bias", None)
        processors = [processor, *(arguments.pop("logits_processor", None) or [])]
        if bias:
            # llama-cpp-python drops the processors where both are given.
            processors.append(_Bias(bias))
        criteria = [processor.stop, *(arguments.pop("stopping_criteria", None) or [])]
        arguments["logits_processor"] = LogitsProcessorList(processors)
        arguments["stopping_criteria"] = StoppingCriteriaList(criteria)
        # The sampler's temperature is applied before the chain's.
        arguments["temperature"] = 0.0 if greedy else 1.0
        prompt = prompt if isinstance(prompt, str) else list(prompt)
        return self.llm.create_completion(prompt, **arguments)

    def _begin(self, plain: list[int], params: Params) -> Processor:
        if self._processor is not None:
            self._processor.end("another answer was begun")
        if self._sampler is None:
            self._sampler = DropIn(self.llm, plain, params)
        else:
            self._sampler.set_params(params)
            self._sampler.set_prompt(plain)
        self._processor = Processor(self._sampler)
        return self._processor


class _Bias:
    """What `logit_bias` does in llama-cpp-python."""

    def __init__(self, bias: Mapping[int | str, float]) -> None:
        self._tokens = np.array([int(token) for token in bias])
        self._biases = np.array(list(bias.values()), np.single)

    def __call__(self, input_ids: npt.NDArray[np.intc], scores: npt.NDArray[np.single]) -> npt.NDArray[np.single]:
        scores[self._tokens] += self._biases
        return scores
