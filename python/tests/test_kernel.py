"""One step: golden values, what is refused, memory and threads."""

import ctypes
import gc
import math
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import by_formula, golden, log_softmax, rows

import sda
from sda import _library


def number(value):
    return -math.inf if value == "-inf" else float(value)


def test_amplification_equals_the_golden_values():
    file = golden("amplify")
    assert [name.lower() for name in sda.Amplify.__members__] == list(file["functions"])
    for name, values in file["functions"].items():
        got = [sda.amplification(score, sda.Amplify[name.upper()]) for score in file["scores"]]
        np.testing.assert_allclose(got, values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", golden("steer_small")["cases"], ids=lambda case: case["name"])
def test_a_step_equals_the_golden_values(case):
    instructed, plain = (
        np.array([number(x) for x in case[name]], np.float32) for name in ("logits_instr", "logits_plain")
    )
    temper = {"halving": {}, "sharp": {"sigma": 0.01, "t_min": 0.2}}[case["temp_fn"]]
    params = sda.Params(amplification=case["a"], k=case["k"], temperature=case["t0"], **temper)
    logprobs, step = sda.steer(instructed, plain, params)
    expected = np.array([number(x) for x in case["expected"]["logprobs"]])
    # The settings go through float32 here.
    scale = 1 + 2 * abs(params.k * params.amplification)
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(logprobs), finite)
    np.testing.assert_allclose(logprobs[finite], expected[finite], rtol=2e-5, atol=2e-5 * scale)
    assert step.divergence == pytest.approx(case["expected"]["js"], abs=1e-6)
    assert step.temperature == pytest.approx(case["expected"]["temperature"], rel=2e-5)


def test_a_step_is_the_papers_formula():
    x, y = rows(49152)
    logprobs, step = sda.steer(x, y, sda.Params.from_guidance(2.5, temperature=0.8))
    p, q = np.exp(log_softmax(x)), np.exp(log_softmax(y))
    m = (p + q) / 2
    divergence = (p * np.log(p / m) + q * np.log(q / m)).sum() / 2
    temperature = 0.8 * 0.5 ** (divergence / (2 * math.log(2)))
    assert step.divergence == pytest.approx(divergence, abs=1e-6)
    assert step.temperature == pytest.approx(temperature, rel=1e-6)
    np.testing.assert_allclose(logprobs, log_softmax(by_formula(x, y, 1.5) / temperature), atol=1e-4)


def test_the_default_settings_are_those_of_the_library():
    struct = sda.Params().to_c()
    defaults = type(struct)()
    assert _library.lib.sda_params_init(ctypes.byref(defaults), ctypes.sizeof(defaults)) == 0
    assert bytes(struct) == bytes(defaults)


def test_guidance_and_score_become_an_amplification():
    assert sda.Params.from_guidance(2.5, k=3).amplification == 0.5
    assert sda.Params.from_guidance(2.5, k=3).guidance == 2.5
    assert sda.Params.from_score(50).amplification == sda.amplification(50)
    assert sda.RECOMMENDED.guidance == 2
    with pytest.raises(ValueError, match="k is 0"):
        sda.Params.from_guidance(2, k=0)


def test_one_instruction_of_weight_1_is_the_plain_step():
    x, y = rows(1000)
    params = sda.Params(amplification=0.7)
    alone, step = sda.steer(x, y, params)
    many, info = sda.steer_many(x, y, [x], [1], params)
    assert np.array_equal(alone, many) and step == info[:2] and info.gain == pytest.approx(1.4)


def test_several_instructions_add_up_by_their_weights():
    x, y = rows(1000)
    a, b = rows(1000, seed=2)
    got, _ = sda.steer_many(x, y, [a, b], [1, -0.5], sda.Params(amplification=0.5, temperature=1, sigma=math.inf))
    p, q, pa, pb = map(log_softmax, (x, y, a, b))
    np.testing.assert_allclose(got, log_softmax(p + (pa - q) - 0.5 * (pb - q)), atol=1e-4)
    with pytest.raises(ValueError, match="weights has 1 numbers, must have 2"):
        sda.steer_many(x, y, [a, b], [1])
    with pytest.raises(sda.Error) as error:
        sda.steer_many(x, y, [a], [math.nan])
    assert error.value.status == sda.Status.PARAM
    with pytest.raises(sda.Error):
        sda.steer_many(x, y, [a] * 9, [1] * 9)
    with pytest.raises(ValueError, match=r"others\[1\] has the shape \(999,\)"):
        sda.steer_many(x, y, [a, b[:999]], [1, 1])


def test_a_budget_weakens_the_step():
    x, y = rows(1000)
    _, free = sda.steer_many(x, y, [x], [1], sda.Params(amplification=1))
    _, held = sda.steer_many(x, y, [x], [1], sda.Params(amplification=1, max_kl=0.1))
    assert math.isnan(free.kl) and free.gain == 2
    assert 0 < held.gain < 2 and held.kl <= 0.1 + 1e-4


