"""The wheel: what is in it, how large it is, and that it was installed from there."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from conftest import ROOT, needed

import sda

PLATFORM = {"linux": ("manylinux", "musllinux"), "darwin": ("macosx",), "win32": ("win",)}[sys.platform]


@pytest.fixture(scope="module")
def wheel() -> Path:
    (found,) = Path(needed("SDA_WHEELS")).glob("*.whl")
    return found


def test_the_wheel_is_for_this_platform_and_every_python_3(wheel):
    name, version, python, abi, platform = wheel.stem.split("-")
    assert (name, python, abi) == ("sda_steering", "py3", "none")
    assert platform.startswith(PLATFORM)


def test_the_wheel_is_below_2_mb_and_holds_the_library_without_symbols(wheel):
    assert wheel.stat().st_size < 2_000_000
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (library,) = [name for name in names if name.endswith((".so", ".dylib", ".dll"))]
        data = files.read(library)
        (licences,) = [files.read(name).decode() for name in names if name.endswith("/LICENSES-libsda.txt")]
    assert library.startswith("sda/") and "sda/py.typed" in names and any("LICENSE" in name for name in names)
    assert not any("test" in name for name in names)
    # Of the crates that are linked into the library.
    assert "serde_json" in licences and "Permission is hereby granted" in licences
    # Neither the plugin nor anything of llama.cpp.
    assert b"sda_steer" in data
    for absent in (b"llama_decode", b"ggml_init", b".symtab"):
        assert absent not in data, absent


def test_the_version_is_that_of_cargo():
    (line,) = [line for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = ")]
    version = line.split('"')[1]
    assert sda.__version__ == sda.version() == distribution("sda-steering").version == version


def test_the_package_is_the_installed_one():
    assert Path(sda.__file__).is_relative_to(sys.prefix)
    assert "SDA_LIB" not in os.environ


def test_it_needs_numpy_alone():
    needs = [need for need in distribution("sda-steering").requires or [] if "extra ==" not in need]
    assert [need.split(">")[0] for need in needs] == ["numpy"]


def test_a_missing_or_wrong_library_is_an_error_that_names_it(tmp_path):
    wrong = tmp_path / "wrong.so"
    wrong.write_bytes(b"no library")
    for path in (wrong, tmp_path / "none.so"):
        done = subprocess.run(
            [sys.executable, "-c", "import sda"],
            env={**os.environ, "SDA_LIB": str(path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and path.name in done.stderr
