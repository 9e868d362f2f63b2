"""Loads libsda, that of this package or the one that SDA_LIB names, and turns statuses into exceptions."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

from sda import _abi
from sda._abi import Status


class Error(RuntimeError):
    """A call into libsda failed. The text is the library's: it names the field or argument, its value, and what is
    allowed."""

    status: Status | int
    """Which kind of error, one of sda.h's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = Status(status) if status in Status._value2member_map_ else status


def _load() -> ctypes.CDLL:
    name = {"darwin": "libsda.dylib", "win32": "sda.dll"}.get(sys.platform, "libsda.so")
    path = os.environ.get("SDA_LIB") or str(Path(__file__).parent / name)
    # A CDLL lets other Python threads run during each call.
    library = ctypes.CDLL(path)
    for function, (result, arguments) in _abi.OTHERS.items():
        getattr(library, function).restype, getattr(library, function).argtypes = result, arguments
    found = library.sda_abi_version()
    if found != _abi.ABI_VERSION:
        raise ImportError(f"{path} has ABI version {found}, must be {_abi.ABI_VERSION}")
    for function, arguments in _abi.FALLIBLE.items():
        getattr(library, function).restype, getattr(library, function).argtypes = ctypes.c_int32, arguments
    return library


lib: Any = _load()


def status_text(status: int) -> str:
    """The library's words for a status."""
    text: bytes = lib.sda_status_str(status)
    return text.decode()


def fail(function: str, status: int, reason: str = "") -> Error:
    """The exception for a status."""
    return Error(status, f"{function}: {reason or status_text(status)}")


def call(function: str, *arguments: object) -> None:
    """Calls a function that has no handle.

    Raises:
        Error: if its status is not 0.
    """
    status = getattr(lib, function)(*arguments)
    if status != Status.OK:
        raise fail(function, status)


def make(function: str, *arguments: object) -> ctypes.c_void_p:
    """Calls a function whose last arguments take the text of an error and the new handle, which it returns."""
    handle, error = ctypes.c_void_p(), ctypes.create_string_buffer(512)
    status = getattr(lib, function)(*arguments, error, len(error), ctypes.byref(handle))
    if status != Status.OK:
        raise fail(function, status, error.value.decode(errors="replace"))
    return handle


def version() -> str:
    """Version of the loaded library, such as "0.2.0"."""
    text: bytes = lib.sda_version()
    return text.decode()
