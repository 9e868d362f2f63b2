"""Tokens a second and time to the first token of `sda serve`, for plain and for steered requests, and of llama.cpp's own
server for plain ones, in one run; and a bare batched decode of as many rows.

    python tests/python/serve/bench.py SDA MODEL [SECONDS] [SLOTS,...]
"""

import json
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

from load import Load
from served import Served

TOKENS, ROUNDS = 64, 3


class Llama(Served):
    """llama.cpp's server, out of a wheel, in this process."""

    def __init__(self, model, slots):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = model
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_ctx = 512 * slots
        params.n_parallel = slots
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = 2
        params.cpuparams_batch.n_threads = 2
        self.server = xllamacpp.Server(params)
        address = urllib.parse.urlparse(self.server.listening_address)
        self.host, self.port = address.hostname, address.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        del self.server


def measure(server, slots, share_steered, seconds):
    Load(server, clients=slots, seconds=2, tokens=TOKENS, shares_steered=share_steered, leaving=0, seed=3)
    load = Load(server, clients=slots, seconds=seconds, tokens=TOKENS, shares_steered=share_steered, leaving=0)
    assert not load.errors, load.errors[:3]
    return load.summary()


def gaps_beside_a_long_prompt(sda, model):
    """Gaps between the tokens of a steered answer, before and while another slot reads a prompt of 2000 tokens."""
    before, beside = [], []
    with Served(sda, model, "-np", "2", "-c", "4096", "-t", "2") as server:
        story = [{"role": "user", "content": "Write a very long story about a ship and its crew."}]
        body = {"messages": story, "max_tokens": 300, "temperature": 0.8, "seed": 1,
                "sda": {"instruction": "Make it exciting.", "guidance": 1.5}}  # fmt: skip
        reading = threading.Thread(
            target=server.post, args=("/completion", {"prompt": "The wind is cold today. " * 330, "n_predict": 1})
        )
        last = None
        for event in server.stream("/v1/chat/completions", body):
            if not event["choices"][0]["delta"].get("content"):
                continue
            now = time.monotonic()
            if last is not None and (reading.is_alive() or len(before) < 50):
                (beside if reading.is_alive() else before).append(now - last)
            last = now
            if len(before) == 50 and reading.ident is None:
                reading.start()
        reading.join()
    step = statistics.median(before)
    print(json.dumps({"step ms": 1000 * step, "gaps beside, in steps": {
        "median": statistics.median(beside) / step, "worst": max(beside) / step, "number": len(beside)}}))  # fmt: skip


def main():
    sda, model = sys.argv[1:3]
    gaps_beside_a_long_prompt(sda, model)
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    slots_of = [int(n) for n in sys.argv[4].split(",")] if len(sys.argv) > 4 else [4, 8, 16]
    rows = []
    for slots in slots_of:
        seen = {"plain": [], "steered": [], "llama-server": []}
        # In turns, so that all have the same of what else the machine does.
        for _ in range(ROUNDS):
            with Served(sda, model, "-np", str(slots), "-c", "512", "-t", "2") as server:
                seen["plain"].append(measure(server, slots, 0, seconds))
                seen["steered"].append(measure(server, slots, 1, seconds))
            with Llama(model, slots) as server:
                seen["llama-server"].append(measure(server, slots, 0, seconds))
        for name, rounds in seen.items():
            middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            rows.append((slots, name, middle))
            print(json.dumps({"slots": slots, "server": name, **middle}), flush=True)
    pairs = ",".join(str(n) for n in sorted({n for slots in slots_of for n in (slots // 2, slots)}))
    subprocess.run([sda, "bench", "-m", model, "-N", pairs, "-t", "2"], check=True)


main()