def test_the_result_goes_where_out_says_and_nothing_is_copied():
    x, y = rows(100)
    expected, _ = sda.steer(x, y, sda.Params(amplification=1))
    out = np.zeros(100, np.float32)
    got, _ = sda.steer(x, y, sda.Params(amplification=1), out=out)
    assert got is out and np.array_equal(out, expected)
    # In place, on memory that others see.
    shared = bytearray(x.tobytes())
    view = np.frombuffer(shared, np.float32)
    sda.steer(view, y, sda.Params(amplification=1), out=view)
    assert bytes(shared) == expected.tobytes()
    # A row of a matrix is in one piece.
    matrix = np.stack([x, y])
    assert np.array_equal(sda.steer(matrix[0], matrix[1], sda.Params(amplification=1))[0], expected)


def test_rows_that_the_library_cannot_read_are_refused_by_name():
    x, y = rows(100)
    for bad, kind, text in [
        (y.astype(np.float64), TypeError, "plain is float64, must be a numpy array of float32"),
        (y.astype(">f4"), TypeError, "plain is >f4"),
        (list(y), TypeError, "plain is list"),
        (np.repeat(y, 2)[::2], ValueError, "plain is not contiguous"),
        (np.frombuffer(b"\0" + y.tobytes(), np.float32, offset=1), ValueError, "plain is not contiguous"),
        (y[:99], ValueError, r"plain has the shape \(99,\), must have the shape \(100,\)"),
        (y.reshape(10, 10), ValueError, r"plain has the shape \(10, 10\)"),
    ]:
        with pytest.raises(kind, match=text):
            sda.steer(x, bad)
    with pytest.raises(ValueError, match="instructed has the shape"):
        sda.steer(x.reshape(10, 10), y)
    fixed = np.zeros(100, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        sda.steer(x, y, out=fixed)
    with pytest.raises(ValueError, match="out has the shape"):
        sda.steer(x, y, out=np.zeros(99, np.float32))


def test_values_out_of_range_are_errors_with_their_status_and_leave_out_alone():
    x, y = rows(100)
    nan, infinite, masked = (np.array(x) for _ in range(3))
    nan[3], infinite[3], masked[:] = np.nan, np.inf, -np.inf
    out = np.zeros(100, np.float32)
    for a, b, status in [
        (nan, y, "NOT_FINITE"),
        (x, infinite, "NOT_FINITE"),
        (masked, y, "ALL_MASKED"),
        (x[:0], y[:0], "LENGTH"),
    ]:
        with pytest.raises(sda.Error) as error:
            sda.steer(a, b, out=out[: len(a)])
        assert error.value.status == sda.Status[status]
        assert _library.status_text(error.value.status) in str(error.value)
    assert not out.any()
    for settings, text in [
        ({"sigma": -1}, "sigma is -1, must be greater than 0"),
        ({"amplification": math.nan}, "amplification is NaN"),
        ({"t_min": -1}, "t_min is -1"),
        ({"mean_kl": 0.2}, "mean_kl is 0.2, must be infinity for single steps"),
    ]:
        for function in (sda.steer, lambda a, b, p: sda.steer_many(a, b, [a], [1], p)):
            with pytest.raises(sda.Error, match=text) as error:
                function(x, y, sda.Params(**settings))
            assert error.value.status == sda.Status.PARAM
    overlapping = np.zeros(150, np.float32)
    with pytest.raises(sda.Error):
        sda.steer(overlapping[:100], y, out=overlapping[50:])
    for score in (0, -3, 101, math.nan):
        with pytest.raises(sda.Error):
            sda.amplification(score)
    assert _library.Error(-99, "x").status == -99


def test_other_threads_run_during_a_call():
    x, y = rows(4_000_000)
    turns, done = 0, False

    def count():
        nonlocal turns
        while not done:
            turns += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=count)
    thread.start()
    try:
        # So nobody is made to give the lock up: it moves only where it is given.
        sys.setswitchinterval(60)
        out = np.empty_like(x)
        before = turns
        sda.steer(x, y, out=out)
        assert turns > before
    finally:
        sys.setswitchinterval(interval)
        done = True
        thread.join()


def test_many_threads_get_what_one_gets():
    cases = [tuple(rows(5000, seed)) for seed in range(16)]
    params = sda.Params(amplification=0.8)
    work = [lambda x, y: sda.steer(x, y, params)[0], lambda x, y: sda.steer_many(x, y, [x, y], [1, 2], params)[0]]
    for function in work:
        alone = [function(*case) for case in cases]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(5):
                for a, b in zip(alone, pool.map(function, *zip(*cases, strict=True)), strict=True):
                    assert np.array_equal(a, b)


def test_results_outlive_what_they_were_made_from():
    def make():
        x, y = rows(49152)
        return sda.steer(x, y, sda.Params(amplification=1))[0]

    kept = [make() for _ in range(20)]
    gc.collect()
    assert all(np.array_equal(row, kept[0]) for row in kept)
    assert np.exp(kept[0].astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)
