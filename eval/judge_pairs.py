"""How well does a judge tell a good answer from a bad one? Scores both answers of every pair with `sda
score`, and prints for each dimension and each half of the pairs how many are in the right order, with a 95%
interval, and the means of the scores.

    python3 eval/judge_pairs.py SDA PAIRS.jsonl --judge judge.gguf
    python3 eval/judge_pairs.py SDA PAIRS.jsonl --judge local -m MODEL
    python3 eval/judge_pairs.py SDA PAIRS.jsonl --judge http://127.0.0.1:8080/v1 --judge-model NAME

A pair has the fields id, query, good, bad, and dimension or instruction. The first half is the 1st, 3rd, 5th
pair and so on, as with `sda eval --half`: whoever tunes a judge does it on that one, and reports the other.
Equal scores, and pairs without a score, are not in the right order. Chance is one half.
"""

import json
import math
import statistics
import subprocess
import sys


def interval(right, total):
    """Wilson's 95% interval of a share."""
    z = statistics.NormalDist().inv_cdf(0.975)
    p, scale = right / total, 1 + z * z / total
    middle = (p + z * z / (2 * total)) / scale
    width = z / scale * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return max(0.0, middle - width), min(1.0, middle + width)


def main():
    sda, path, *options = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
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

    def score(pair, side):
        return scores[f"{pair['id']} {side}"]

    def cell(some):
        if not some:
            return ""
        known = [(score(p, "good"), score(p, "bad")) for p in some]
        right = sum(None not in both and both[0] > both[1] for both in known)
        low, high = interval(right, len(some))
        return f"{right:3} of {len(some):3} [{low:.2f}, {high:.2f}]"

    kinds = {}
    for n, pair in enumerate(pairs):
        for name in (pair.get("dimension", "instruction"), "all"):
            kinds.setdefault(name, ([], []))[n % 2].append(pair)
    print(f"{'in the right order':20}{'first half':26}{'second half':26}all")
    kinds["all"] = kinds.pop("all")
    for name, (first, second) in kinds.items():
        print(f"{name:20}{cell(first):26}{cell(second):26}{cell(first + second)}")
    for side in ("good", "bad"):
        known = [score(pair, side) for pair in pairs if score(pair, side) is not None]
        if len(known) < len(pairs):
            print(f"{side} answers without a score: {len(pairs) - len(known)}")
        if known:
            print(f"{side} answers: scores {min(known):.1f} to {max(known):.1f}, mean {statistics.mean(known):.1f}, "
                  f"standard deviation {statistics.pstdev(known):.1f}")


main()
