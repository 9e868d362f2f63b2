"""Many clients at once. Each asks, reads its stream, and asks again; some are gone half-way."""

import json
import random
import statistics
import threading
import time

SUBJECTS = ["rain", "bread", "a clock", "the moon", "a bicycle", "cheese", "a violin", "the sea", "chess", "a lighthouse",
            "tea", "snow", "a bridge", "honey", "a telescope", "salt"]  # fmt: skip
INSTRUCTION = "Answer like a pirate."


def request(n, steered, tokens):
    """The request that a query's number stands for. Greedy, so that it has one answer."""
    body = {
        "messages": [{"role": "user", "content": f"Describe {SUBJECTS[n % len(SUBJECTS)]} in one or two sentences."}],
        "max_tokens": tokens,
        "temperature": 0,
    }
    if steered:
        body["sda"] = {"instruction": INSTRUCTION, "guidance": 2}
    return body


class Load:
    """What clients saw: `answers` are (number, steered, text), the times are seconds."""

    def __init__(self, server, clients, seconds, tokens, shares_steered=0.5, leaving=1 / 3, seed=1):
        self.server, self.tokens = server, tokens
        self.steered, self.leaving = shares_steered, leaving
        self.answers, self.first_token, self.gaps, self.errors = [], [], [], []
        self.left, self.tokens_seen = 0, 0
        self._lock = threading.Lock()
        self._end = time.monotonic() + seconds
        begin = time.monotonic()
        threads = [threading.Thread(target=self._client, args=(random.Random(seed * 1000 + i),)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - begin

    def _client(self, rng):
        while time.monotonic() < self._end:
            n, steered = rng.randrange(len(SUBJECTS)), rng.random() < self.steered
            leaves_after = rng.randrange(1, self.tokens) if rng.random() < self.leaving else None
            try:
                self._ask(n, steered, leaves_after)
            except Exception as error:  # what went wrong is told at the end, whatever it was
                with self._lock:
                    self.errors.append(repr(error))
                time.sleep(0.1)

    def _ask(self, n, steered, leaves_after):
        text, times = "", [time.monotonic()]
        events = self.server.stream("/v1/chat/completions", request(n, steered, self.tokens))
        finish = None
        for event in events:
            choice = event["choices"][0]
            finish = choice["finish_reason"] or finish
            piece = choice["delta"].get("content") or ""
            if piece:
                text += piece
                times.append(time.monotonic())
            if leaves_after is not None and len(times) > leaves_after:
                events.close()
                with self._lock:
                    self.left += 1
                    self.tokens_seen += len(times) - 1
                return
        with self._lock:
            if finish is None:
                self.errors.append(f"query {n}: the stream ended without a finish_reason")
                return
            self.answers.append((n, steered, text))
            self.tokens_seen += len(times) - 1
            if len(times) > 1:
                self.first_token.append(times[1] - times[0])
                self.gaps += [after - before for before, after in zip(times[1:], times[2:])]

    def summary(self):
        return {
            "answers": len(self.answers),
            "gone half-way": self.left,
            "tokens/s": self.tokens_seen / self.seconds,
            "first token s, median": statistics.median(self.first_token) if self.first_token else None,
            "gap s, median": statistics.median(self.gaps) if self.gaps else None,
            "gap s, worst": max(self.gaps, default=None),
            "errors": len(self.errors),
        }


def first_difference(a, b):
    """Where two texts part, None if they are the same."""
    if a == b:
        return None
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def references(server, tokens):
    """The answer to each query by a server that has nothing else to do, with what was likely at each token."""
    found = {}
    for n in range(len(SUBJECTS)):
        for steered in (False, True):
            body = {**request(n, steered, tokens), "logprobs": True, "top_logprobs": 5}
            status, reply = server.post("/v1/chat/completions", body)
            assert status == 200, reply
            choice = reply["choices"][0]
            found[n, steered] = (choice["message"]["content"], choice["logprobs"]["content"])
    return found


def explained(text, reference, most_nats):
    """None if an answer is the reference, or leaves it at a token that was within `most_nats` of the likeliest, which
    rounding in a batch of another shape can turn over; else what is wrong."""
    expected, steps = reference
    at = first_difference(text, expected)
    if at is None:
        return None
    before = ""
    for step in steps:
        rest = text[len(before):]
        best = step["top_logprobs"][0]["logprob"]
        near = [other["token"] for other in step["top_logprobs"] if best - other["logprob"] <= most_nats]
        # The answer may end here, which is a token without a text.
        if rest == "" or any(token and rest.startswith(token) for token in near if token != step["token"]):
            return None
        before += step["token"]
        if len(before) > at:
            return f"{text!r} is not {expected!r}: after {before!r} there were {json.dumps(near)}"
    return None if text.startswith(expected.rstrip()) else f"{text!r} is not {expected!r}"
