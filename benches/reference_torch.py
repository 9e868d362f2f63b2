#!/usr/bin/env python3
"""Time the SDA step in PyTorch (CPU, float32, one thread) beside this crate's kernel.

    python3 -m venv .venv && .venv/bin/pip install torch numpy
    .venv/bin/python benches/reference_torch.py                     # runs `cargo bench` as well
    .venv/bin/python benches/reference_torch.py --published CLONE   # the authors' own step, too

`lean` is written from the paper's equations with as few torch calls as they need: two
log-softmaxes, the divergence by two Kullback-Leibler sums against the mixture, the temperature, the
steering, a last log-softmax. `published` is the step of the authors' repository, from a clone of it,
unedited but for its two prints. Its checks, masks and second softmaxes are part of its time.

glibc is told to keep freed memory, as otherwise most of the time goes into page faults. Prints the
median with the 10th and 90th percentile, in milliseconds, and the ratio to the kernel.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
import types

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_TOP_PAD_": "67108864",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
VOCABS = (32000, 49152, 151936, 262144)


def step(x, y, ka, t0):
    """Log-probabilities of one steered step."""
    lp, lq = x.log_softmax(-1), y.log_softmax(-1)
    p, q = lp.exp(), lq.exp()
    log_m = (0.5 * (p + q)).clamp_min(1e-37).log()
    js = 0.5 * ((p * (lp - log_m)).sum(-1) + (q * (lq - log_m)).sum(-1))
    t = t0 * 0.5 ** (js / (2 * math.log(2)))
    return ((lp + ka * (lp - lq)) / t.unsqueeze(-1)).log_softmax(-1)


def published(clone, torch):
    """The authors' step, as a function of the two rows; what it imports but never uses is stubbed."""
    hub = types.ModuleType("transformers")
    for name in ("DynamicCache", "GenerationConfig", "PreTrainedModel", "PreTrainedTokenizer"):
        setattr(hub, name, object)
    for name in ("tqdm", "sda", "sda.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["transformers"] = hub
    core = {"print": lambda *args, **kwargs: None}
    path = os.path.join(clone, "sda", "core.py")
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), core)
    score = torch.tensor([0.46])
    return lambda x, y: core["apply_sda_and_JS"](x[None], y[None], 0.6, score, return_probs=True)


def timed(call, calls=50, warm=20):
    """Median, 10th and 90th percentile, in milliseconds."""
    for _ in range(warm):
        call()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    return times[calls // 2], times[calls // 10], times[calls * 9 // 10]


def kernel_times(path):
    if path:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    else:
        command = ["cargo", "bench", "--no-default-features", "--bench", "steer", "--quiet", "--", "--json"]
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        found = json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout)
    best = [t for t in found["timings"] if t["path"] == found["best"] and t["rows"] == "flat"]
    return found["best"], {t["vocab"]: t["ms"] for t in best}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", help="JSON of `cargo bench --bench steer -- --json`; default: run it")
    parser.add_argument("--published", metavar="CLONE", help="a clone of the authors' repository")
    args = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        # The allocator and OpenMP read their settings when the process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})

    import torch

    torch.set_num_threads(1)
    isa, kernel = kernel_times(args.bench)
    print(f"torch {torch.__version__}, 1 thread; kernel on {isa}, 1 thread; milliseconds a step")
    steps = {"lean": lambda x, y: step(x, y, 0.92, 0.6)}
    if args.published:
        steps["published"] = published(args.published, torch)
    with torch.inference_mode():
        for vocab in VOCABS:
            torch.manual_seed(vocab)
            x = 3 * torch.randn(1, vocab)
            y = x + torch.randn(1, vocab)
            line = f"vocab {vocab:6}  kernel {kernel[vocab]:.3f}"
            for name, call in steps.items():
                median, low, high = timed(lambda: call(x, y))
                line += f"  {name} {median:.3f} ({low:.3f} to {high:.3f}) {median / kernel[vocab]:.1f}x"
            print(line)


if __name__ == "__main__":
    main()
