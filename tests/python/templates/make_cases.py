"""Writes templates, conversations, and what jinja2 makes of them, for src/text/template/differential.rs.

    make_cases.py FILE [--seed N] [--count N]    the constructs, the families, and as many random templates
    make_cases.py FILE --frozen                  the selection in tests/data/templates.json
"""

import argparse
import json
import pathlib
import random

import constructs
import generate
import huggingface
from known import REASONS

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi \"you\"\nthere "},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye é"},
]

TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "Tells the \"weather\" <now>.", "returns": "text",
        "parameters": {"type": "object", "required": ["city"], "properties": {
            "city": {"type": "string"}, "days": {"type": "integer", "default": 3},
            "units": {"type": "array", "items": {"type": "string", "enum": ["C", "F"]}},
            "wind": {"type": ["number", "null"]},
        }},
    }},
    {"type": "function", "function": {"name": "clock", "description": "Zeit für é"}},
]

VARIABLES = [
    {},
    {"enable_thinking": False},
    {"enable_thinking": True},
    {"tools": TOOLS},
    {"tools": []},
    {"documents": [{"title": "T", "text": "x\ny", "rank": [1, 2.5]}]},
    {"reasoning_effort": "low", "today": "1 May", "keep_past_thinking": True},
]


def families(rng, count):
    """Whole templates, with every set of variables in turn; some with the line ends of Windows."""
    for path in sorted((pathlib.Path(__file__).parent / "families").glob("*.jinja")):
        template = path.read_text()
        for number in range(count):
            yield {
                "name": f"{path.stem} {number}",
                "template": template if number % 5 != 4 else template.replace("\n", "\r\n"),
                "messages": generate.conversation(rng),
                "add_generation_prompt": number % 3 != 2,
                "variables": VARIABLES[number % len(VARIABLES)],
            }


def cases(seed, n_random, n_family):
    for name, template in constructs.cases():
        yield {"name": name, "template": template, "messages": TALK, "add_generation_prompt": True,
               "variables": constructs.VARIABLES}
    yield from families(random.Random(seed), n_family)
    for name, template, messages in generate.cases(seed, n_random):
        yield {"name": name, "template": template, "messages": messages, "add_generation_prompt": True,
               "variables": {}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--frozen", action="store_true")
    args = parser.parse_args()
    n_random, n_family = (80, 7) if args.frozen else (args.count, 70)
    tables = {"templates": [], "messages": [], "variables": []}

    def entry(table, value):
        """The place of a value in a table; most are shared by many cases."""
        known = tables[table]
        if value not in known[-2000:]:
            known.append(value)
        return len(known) - 1 - known[::-1].index(value)

    done = []
    for case in cases(args.seed, n_random, n_family):
        short = {
            "name": case["name"],
            "template": entry("templates", case["template"]),
            "messages": entry("messages", case["messages"]),
            # As text, in which the fields keep their order.
            "variables": entry("variables", json.dumps(case["variables"], ensure_ascii=False)),
            "add_generation_prompt": case["add_generation_prompt"],
            **huggingface.render(case),
        }
        if reason := REASONS.get(case["template"]):
            short["differs"] = reason
        done.append(short)
    missing = REASONS.keys() - set(tables["templates"])
    assert not missing, f"known.py has what is no construct: {missing}"
    tables["cases"] = done
    sections = (
        json.dumps(name) + ": [\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items) + "\n]"
        for name, items in tables.items()
    )
    args.file.write_text("{" + ",\n".join(sections) + "}\n", encoding="utf-8")
    errors = sum("error" in case for case in done)
    print(f"{len(done)} cases with seed {args.seed}, of which jinja2 refuses {errors}")

main()
