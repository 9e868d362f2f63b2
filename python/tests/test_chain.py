"""The samplers in a chain of llama.cpp's, on the real llama-cpp-python."""

import gc
import threading

import llama_cpp
import numpy as np
import pytest
from conftest import INSTRUCTION, PROMPT, by_formula

import sda
from sda.llama_cpp import DropIn, Pair, Paired, Side
from sda.llama_cpp.sampler import CANDIDATE

PARAMS = sda.Params.from_guidance(2.5)


@pytest.fixture(scope="module")
def llm(model):
    llm = llama_cpp.Llama(model, n_ctx=1024, flash_attn=True, verbose=False)
    yield llm
    llm.close()


@pytest.fixture(scope="module")
def prompts(llm):
    """Plain and instructed."""
    turns = (PROMPT, f"{PROMPT}\n\n{INSTRUCTION}")
    text = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    return [llm.tokenize(text.format(turn).encode(), special=True) for turn in turns]


@pytest.fixture
def two(llm):
    """A context for a pair."""
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx, settings.n_threads, settings.n_threads_batch = 2048, 1, 2
    Pair.configure(settings)
    ctx = llama_cpp.llama_init_from_model(llm.model, settings)
    yield ctx
    llama_cpp.llama_free(ctx)


@pytest.fixture
def chain():
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    yield chain
    llama_cpp.llama_sampler_free(chain)


def finish(chain, seed):
    if seed is None:
        return llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_p(0.95, 1))
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(seed))


def paired(ctx, prompts, chain, seed, n, params=PARAMS):
    with Pair(ctx) as pair, Paired(pair, params) as sampler:
        assert pair.prefill(*prompts).shared > 5
        sampler.add_to(chain)
        finish(chain, seed)
        tokens = []
        for _ in range(n):
            tokens.append(llama_cpp.llama_sampler_sample(chain, ctx, pair.row()))
            sampler.check()
            pair.step(tokens[-1])
        assert sampler.stats.steered == n and sampler.stats.refused == 0
    return tokens


def dropped_in(llm, prompts, chain, seed, n, params=PARAMS):
    with DropIn(llm, prompts[0], params) as sampler:
        sampler.add_to(chain)
        finish(chain, seed)
        llm.reset()
        llm.eval(prompts[1])
        tokens = []
        for _ in range(n):
            tokens.append(llama_cpp.llama_sampler_sample(chain, llm.ctx, -1))
            sampler.check()
            llm.eval(tokens[-1:])
    return tokens


@pytest.mark.parametrize("seed", [None, 7])
def test_one_context_two_contexts_and_the_whole_llama_say_the_same(llm, two, prompts, seed):
    chains = [llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params()) for _ in range(2)]
    in_one = paired(two, prompts, chains[0], seed, 30)
    in_two = dropped_in(llm, prompts, chains[1], seed, 30)
    for chain in chains:
        llama_cpp.llama_sampler_free(chain)
    assert in_one == in_two
    whole = sda.llama_cpp.Steered(llm, "", PARAMS).create_completion(
        prompts[1], prompts[0], temperature=0.0 if seed is None else None, seed=seed, top_k=0, min_p=0.0, max_tokens=30
    )
    assert whole["choices"][0]["text"] == llm.detokenize(in_one).decode(errors="ignore")


def test_a_pairs_logits_are_the_rows_of_its_branches_and_not_copies(llm, two, prompts):
    with Pair(two) as pair:
        with pytest.raises(sda.Error) as error:
            pair.logits(Side.PLAIN)
        assert error.value.status == sda.Status.STATE
        pair.prefill(np.array(prompts[0], np.int32), prompts[1])
        plain, instructed = (pair.logits(side) for side in (Side.PLAIN, Side.INSTRUCTED))
        assert plain.dtype == np.float32 and plain.shape == (llm.n_vocab(),) and not plain.flags.owndata
        row = llama_cpp.llama_get_logits_ith(two, pair.row())
        assert instructed.ctypes.data == llama_cpp.ctypes.cast(row, llama_cpp.ctypes.c_void_p).value
        with pytest.raises(ValueError, match="read-only"):
            plain[0] = 0
        # The kernel on these rows is the sampler's step.
        logprobs, step = sda.steer(instructed, plain, PARAMS)
        assert int(np.argmax(logprobs)) == int(np.argmax(by_formula(instructed, plain, 1.5)))
        candidates = np.zeros(llm.n_vocab(), CANDIDATE)
        candidates["id"], candidates["logit"] = np.arange(llm.n_vocab()), instructed
        with Paired(pair, PARAMS) as sampler:
            assert sampler.apply(candidates) == llm.n_vocab()
            assert np.array_equal(candidates["logit"], logprobs)
            assert sampler.last_step[:2] == pytest.approx(step) and sampler.last_step.gain == pytest.approx(1.5)
        again = pair.prefill(prompts[0], prompts[1])
        assert again.reused > 0 and again.decoded < len(prompts[0]) + len(prompts[1])
        pair.clear()
        with pytest.raises(sda.Error):
            pair.row()


def test_a_nucleus_leaves_the_candidates_that_hold_it(llm, two, prompts):
    with Pair(two) as pair:
        pair.prefill(*prompts)
        candidates = np.zeros(llm.n_vocab(), CANDIDATE)
        candidates["id"], candidates["logit"] = np.arange(llm.n_vocab()), pair.logits(Side.INSTRUCTED)
        with Paired(pair, sda.Params.from_guidance(2.5, top_p=0.9)) as sampler:
            left = sampler.apply(candidates)
        assert 0 < left < 100
        with pytest.raises(TypeError, match="CANDIDATE"):
            sampler.apply(candidates["logit"])


