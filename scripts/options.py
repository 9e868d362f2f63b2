#!/usr/bin/env python3
"""Writes docs/options.md: the options of llama.cpp's programs, ours, and why not for the rest.

    scripts/options.py SDA            write it
    scripts/options.py SDA --check    fail if it is not up to date

SDA is the command. llama.cpp's options are read from common/arg.cpp in the source of the crate that is compiled in, so that an
upgrade shows what is new: an option that sda neither has nor names in cli/src/foreign.txt, with the reason, is an error.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ROOT / "cli/src/foreign.txt"
PAGE = ROOT / "docs/options.md"

# Its programs whose options matter, and what arg.cpp calls them. COMMON is all of them.
PROGRAMS = {"CLI": "cli", "COMPLETION": "completion", "SERVER": "server"}

# Commands that answer; what they all have is not worth a list.
ALL = ["generate", "chat", "score", "serve", "eval"]

# Where the meaning is not quite llama.cpp's, by the long name here.
NOTES = {
    "--ctx-size": "of each branch",
    "--temp": "the divergence lowers it, see [sampling.md](sampling.md)",
    "--samplers": "the temperature comes first, see [sampling.md](sampling.md)",
    "--sampling-seq": "the temperature comes first",
    "--mirostat": "refused beside samplers that it would pass over",
    "--keep": "-1 only: a context shift keeps the prompts",
    "--context-shift": "reads again what is kept, see [sampling.md](sampling.md)",
    "--file": "`*.jsonl` is a list of queries",
    "--output": "of lists",
    "--parallel": "answers at once; the variable is for `serve` alone",
    "--fit": "`off` only",
    "--load-mode": "no `dio`",
    "--cache-type-k": "f32, f16, bf16, q8_0, q4_0",
    "--cache-type-v": "f32, f16, bf16, q8_0, q4_0",
    "--no-template": "raw text",
    "--color": "headings, and the mark in front of a turn",
    "--poll": "of no effect in builds with OpenMP",
    "--reverse-prompt": "ends the answer",
    "--host": "one address, no sockets of files",
    "--timeout": "of a whole request",
    "--logit-bias": "see [grammar.md](grammar.md)",
    "--grammar": "see [grammar.md](grammar.md)",
    "--json-schema": "see [grammar.md](grammar.md)",
    "--rpc": "see [distributed.md](distributed.md)",
    "--seed": "-1 is a new one each time",
    "--cors-origins": "none by default",
    "--verbose": "llama.cpp's log",
    "--alias": "one name",
}

# Names of llama.cpp's that mean something else here.
OTHERS = {
    "-i": "here `--instruction`",
    "-if": "here `--instruction-file`",
    "-a": "here `--amplification`",
}


def fail(lines):
    sys.exit("".join(f"error: {line}\n" for line in lines).rstrip())


def arg_cpp():
    """The file in the source of the crate, and the crate's version."""
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked"]
    metadata = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    package = next(p for p in json.loads(metadata)["packages"] if p["name"] == "llama-cpp-sys-2")
    return Path(package["manifest_path"]).parent / "llama.cpp/common/arg.cpp", package["version"]


def examples(text, lists):
    """Names in braces, or those of a list that has a name."""
    named = re.search(r"\(\s*(\w+)\s*\)", text)
    return set(re.findall(r"LLAMA_EXAMPLE_(\w+)", lists[named[1]] if named else text))


def theirs(source):
    """llama.cpp's options: names, the programs, the variable. What switches something off is an option of its own."""
    lists = dict(re.findall(r"initializer_list<enum llama_example> (\w+) = \{(.*?)\};", source, re.S))
    begin = source.index("common_params_context common_params_parser_init(")
    body = source[begin : source.index("\n}\n", begin)]
    body = re.sub(r"^\s*//.*$", "", body, flags=re.M)
    options = []
    for text in re.split(r"\badd_opt\(", body)[1:]:
        head = re.match(r"\s*common_arg\(\s*((?:\{[^{}]*\}\s*,\s*){1,2})", text)
        if not head:
            fail([f"arg.cpp is not written as this script reads it: {text[:80]!r}"])
        inside = re.search(r"\.set_examples(\([^)]*\))", text)
        outside = re.search(r"\.set_excludes(\([^)]*\))", text)
        inside = examples(inside[1], lists) if inside else {"COMMON"}
        outside = examples(outside[1], lists) if outside else set()
        programs = [p for key, p in PROGRAMS.items() if inside & {key, "COMMON"} and key not in outside]
        variable = re.search(r'\.set_env\("(\w+)"\)', text)
        for names in re.findall(r"\{([^{}]*)\}", head[1]):
            names = re.findall(r'"(-[^"]+)"', names)
            same = next((o for o in options if o["names"] == names), None)
            if same:
                same["programs"] = [p for p in PROGRAMS.values() if p in same["programs"] or p in programs]
            elif programs:
                options.append({"names": names, "programs": programs, "variable": variable and variable[1]})
    if len(options) < 200:
        fail([f"only {len(options)} options were found in arg.cpp: it is not written as this script reads it"])
    return options


