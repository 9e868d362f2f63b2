"""How well does a judge tell a good answer from a bad one? Scores both answers of every pair with `sda
score`, and prints the share of pairs in the right order and the spread of the scores.

    python3 eval/judge_pairs.py SDA PAIRS.jsonl --judge local -m MODEL
    python3 eval/judge_pairs.py SDA PAIRS.jsonl --judge http://127.0.0.1:8080/v1 --judge-model NAME

A pair has the fields id, query, good, bad, and dimension or instruction. Pairs with an even number in the
file are counted separately, for whoever tunes on the odd ones.
"""

import json
import statistics
import subprocess
import sys


def main():
    sda, path, *options = sys.argv[1:]
    with open(path) as file:
        pairs = [json.loads(line) for line in file if line.strip()]
    records = []
    for pair in pairs:
        for side in ("good", "bad"):
            record = {k: v for k, v in pair.items() if k not in ("good", "bad")}
            records.append({**record, "id": f"{pair['id']} {side}", "draft": pair[side]})
    text = "".join(json.dumps(record) + "\n" for record in records)
    done = subprocess.run([sda, "score", "-f", "-", *options], input=text, stdout=subprocess.PIPE, text=True)
    # Status 1 with output: some have no score. They count as wrong.
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(done.returncode or 1)
    scores = {r["id"]: r["score"] for r in map(json.loads, done.stdout.splitlines())}

    def right(pair):
        good, bad = scores[f"{pair['id']} good"], scores[f"{pair['id']} bad"]
        return good is not None and bad is not None and good > bad

    def show(name, some):
        print(f"{name:24} {sum(map(right, some)):3} of {len(some)} pairs in the right order")

    kinds = {}
    for pair in pairs:
        kinds.setdefault(pair.get("dimension", "instruction"), []).append(pair)
    for kind, some in kinds.items():
        show(kind, some)
    show("odd pairs", pairs[::2])
    show("even pairs", pairs[1::2])
    show("all", pairs)
    known = [score for score in scores.values() if score is not None]
    if known:
        print(f"scores {min(known):.1f} to {max(known):.1f}, mean {statistics.mean(known):.1f}, "
              f"standard deviation {statistics.pstdev(known):.1f}, {len(scores) - len(known)} missing")


main()
