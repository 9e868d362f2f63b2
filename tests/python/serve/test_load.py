"""64 clients at once, a third of them gone half-way: no answer is lost or mixed up, and memory stays.

SDA is the command, SDA_TEST_MODEL the model, SDA_LOAD_SECONDS how long each number of slots is under load.
`make test-serve-load` sets them.
"""

import os

import pytest
from load import Load, explained, references
from served import Served

SDA, MODEL = os.environ["SDA"], os.environ["SDA_TEST_MODEL"]
SECONDS = float(os.environ.get("SDA_LOAD_SECONDS", "20"))
TOKENS = 32
# Rounding to 8 bits moves rows of SmolLM2 by up to 4 % of their spread.
NATS = 1.5


@pytest.fixture(scope="module")
def expected():
    with Served(SDA, MODEL, "-np", "1", "-c", "512", "-t", "2", "--no-cache-prompt") as server:
        return references(server, TOKENS)


@pytest.mark.parametrize("slots", [4, 8, 16])
def test_no_answer_is_lost_or_mixed_up(slots, expected):
    options = ["-np", str(slots), "-c", "512", "-t", "2", "--metrics", "--queue", "256"]
    with Served(SDA, MODEL, *options) as server:
        Load(server, clients=16, seconds=3, tokens=TOKENS, seed=2)
        warm = server.memory_mib()
        load = Load(server, clients=64, seconds=SECONDS, tokens=TOKENS)
        print(slots, "slots:", load.summary(), f"{warm:.0f} MiB before, {server.memory_mib():.0f} after")
        assert not load.errors, load.errors[:3]
        assert load.answers and load.left
        wrong = [why for n, steered, text in load.answers if (why := explained(text, expected[n, steered], NATS))]
        assert not wrong, f"{len(wrong)} of {len(load.answers)}, such as {wrong[:3]}"
        same = sum(text == expected[n, steered][0] for n, steered, text in load.answers)
        print(f"{same} of {len(load.answers)} answers are those of a single slot to the letter")
        server.wait_until_idle()
        assert server.memory_mib() < warm * 1.1 + 32
        # It answers as before.
        status, reply = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4})
        assert status == 200, reply
