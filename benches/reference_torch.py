#!/usr/bin/env python3
"""Time the SDA step in PyTorch (CPU, float32, one thread) beside this library's kernel.

    make bench-torch                       # fetches torch into ~/.cache/sda/torch, builds libsda
    make bench-torch PUBLISHED=CLONE       # the authors' own step, too, from a clone of their repository

`lean` is written from the paper's equations with as few torch calls as they need: two
log-softmaxes, the divergence by two Kullback-Leibler sums against the mixture, the temperature, the
steering, a last log-softmax. `published` is the step of the authors' repository, unedited but for its
two prints. Its checks, masks and second softmaxes are part of its time.

The kernel is sda_steer() of the built library, called in the same process and in turn with torch, so
that a busy moment of the machine hits all alike. glibc is told to keep freed memory, as otherwise most
of torch's time goes into page faults. Prints the median with the 10th and 90th percentile, in
milliseconds, and the ratio of the medians to the kernel's.
"""

import argparse
import ctypes
import math
import os
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
A, K, T0 = 0.46, 2.0, 0.6


def lean(x, y):
    """Log-probabilities of one steered step."""
    lp, lq = x.log_softmax(-1), y.log_softmax(-1)
    p, q = lp.exp(), lq.exp()
    log_m = (0.5 * (p + q)).clamp_min(1e-37).log()
    js = 0.5 * ((p * (lp - log_m)).sum(-1) + (q * (lq - log_m)).sum(-1))
    t = T0 * 0.5 ** (js / (2 * math.log(2)))
    return ((lp + K * A * (lp - lq)) / t.unsqueeze(-1)).log_softmax(-1)


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
    score = torch.tensor([A])
    return lambda x, y: core["apply_sda_and_JS"](x[None], y[None], T0, score, return_probs=True)


class Params(ctypes.Structure):
    """The fields that every version of sda_params has."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("amplification", ctypes.c_float),
        ("k", ctypes.c_float),
        ("temperature", ctypes.c_float),
        ("sigma", ctypes.c_float),
        ("t_min", ctypes.c_float),
        ("flags", ctypes.c_uint32),
    ]


def kernel(path, torch):
    """sda_steer() as a function of the two rows, which returns the log-probabilities."""
    sda = ctypes.CDLL(path)
    params = Params(ctypes.sizeof(Params), A, K, T0, 2 * math.log(2))
    step = (ctypes.c_float * 2)()
    row = ctypes.c_void_p

    def steer(x, y):
        out = outs.setdefault(x.shape[-1], torch.empty_like(x))
        rows = row(x.data_ptr()), row(y.data_ptr()), ctypes.c_size_t(x.shape[-1])
        status = sda.sda_steer(*rows, ctypes.byref(params), row(out.data_ptr()), step)
        if status != 0:
            raise RuntimeError(f"sda_steer returned {status}")
        return out

    outs = {}
    return steer


def timed(steps, x, y, calls=50, warm=20):
    """Median, 10th and 90th percentile of each step in milliseconds; the steps take turns."""
    times = {name: [] for name in steps}
    for call in range(warm + calls):
        for name, step in steps.items():
            # Once untimed: the others have taken the caches.
            step(x, y)
            start = time.perf_counter()
            step(x, y)
            if call >= warm:
                times[name].append(1e3 * (time.perf_counter() - start))
    for found in times.values():
        found.sort()
    return {name: (t[calls // 2], t[calls // 10], t[calls * 9 // 10]) for name, t in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", help="the built libsda.so or libsda.dylib")
    parser.add_argument("--published", metavar="CLONE", help="a clone of the authors' repository")
    args = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        # The allocator and OpenMP read their settings when the process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})

    import torch

    torch.set_num_threads(1)
    steps = {"kernel": kernel(args.library, torch), "lean": lean}
    if args.published:
        steps["published"] = published(args.published, torch)
    print(f"torch {torch.__version__}, 1 thread; milliseconds a step")
    with torch.inference_mode():
        for vocab in VOCABS:
            torch.manual_seed(vocab)
            x = 3 * torch.randn(1, vocab)
            y = x + torch.randn(1, vocab)
            apart = (steps["kernel"](x, y) - lean(x, y)).abs().max().item()
            if apart > 1e-2:
                raise SystemExit(f"vocab {vocab}: kernel and torch are {apart} apart")
            found = timed(steps, x, y)
            line = f"vocab {vocab:6}"
            for name, (median, low, high) in found.items():
                line += f"  {name} {median:.3f} ({low:.3f} to {high:.3f})"
                if name != "kernel":
                    line += f" {median / found['kernel'][0]:.1f}x"
            print(line)


if __name__ == "__main__":
    main()
