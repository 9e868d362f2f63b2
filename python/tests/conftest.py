"""What the tests share. They run on the installed wheel, in a folder that holds no source of it."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(os.environ.get("SDA_ROOT", Path(__file__).parents[2]))
PROMPT = "What does a computer do?"
INSTRUCTION = "Explain it to a five-year-old child, with an animal in the story."


def golden(name: str) -> Any:
    """A file of golden values."""
    return json.loads((ROOT / "tests/data" / f"{name}.json").read_text())


def needed(name: str) -> str:
    """A variable that make sets."""
    if name not in os.environ:
        pytest.fail(f"{name} is not set: run `make test-python`")
    return os.environ[name]


def log_softmax(x: Any) -> Any:
    """In float64."""
    x = np.asarray(x, np.float64)
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def by_formula(instructed: Any, plain: Any, gain: float) -> Any:
    """The paper's steered log-probabilities before the temperature (eq. 4, 5), in float64."""
    p, q = log_softmax(instructed), log_softmax(plain)
    return log_softmax(p + gain * (p - q))


def rows(n: int, seed: int = 1) -> tuple[Any, Any]:
    """Two rows of logits."""
    random = np.random.default_rng(seed)
    return random.normal(0, 3, n).astype(np.float32), random.normal(0, 3, n).astype(np.float32)


@pytest.fixture(scope="session")
def model() -> str:
    """The test model's path."""
    return needed("SDA_TEST_MODEL")