def test_errors_of_a_step_are_kept_for_check(llm, two, prompts, chain, capfd):
    with Pair(two) as pair, Paired(pair, PARAMS) as sampler:
        sampler.add_to(chain)
        finish(chain, None)
        sampler.check()
        pair.prefill(*prompts)
        # The plain row is gone with the next decode of the context.
        row = pair.row()
        llama_cpp.llama_sampler_sample(chain, two, row)
        sampler.check()
        with pytest.raises(sda.Error) as error:
            sampler.apply(np.zeros(3, CANDIDATE))
        assert error.value.status == sda.Status.CANDIDATES
        bad = np.zeros(3, CANDIDATE)
        array = llama_cpp.llama_token_data_array(bad.ctypes.data_as(llama_cpp.llama_token_data_p), 3, -1, False)
        llama_cpp.llama_sampler_apply(chain, llama_cpp.ctypes.byref(array))
        with pytest.raises(sda.Error) as error:
            sampler.check()
        assert error.value.status == sda.Status.CANDIDATES and sampler.stats.refused == 2
        # The library's line in the log, through a Python function.
        assert "candidates" in capfd.readouterr().err
        sampler.reset()
        sampler.check()


def test_constructors_and_setters_name_what_is_wrong(llm, two, prompts):
    for call, status, text in [
        (lambda: Pair(two, 0, 0), "PARAM", "0"),
        (lambda: Pair(two, 0, 5), "PARAM", "5"),
        (lambda: DropIn(llm, [], PARAMS), "PROMPT", "the plain prompt holds 0 tokens"),
        (lambda: DropIn(llm, prompts[0], sda.Params(t_min=-1)), "PARAM", "t_min is -1"),
    ]:
        with pytest.raises(sda.Error, match=text) as error:
            call()
        assert error.value.status == sda.Status[status]
    with pytest.raises(ValueError, match="plain has 2 dimensions"):
        DropIn(llm, [prompts[0]], PARAMS)
    with DropIn(llm, prompts[0], PARAMS) as sampler:
        with pytest.raises(sda.Error, match="k is NaN"):
            sampler.set_params(sda.Params(k=float("nan")))
        with pytest.raises(sda.Error, match="holds 0 tokens"):
            sampler.set_prompt([])
        with pytest.raises(sda.Error):
            _ = sampler.last_step
    for use in (sampler.reset, sampler.check, lambda: sampler.accept(1), lambda: sampler.stats):
        with pytest.raises(sda.Error, match="the sampler is closed"):
            use()


def test_no_memory_for_the_second_context_is_an_error(llm, prompts, monkeypatch):
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", lambda model, params: None)
    with pytest.raises(sda.Error) as error:
        DropIn(llm, prompts[0], PARAMS)
    assert error.value.status == sda.Status.HOST
    monkeypatch.setattr(llama_cpp, "llama_init_from_model", lambda model, params: 1 / 0)
    with pytest.raises(sda.Error) as error:
        DropIn(llm, prompts[0], PARAMS)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_a_failed_decode_is_an_error_with_its_cause(two, prompts, monkeypatch):
    with Pair(two) as pair:
        monkeypatch.setattr(llama_cpp, "llama_decode", lambda ctx, batch: 1 / 0)
        with pytest.raises(sda.Error) as error:
            pair.prefill(*prompts)
        assert isinstance(error.value.__cause__, ZeroDivisionError)
        monkeypatch.setattr(llama_cpp, "llama_decode", lambda ctx, batch: -3)
        with pytest.raises(sda.Error, match="-3") as error:
            pair.prefill(*prompts)
        assert error.value.status == sda.Status.HOST and error.value.__cause__ is None


def test_a_chain_outlives_the_objects_that_it_was_made_from(llm, two, prompts):
    expected = None
    for keep in (True, False):
        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        pair = Pair(two)
        pair.prefill(*prompts)
        sampler = Paired(pair, PARAMS)
        sampler.add_to(chain)
        finish(chain, None)
        other = DropIn(llm, list(prompts[0]), PARAMS)
        other.add_to(other_chain := llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params()))
        finish(other_chain, None)
        if not keep:
            del sampler, other
            gc.collect()
        llm.reset()
        llm.eval(prompts[1])
        token = llama_cpp.llama_sampler_sample(chain, two, pair.row())
        assert token == llama_cpp.llama_sampler_sample(other_chain, llm.ctx, -1) == (expected or token)
        expected = token
        llama_cpp.llama_sampler_free(chain)
        llama_cpp.llama_sampler_free(other_chain)
        pair.close()


def test_two_models_steer_in_two_threads(model, prompts):
    answers = {}

    def work(name):
        own = llama_cpp.Llama(model, n_ctx=512, flash_attn=True, verbose=False, n_threads=1, n_threads_batch=1)
        steered = sda.llama_cpp.Steered(own, "", PARAMS)
        got = steered.create_completion(prompts[1], prompts[0], temperature=0, max_tokens=15)
        answers[name] = got["choices"][0]["text"]
        own.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 2 and len(set(answers.values())) == 1 and len(answers[0]) > 10