def ours(sda):
    """Our options: names, the commands that have them, the variable."""
    lines = subprocess.run([sda, "manual", "--options"], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    options = []
    for line in lines:
        command, names, variable = line.split("\t")
        names = names.split()
        same = next((o for o in options if o["names"][0] == names[0]), None)
        if same is None:
            same = {"names": [], "commands": [], "variable": variable}
            options.append(same)
        same["names"] += [n for n in names if n not in same["names"]]
        same["commands"].append(command)
        same["variable"] = same["variable"] or variable
    return options


def foreign():
    """The reason of each name that is refused."""
    lines = FOREIGN.read_text().splitlines()
    split = [line.split(": ", 1) for line in lines if line and not line.startswith("#")]
    return {name: reason for names, reason in split for name in names.split()}


def code(names):
    return ", ".join(f"`{name}`" for name in names)


def cell(text):
    return text.replace("|", "\\|")


def page(options, own, reasons, version):
    problems, have, have_not = [], [], {}
    known = {name for option in options for name in option["names"]}
    problems += [f"{FOREIGN.name}: llama.cpp has no {name}" for name in reasons if name not in known]
    for option in options:
        names = option["names"]
        longs = [name for name in names if name.startswith("--")]
        mine = [o for o in own if set(longs) & set(o["names"])]
        shared = {name for o in mine for name in o["names"]}
        notes = []
        for name in names:
            if name in shared or name in reasons:
                continue
            if mine and name in OTHERS:
                notes.append(f"`{name}` is {OTHERS[name]}")
            elif name in OTHERS:
                continue
            else:
                problems.append(f"{name} ({'/'.join(option['programs'])}) is new: sda has it not, and {FOREIGN.name} no reason")
        for name in names:
            if name in reasons:
                have_not.setdefault(reasons[name], []).append(name)
        if not mine:
            continue
        commands = {command for o in mine for command in o["commands"]}
        where = "all" if commands.issuperset(ALL) else ", ".join(c for c in [*ALL, "bench", "sda"] if c in commands)
        variable = option["variable"] if any(o["variable"] == option["variable"] for o in mine) else None
        notes += [NOTES[o["names"][0]] for o in mine if o["names"][0] in NOTES]
        have.append((code(names), " ".join(option["programs"]), code(sorted({o["names"][0] for o in mine})), where,
                     f"`{variable}`" if variable else "", "; ".join(notes)))
    problems += [f"NOTES has {name}, which is no option" for name in NOTES if not any(name in o["names"] for o in own)]
    if problems:
        fail(problems)
    programs = " ".join(PROGRAMS.values())
    rows = [f"| {names} | {'all' if which == programs else which} | {mine} | {where} | {variable} | {cell(note)} |"
            for names, which, mine, where, variable, note in have]
    rest = [f"| {code(names)} | {cell(reason)} |" for reason, names in have_not.items()]
    return TEXT.format(version=version, rows="\n".join(rows), rest="\n".join(rest))


TEXT = """\
# llama.cpp's options

Made by `make options` out of `common/arg.cpp` of llama-cpp-sys-2 {version} and of `sda` itself; `make check-options`, and a
test of the command, fail if it is out of date. The programs are llama-cli, llama-completion and llama-server.

A variable of the environment is what its option would be. The option wins, and so does one that conflicts with it. A
switch is `on`, `enabled`, `true` or `1`, or `off`, `disabled`, `false` or `0`; `LLAMA_ARG_NO_...` is its off. An empty
variable is none. `LLAMA_API_KEY` holds the server's keys.

## What sda has

"All" commands are `generate` (and lists), `chat`, `score`, `serve` and `eval`; `bench` has the options of the model as
well. Options that ask for what is so anyway, such as `--no-warmup`, are accepted and not in `--help`.

| llama.cpp | its programs | here | commands | variable | |
|---|---|---|---|---|---|
{rows}

## What it has not

The command says the reason when it is given the option.

| llama.cpp | why not |
|---|---|
{rest}
"""


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--check"]):
        sys.exit(__doc__)
    source, version = arg_cpp()
    text = page(theirs(source.read_text()), ours(sys.argv[1]), foreign(), version)
    if sys.argv[2:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            fail([f"{PAGE.relative_to(ROOT)} is out of date: make options"])
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
