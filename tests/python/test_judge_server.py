"""Tests `sda` against a real OpenAI-compatible server on loopback, llama.cpp's own from the wheel of xllamacpp.
The same model judges and is steered.

SDA is the command, SDA_TEST_MODEL the model. `make test-judge-server` sets both.
"""

import json
import math
import os
import subprocess

import pytest
import xllamacpp

KEY = "sk-judge-server-test"
SDA, MODEL = os.environ["SDA"], os.environ["SDA_TEST_MODEL"]
STEERED = ["-m", MODEL, "-n", "12", "--temp", "0", "-c", "512"]


@pytest.fixture(scope="module")
def server():
    """A server that wants KEY. It lives as long as the object does."""
    params = xllamacpp.CommonParams()
    params.model.path = MODEL
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # any free one
    params.n_ctx = 8192
    params.n_parallel = 2
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = 2
    params.api_keys = [KEY]
    return xllamacpp.Server(params)


@pytest.fixture(scope="module")
def sda(server, tmp_path_factory):
    """Runs the command with the judge, and returns stdout and stderr."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*args, key=KEY, code=0):
        environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and k != "SDA_JUDGE_KEY"}
        if key:
            environment["SDA_JUDGE_KEY"] = key
        judge = ["--judge", f"{server.listening_address}/v1", "--judge-model", "served", "--judge-timeout", "600"]
        done = subprocess.run([SDA, *args, *judge, "--judge-cache-dir", cache], capture_output=True, text=True,
                              env=environment, stdin=subprocess.DEVNULL, timeout=1800)  # fmt: skip
        assert done.returncode == code, done.stderr
        assert KEY not in done.stdout + done.stderr, "the key was shown"
        return done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def generate(sda):
    """One steered answer; returns the judge's record, the answer's, and stderr."""

    def run(*more, **options):
        query = ["-p", "What does a computer do?", "-i", "Answer like a pirate.", "-t", "2", "--json"]
        stdout, stderr = sda("generate", *STEERED, *query, *more, **options)
        records = {record["type"]: record for record in map(json.loads, stdout.splitlines())}
        return records["judge"], records.get("answer"), stderr

    return run


def test_a_score_of_a_real_server_steers_the_answer_and_is_asked_for_once(generate):
    judge, answer, _ = generate()
    score = judge["score"]
    assert 1 <= score <= 100 and judge["judge"]["attempts"] == 1
    assert answer["arm"] == "steered" and answer["text"].strip()
    assert answer["amplification"] == pytest.approx(math.tanh((100 - score) / (2 * score)), abs=1e-5)
    judge, _, _ = generate()
    assert judge["judge"]["cached"] and judge["judge"]["attempts"] == 0


def test_a_server_that_wants_a_key_and_gets_none_is_an_error_that_says_so(generate):
    # Another seed, so that the cache does not know the answer.
    judge, answer, stderr = generate("--judge-seed", "2", key=None, code=1)
    assert answer is None and judge["score"] is None
    assert "401" in judge["error"] and "without an API key" in stderr


@pytest.mark.parametrize("form", ["json_schema", "json_object", "text"])
def test_every_form_of_reply_gives_a_score_or_a_failure_that_does_not_steer(generate, form):
    judge, answer, _ = generate("--judge-format", form, "--judge-max-tokens", "64", "--on-judge-failure", "instructed")
    scored = judge["score"] is not None
    assert answer["arm"] == ("steered" if scored else "instructed")
    assert scored or "judge gave no score" in judge["error"]


def test_a_file_is_scored_whole_and_its_drafts_are_written(sda, tmp_path):
    lines = [{"id": n, "query": f"Name {n} colours."} for n in (1, 2)]
    lines += [{"id": n, "query": "What is 2 + 2?", "draft": draft, "dimension": "truthfulness"}
              for n, draft in ((3, "It is 4."), (4, "It is a banana."))]  # fmt: skip
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    args = ("score", "-f", path, "-o", out, "-i", "Be brief.", "--parallel", "2", *STEERED)
    sda(*args)
    records = {record["id"]: record for record in map(json.loads, out.read_text().splitlines())}
    assert sorted(records) == [1, 2, 3, 4]
    assert all(1 <= record["score"] <= 100 for record in records.values())
    assert all({**record["record"], **record}["draft"].strip() for record in records.values())
    assert "4 of 4 records have a score already" in sda(*args)[1]
