"""Tests `sda` against a real OpenAI-compatible server: llama.cpp's own, from the wheel of xllamacpp, that
serves a model on loopback as judge.

    python scripts/judge_server.py SDA MODEL        run the tests; the same model judges and is steered
    python scripts/judge_server.py --serve MODEL    only serve, print the URL, until stdin ends
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time

import xllamacpp

KEY = "sk-judge-server-test"


def serve(model):
    """Starts a server that wants KEY, and returns it. It lives as long as the object does."""
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # any free one
    params.n_ctx = 8192
    params.n_parallel = 2
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = int(os.environ.get("JOBS", "2"))
    params.api_keys = [KEY]
    return xllamacpp.Server(params)


class Tests:
    def __init__(self, sda, model, url, folder):
        self.sda, self.model, self.url, self.folder = sda, model, url, folder

    def run(self, *args, key=KEY, code=0):
        """Runs the command with the judge, and returns stdout and stderr."""
        environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        environment.pop("SDA_JUDGE_KEY", None)
        if key:
            environment["SDA_JUDGE_KEY"] = key
        judge = ["--judge", self.url, "--judge-model", "served", "--judge-timeout", "600"]
        judge += ["--judge-cache-dir", os.path.join(self.folder, "cache")]
        done = subprocess.run([self.sda, *args, *judge], capture_output=True, text=True, env=environment,
                              stdin=subprocess.DEVNULL, timeout=1800)
        assert done.returncode == code, f"status {done.returncode}, not {code}: {done.stderr}"
        assert KEY not in done.stdout + done.stderr, "the key was shown"
        return done.stdout, done.stderr

    def generate(self, *more, **options):
        """One steered answer; returns the judge's record and the answer's."""
        stdout, stderr = self.run(
            "generate", "-m", self.model, "-p", "What does a computer do?", "-i", "Answer like a pirate.",
            "-n", "12", "--temp", "0", "-c", "512", "-t", "2", "--json", *more, **options)
        records = [json.loads(line) for line in stdout.splitlines()]
        return ([r for r in records if r["type"] == "judge"][0],
                ([r for r in records if r["type"] == "answer"] or [None])[0], stderr)

    def test_a_score_of_a_real_server_steers_the_answer(self):
        judge, answer, _ = self.generate()
        score = judge["score"]
        assert 1 <= score <= 100 and judge["judge"]["attempts"] == 1, judge
        assert answer["arm"] == "steered" and answer["text"].strip(), answer
        expected = math.tanh((100 - score) / (2 * score))
        assert abs(answer["amplification"] - expected) < 1e-5, (answer, expected)
        return f"score {score:g}, amplification {answer['amplification']:.3f}"

    def test_the_same_draft_is_not_judged_twice(self):
        judge, _, _ = self.generate()
        assert judge["judge"]["cached"] and judge["judge"]["attempts"] == 0, judge

    def test_a_server_that_wants_a_key_and_gets_none_is_an_error_that_says_so(self):
        # Another seed, so that the cache does not know the answer.
        judge, answer, stderr = self.generate("--judge-seed", "2", key=None, code=1)
        assert answer is None and judge["score"] is None, judge
        assert "401" in judge["error"] and "without an API key" in stderr, stderr

    def test_every_form_of_reply_gives_a_score_or_a_failure_that_does_not_steer(self):
        told = []
        for form in ("json_schema", "json_object", "text"):
            judge, answer, _ = self.generate("--judge-format", form, "--judge-max-tokens", "64",
                                             "--on-judge-failure", "instructed")
            scored = judge["score"] is not None
            assert answer["arm"] == ("steered" if scored else "instructed"), answer
            assert scored or "judge gave no score" in judge["error"], judge
            told.append(f"{form} {judge['score']:g}" if scored else f"{form} no score")
        return ", ".join(told)

    def test_a_file_is_scored_whole_and_its_drafts_are_written(self):
        lines = [{"id": n, "query": f"Name {n} colours."} for n in (1, 2)]
        lines += [{"id": n, "query": "What is 2 + 2?", "draft": draft, "dimension": "truthfulness"}
                  for n, draft in ((3, "It is 4."), (4, "It is a banana."))]
        path, out = (os.path.join(self.folder, name) for name in ("in.jsonl", "out.jsonl"))
        with open(path, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        args = ("score", "-f", path, "-o", out, "-i", "Be brief.", "--parallel", "2", "-m", self.model,
                "-n", "12", "--temp", "0", "-c", "512")
        self.run(*args)
        with open(out) as file:
            records = {r["id"]: r for r in map(json.loads, file)}
        assert sorted(records) == [1, 2, 3, 4], records
        assert all(1 <= r["score"] <= 100 and r["draft"].strip() for r in records.values()), records
        _, stderr = self.run(*args)
        assert "4 of 4 records have a score already" in stderr, stderr
        return ", ".join(f"{n}: {r['score']:g}" for n, r in sorted(records.items()))


def main():
    if sys.argv[1] == "--serve":
        server = serve(sys.argv[2])
        print(f"{server.listening_address}/v1  (key {KEY})", flush=True)
        sys.stdin.read()
        return
    sda, model = sys.argv[1:]
    server = serve(model)
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(sda, model, f"{server.listening_address}/v1", folder)
        for name in [n for n in vars(Tests) if n.startswith("test_")]:
            start = time.monotonic()
            told = getattr(tests, name)()
            said = f": {told}" if told else ""
            print(f"ok {name[5:].replace('_', ' ')}{said} ({time.monotonic() - start:.1f} s)", flush=True)


main()
