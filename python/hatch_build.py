"""Puts libsda, without llama.cpp, into the wheel: builds it with cargo, and names the platform in the wheel's tag."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

SUFFIXES = (".so", ".dylib", ".dll")
# As `make plugin` has it, without symbols. Never for one CPU: the kernel chooses at run time.
SETTINGS = {
    "CARGO_PROFILE_RELEASE_LTO": "thin",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "4",
    "CARGO_PROFILE_RELEASE_STRIP": "symbols",
    "RUSTFLAGS": "",
}


def build_library(root: Path) -> Path:
    """Builds the library, and returns its file."""
    environment = {**os.environ, **SETTINGS}
    # A folder of its own, since these settings would have everything in another one built again.
    environment["CARGO_TARGET_DIR"] = str(Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "wheel")
    command = [os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "--package", "sda-capi", "--lib"]
    command.append("--message-format=json-render-diagnostics")
    built = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, check=True)
    for line in reversed(built.stdout.splitlines()):
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and "cdylib" in message["target"]["crate_types"]:
            return next(Path(name) for name in message["filenames"] if name.endswith(SUFFIXES))
    sys.exit("error: cargo made no shared library")


def platform() -> str:
    """This machine's tag. With glibc the library is taken to need this one or a newer."""
    tags = list(platform_tags())
    return next((tag for tag in tags if tag.startswith(("manylinux", "musllinux"))), tags[0])


class LibraryHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling for each wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the library, and the licences of what is in it, to what goes into the wheel."""
        root = Path(self.root).parent
        library = build_library(root)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ.get('SDA_WHEEL_PLATFORM') or platform()}"
        build_data["force_include"][str(library)] = f"sda/{library.name}"
        build_data["extra_metadata"][str(root / "LICENSE")] = "LICENSE"
        build_data["extra_metadata"][str(root / "packaging" / "licences" / "libsda.txt")] = "LICENSES-libsda.txt"
