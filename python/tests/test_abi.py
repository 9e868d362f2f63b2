"""What the package takes over from sda.h is what stands there."""

import ctypes
import re

import pytest
from conftest import ROOT

from sda import _abi, _library

HEADER = re.sub(r"/\*.*?\*/", "", (ROOT / "include/sda.h").read_text(), flags=re.DOTALL)
SCALARS = {"size_t": ctypes.c_size_t, "float": ctypes.c_float, "int32_t": ctypes.c_int32}
SCALARS |= {"uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64}


def constants(prefix):
    found = re.findall(rf"#define SDA_{prefix}(\w+) (-?\d+)", HEADER)
    return {name: int(number) for name, number in found}


def ctype(text):
    """The ctypes type of a C declaration, as far as the plugin's structs and functions use them."""
    text = re.sub(r"\bconst\b|\bstruct\b", "", text).strip()
    if "*" in text:
        return ctypes.c_char_p if re.match(r"char \*$", text) else ctypes.c_void_p
    return None if text == "void" else SCALARS[text]


def same(a, b):
    """As types of arguments: a typed pointer is an address."""
    return a is b or (b is ctypes.c_void_p and isinstance(a, type) and issubclass(a, ctypes._Pointer))


@pytest.mark.parametrize("prefix, enum", [("AMPLIFY_", _abi.Amplify), ("SIDE_", _abi.Side), ("ERR_", _abi.Status)])
def test_enumerations_are_the_headers(prefix, enum):
    expected = constants(prefix)
    expected |= {"OK": 0} if enum is _abi.Status else {}
    expected.pop("SINGLE", None)
    assert {item.name: item.value for item in enum} == expected


def test_numbers_are_the_headers():
    assert constants("ABI_")["VERSION"] == _abi.ABI_VERSION
    assert constants("MOST_")["INSTRUCTIONS"] == _abi.MOST_INSTRUCTIONS


@pytest.mark.parametrize("name", ["params", "step", "step_info", "prefill", "stats", "row", "host"])
def test_structs_are_the_headers(name):
    struct = getattr(_abi, "C" + name.title().replace("_", ""))
    body = re.search(rf"typedef struct sda_{name} \{{(.*?)\n\}} sda_{name};", HEADER, re.DOTALL)[1]
    declared = []
    for field in re.split(r";", body):
        field = " ".join(field.split())
        if not field:
            continue
        if function := re.match(r"(.+?) ?\(\*(\w+)\)\((.*)\)$", field):
            result, field_name, arguments = function.groups()
            types = [ctype(re.sub(r"\w+$", "", argument)) for argument in arguments.split(",")]
            declared.append((field_name, [ctype(result), *types]))
        else:
            kind, field_name = re.match(r"(.+?)(\w+)$", field).groups()
            declared.append((field_name, ctype(kind)))
    ours = []
    for field_name, kind in struct._fields_:
        if hasattr(kind, "_argtypes_"):
            kind = [kind._restype_, *kind._argtypes_]
        ours.append((field_name, kind))
    assert [name for name, _ in ours] == [name for name, _ in declared]
    for (field_name, a), (_, b) in zip(ours, declared, strict=True):
        pairs = zip(a, b, strict=True) if isinstance(a, list) else [(a, b)]
        assert all(same(*pair) for pair in pairs), (field_name, a, b)


def test_functions_are_declared_as_in_the_header():
    functions = {name: (ctypes.c_int32, arguments) for name, arguments in _abi.FALLIBLE.items()} | _abi.OTHERS
    for name, (result, arguments) in functions.items():
        found = re.search(rf"^([\w ]+?\*?)\b{name}\((.*?)\);", HEADER, re.DOTALL | re.MULTILINE)
        assert found, name
        declared = [" ".join(argument.split()) for argument in found[2].split(",") if argument.strip() != "void"]
        types = [ctype(re.sub(r"\w+$", "", argument)) for argument in declared]
        assert len(types) == len(arguments), name
        for mine, theirs, text in zip(arguments, types, declared, strict=True):
            assert same(mine, theirs), (name, text, mine)
        assert ctype(found[1].strip()) is result, name


def test_another_abi_is_refused(monkeypatch):
    monkeypatch.setattr(_abi, "ABI_VERSION", 1)
    with pytest.raises(ImportError, match="has ABI version 2, must be 1"):
        _library._load()


def test_each_status_has_the_librarys_words():
    words = {_library.status_text(status) for status in _abi.Status}
    assert len(words) == len(_abi.Status)
