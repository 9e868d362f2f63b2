"""Writes what is linked into the plugin and into the command, and under which licences: packaging/licences/*.txt.

    licences.py [--check]

The crates are those of `cargo tree` for Linux on x86-64, without what works at build time only. Their texts are taken from
the crates themselves, one where there is a choice. `--check` writes nothing, and fails if a file is not up to date.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
PACKAGES = {"libsda": ("sda-capi", "libsda, the plugin"), "sda": ("sda-cli", "sda, the command")}
# Texts of what a crate brings beside its own code: llama.cpp and what that brings, a typeface.
WITHIN = {
    "llama-cpp-sys-2": ["llama.cpp/LICENSE", "llama.cpp/vendor/*/LICENSE*", "llama.cpp/vendor/hash/*/LICENSE*"],
    "dejavu": ["assets/**/LICENSE*"],
}
# What is in a header alone.
HEADERS = {"llama-cpp-sys-2": "nlohmann/json (llama.cpp/vendor/nlohmann): MIT, Copyright (c) 2013-2026 Niels Lohmann"}
# Where a crate lets one choose, the first of these that it has a text of.
CHOICE = ["MIT", "BSD", "ZLIB", "ISC", "APACHE", "UNLICENSE"]
CARGO = os.environ.get("CARGO", "cargo")


def run(*arguments: str) -> str:
    """What a cargo command prints."""
    command = [CARGO, *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout


def texts(crate: Path, licence: str) -> list[Path]:
    """The files of a crate that hold its licence."""
    found = sorted(
        file
        for file in crate.iterdir()
        if file.is_file() and re.match(r"(LICEN[CS]E|COPYING|NOTICE|COPYRIGHT|UNLICENSE)", file.name, re.IGNORECASE)
    )
    if " AND " in licence or ("OR" not in licence and "/" not in licence):
        return found
    for choice in CHOICE:
        of_choice = [file for file in found if choice in file.name.upper() and choice in licence.upper()]
        if of_choice:
            return of_choice
    return found


def listing(package: str, title: str, crates: dict[tuple[str, str], dict[str, str]]) -> str:
    """The whole file for a package of this workspace."""
    tree = run("tree", "-p", package, "-e", "normal,no-proc-macro", "--prefix", "none", "--target", TARGET, "-f", "{p}")
    linked = sorted({(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines() if line.strip()})
    names, by_text = [], {}
    for name, version in linked:
        crate = crates[name, version]
        if crate["source"] is None:
            continue
        names.append(f"  {name} {version}: {crate['license']}")
        folder = Path(crate["manifest_path"]).parent
        files = texts(folder, crate["license"] or "")
        files += sorted(file for pattern in WITHIN.get(name, []) for file in folder.glob(pattern))
        if name in HEADERS:
            names.append(f"    {HEADERS[name]}")
        if not files:
            authors = [re.sub(r" *<[^>]*>", "", author) for author in crate["authors"]]
            names.append(f"    without a text of its own; by {', '.join(authors) or 'its contributors'}")
        for file in files:
            text = "\n".join(line.rstrip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
            where = f"{name} {version}" + (f", {file.relative_to(folder)}" if file.parent != folder else "")
            by_text.setdefault(text.strip("\n"), []).append(where)
    parts = [
        f"What is linked into {title}, and its licences. Written by scripts/licences.py (make licences).",
        "The sources of this project are under the MIT licence, see LICENSE.",
        "Rust's standard library: MIT OR Apache-2.0, Copyright (c) The Rust Project Contributors",
        "Crates:\n" + "\n".join(names),
    ]
    for text, users in sorted(by_text.items(), key=lambda item: item[1]):
        parts.append("-" * 100 + "\n" + "\n".join(sorted(set(users))) + "\n\n" + text)
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Writes or checks both files."""
    metadata = json.loads(run("metadata", "--format-version", "1", "--filter-platform", TARGET))
    crates = {(crate["name"], crate["version"]): crate for crate in metadata["packages"]}
    for name, (package, title) in PACKAGES.items():
        file = ROOT / "packaging" / "licences" / f"{name}.txt"
        text = listing(package, title, crates)
        if "--check" not in sys.argv[1:]:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            sys.exit(f"error: {file.relative_to(ROOT)} is not what is linked: run `make licences`")


if __name__ == "__main__":
    main()
