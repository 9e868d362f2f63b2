"""The prompt pair of a chat: the same messages without and with the instruction, through llama-cpp-python's own chat
formats."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from llama_cpp import Llama

Placement: TypeAlias = Literal["after", "before", "system"]
Messages: TypeAlias = Sequence[Any]
"""Chat messages, as `Llama.create_chat_completion()` takes them."""


def place(messages: Messages, instruction: str, placement: Placement) -> list[Any]:
    """The messages with the instruction in each user's turn, or at the end of the system message.

    Earlier turns get it too, as they had it when they were asked, so that what the KV cache holds of them stays valid.

    Raises:
        ValueError: for another placement, and for a turn that is not a text.
    """
    if placement not in ("after", "before", "system"):
        raise ValueError(f'placement is "{placement}", must be "after", "before" or "system"')
    messages = list(messages)
    role = "system" if placement == "system" else "user"
    if role == "system" and instruction and not any(message["role"] == role for message in messages):
        messages.insert(0, {"role": role, "content": ""})
    return [_with(message, instruction, placement) if message["role"] == role else message for message in messages]


def _with(message: Any, instruction: str, placement: Placement) -> Any:
    content = message["content"]
    if not isinstance(content, str):
        raise ValueError(f"a {message['role']} message is {type(content).__name__}, must be a text")
    order = (instruction, content) if placement == "before" else (content, instruction)
    return {**message, "content": paragraphs(*order)}


def paragraphs(first: str, second: str) -> str:
    """Two paragraphs, or the one that is not empty."""
    return "\n\n".join(text for text in (first, second) if text)


class Capture:
    """Stands for a `Llama` in its own `create_chat_completion()`, and has the prompt that the chat format made."""

    def __init__(self, llm: "Llama", complete: Callable[..., Any]) -> None:
        self._llm = llm
        self._complete = complete
        self._asked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def create_completion(self, prompt: str | list[int], **arguments: Any) -> Any:
        """What the chat format calls, once."""
        if self._asked:
            raise ValueError("this chat format asks the model more than once, must do so once to be steered")
        self._asked = True
        return self._complete(prompt, **arguments)

    def eval(self, tokens: Sequence[int]) -> None:
        """What chat formats with images call."""
        raise ValueError("this chat format reads more than text, must read text alone to be steered")


class _Prompt(Exception):
    """Carries a prompt out of a chat format."""


def capture(llm: "Llama", messages: Messages, arguments: dict[str, Any]) -> list[int]:
    """The tokens of the prompt that a chat format makes of messages."""

    def stop(prompt: str | list[int], **_rest: Any) -> None:
        raise _Prompt(prompt)

    from llama_cpp import Llama

    stand_in: Any = Capture(llm, stop)
    try:
        Llama.create_chat_completion(stand_in, list(messages), **arguments)
    except _Prompt as captured:
        prompt: str | list[int] = captured.args[0]
        return tokens(llm, prompt)
    raise ValueError("this chat format does not ask the model, must do so to be steered")


def tokens(llm: "Llama", prompt: str | Sequence[int]) -> list[int]:
    """The tokens of a prompt, as `Llama` reads it."""
    if isinstance(prompt, str):
        return llm.tokenize(prompt.encode(), add_bos=True, special=True)
    return list(prompt)
