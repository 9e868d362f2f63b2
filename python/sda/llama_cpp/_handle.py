"""What pairs and samplers have in common: a handle of the library, and its errors."""

import ctypes
from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from sda._abi import Status
from sda._library import fail, lib, make
from sda.llama_cpp._host import Host


class Handle:
    """An object of the library, freed by `close()`, at the end of a `with`, or with the last reference to it."""

    _KIND: ClassVar[str]
    _handle: ctypes.c_void_p | None = None

    def __init__(self, host: Host, function: str, *arguments: object) -> None:
        self._host = host
        host.take_error()
        try:
            self._handle = make(function, *arguments)
        except RuntimeError as error:
            raise error from host.take_error()

    def close(self) -> None:
        """Frees it; twice is fine."""
        handle, self._handle = self._handle, None
        if handle is not None:
            getattr(lib, f"sda_{self._KIND}_free")(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _call(self, name: str, *arguments: object) -> None:
        function = f"sda_{self._KIND}_{name}"
        if self._handle is None:
            raise fail(function, Status.STATE, f"the {self._KIND} is closed")
        self._host.take_error()
        status = getattr(lib, function)(self._handle, *arguments)
        cause = self._host.take_error()
        if isinstance(cause, KeyboardInterrupt):
            raise cause
        if status != Status.OK:
            text: bytes = getattr(lib, f"sda_{self._KIND}_error")(self._handle)
            raise fail(function, status, text.decode(errors="replace")) from cause

    def _read(self, name: str, struct: Any) -> Any:
        """Has a struct that grows set up and written to."""
        lib_name = {"last_step": "step_info"}.get(name, name)
        getattr(lib, f"sda_{lib_name}_init")(ctypes.byref(struct), ctypes.sizeof(struct))
        self._call(name, ctypes.byref(struct))
        return struct


def tokens_of(name: str, tokens: Sequence[int] | npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Token ids as the library reads them; an array of int32 is not copied.

    Raises:
        ValueError: for an array of another shape.
    """
    array = np.ascontiguousarray(tokens, dtype=np.int32)
    if np.ndim(tokens) != 1:
        raise ValueError(f"{name} has {np.ndim(tokens)} dimensions, must have one")
    return array
