"""`Steered` on the real llama-cpp-python: what it answers, and that it never answers unsteered."""

import gc
import json
import os
import subprocess

import llama_cpp
import numpy as np
import pytest
from conftest import INSTRUCTION, PROMPT, by_formula, needed

import sda
from sda.llama_cpp import Steered
from sda.llama_cpp._host import host
from sda.llama_cpp._prompts import place

MESSAGES = [{"role": "user", "content": PROMPT}]
# The chain of the command, which has top-p alone.
COMMAND = {"top_k": 0, "top_p": 0.95, "min_p": 0.0, "max_tokens": 40}


@pytest.fixture(scope="module")
def llm(model):
    llm = llama_cpp.Llama(model, n_ctx=1024, flash_attn=True, verbose=False)
    yield llm
    llm.close()


@pytest.fixture
def steered(llm):
    return Steered(llm, INSTRUCTION)


def text(answer):
    choice = answer["choices"][0]
    return choice["message"]["content"] if "message" in choice else choice["text"]


def streamed(chunks):
    choices = [chunk["choices"][0] for chunk in chunks]
    return "".join(c["delta"].get("content") or "" if "delta" in c else c["text"] for c in choices)


def said_by_the_command(model, *arguments):
    command = [needed("SDA"), "generate", "-m", model, "-p", PROMPT, "-n", "40", *arguments]
    # As many threads as llama-cpp-python takes.
    command += ["-t", str(max(os.cpu_count() // 2, 1)), "-tb", str(os.cpu_count())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# llama-cpp-python has another release of llama.cpp than the command. On this model their logits are close enough that
# each draw is the same.
@pytest.mark.parametrize("temperature, seed", [(0.0, 1), (0.6, 7), (0.6, 8), (1.0, 9)])
@pytest.mark.parametrize(
    "params, options",
    [
        (sda.RECOMMENDED, []),
        (sda.Params.from_guidance(2.5), ["--paper", "--guidance", "2.5"]),
        (sda.Params.from_score(30), ["--paper", "--score", "30"]),
    ],
)
def test_it_says_what_the_command_says(llm, model, params, options, temperature, seed):
    options = [*options, "--temp", str(temperature), "--seed", str(seed), "-i", INSTRUCTION]
    answer = Steered(llm, INSTRUCTION, params).create_chat_completion(
        MESSAGES, temperature=temperature, seed=seed, **COMMAND
    )
    assert text(answer).strip() == said_by_the_command(model, *options)


@pytest.mark.parametrize("placement", ["before", "system"])
def test_placement_and_negative_are_those_of_the_command(llm, model, placement):
    steered = Steered(llm, INSTRUCTION, negative="Be vague.", placement=placement)
    messages = [{"role": "system", "content": "You are a teacher."}, *MESSAGES]
    answer = steered.create_chat_completion(messages, temperature=0, **COMMAND)
    options = [
        "--instruction-placement",
        placement,
        "--negative-prompt",
        "Be vague.",
        "-sys",
        "You are a teacher.",
        "--temp",
        "0",
    ]
    assert text(answer).strip() == said_by_the_command(model, "-i", INSTRUCTION, *options)


def chat(llm, *turns):
    """Tokens of a conversation, which the model is to answer."""
    texts = (f"<|im_start|>{('user', 'assistant')[i % 2]}\n{turn}<|im_end|>\n" for i, turn in enumerate(turns))
    return llm.tokenize(("".join(texts) + "<|im_start|>assistant\n").encode(), special=True)


def read(llm, prompt):
    """Has a `Llama` read a prompt, without what it holds of it already."""
    held = llama_cpp.Llama.longest_token_prefix(llm.input_ids[: llm.n_tokens].tolist(), prompt)
    llm.n_tokens = min(held, len(prompt) - 1)
    llm.eval(prompt[llm.n_tokens :])


def test_each_token_of_a_chat_is_the_papers_formula_on_two_plain_runs(llm, model):
    """Two contexts of llama-cpp-python, stepped by hand, and numpy in float64. In the second turn the caches hold the
    first one."""
    steered = Steered(llm, INSTRUCTION, sda.Params.from_guidance(3))
    llm.reset()
    two = [llama_cpp.Llama(model, n_ctx=1024, flash_attn=True, verbose=False, logits_all=True) for _ in range(2)]
    turns, settings = [PROMPT], {"temperature": 0, "max_tokens": 30}
    for _ in range(2):
        asked = [f"{turn}\n\n{INSTRUCTION}" if i % 2 == 0 else turn for i, turn in enumerate(turns)]
        prompts = [chat(llm, *asked), chat(llm, *turns)]
        for branch, prompt in zip(two, prompts, strict=True):
            read(branch, prompt)
        answer = []
        while len(answer) < 30:
            answer.append(int(np.argmax(by_formula(*(branch.scores[branch.n_tokens - 1] for branch in two), 2))))
            for branch in two:
                branch.eval(answer[-1:])
        got = text(steered.create_completion(*prompts, **settings))
        assert got == llm.detokenize(answer).decode()
        turns += [got, "And what more?"]
    for branch in two:
        branch.close()


def test_steering_has_an_effect_and_needs_a_strength(llm, steered):
    settings = {**COMMAND, "seed": 7}
    strong = text(steered.create_chat_completion(MESSAGES, **settings))
    assert strong == text(steered.create_chat_completion(MESSAGES, **settings))
    weak = Steered(llm, INSTRUCTION, sda.Params())
    off = text(weak.create_chat_completion(MESSAGES, temperature=0, **COMMAND))
    asked = [{"role": "user", "content": f"{PROMPT}\n\n{INSTRUCTION}"}]
    assert off == text(llm.create_chat_completion(asked, temperature=0, **COMMAND))
    assert off != text(steered.create_chat_completion(MESSAGES, temperature=0, **COMMAND)) != strong


def test_a_stream_is_the_whole_answer_in_pieces(steered):
    for create, what in [
        (steered.create_chat_completion, (MESSAGES,)),
        (steered.create_completion, ("The sea is",)),
        (steered, ("The sea is",)),
    ]:
        pieces = list(create(*what, stream=True, seed=3, **COMMAND))
        assert len(pieces) > 5
        assert streamed(pieces) == text(create(*what, seed=3, **COMMAND))


def test_a_completion_puts_the_instruction_before_the_text(llm, steered):
    short = steered.create_completion("The sea is", temperature=0, **COMMAND)
    pair = steered.create_completion(f"{INSTRUCTION}\n\nThe sea is", "The sea is", temperature=0, **COMMAND)
    tokens = [llm.tokenize(t.encode(), special=True) for t in (f"{INSTRUCTION}\n\nThe sea is", "The sea is")]
    assert text(short) == text(pair) == text(steered.create_completion(*tokens, temperature=0, **COMMAND))
    with pytest.raises(ValueError, match="plain_prompt is missing"):
        steered.create_completion(tokens[0])


def test_other_processors_biases_and_criteria_come_after_the_steering(llm, steered):
    seen = []

    def look(input_ids, scores):
        seen.append(np.exp(scores.astype(np.float64)).sum())
        return scores

    free = text(steered.create_chat_completion(MESSAGES, temperature=0, **COMMAND))
    (token, *_) = llm.tokenize(free.encode(), add_bos=False)
    settings = {**COMMAND, "temperature": 1.0, "logits_processor": llama_cpp.LogitsProcessorList([look])}
    steered.create_chat_completion(MESSAGES, **settings)
    assert len(seen) > 5 and np.allclose(seen, 1, atol=1e-4)
    # llama-cpp-python forgets all processors where there are biases, too.
    settings = {**COMMAND, "temperature": 0.0, "logit_bias": {str(token): -100.0}}
    biased = text(steered.create_chat_completion(MESSAGES, **settings))
    assert not biased.startswith(llm.detokenize([token]).decode()) and steered._sampler.stats.steered > 5
    stop = llama_cpp.StoppingCriteriaList([lambda ids, logits: True])
    stopped = steered.create_completion("The sea is", stopping_criteria=stop, **COMMAND)
    assert stopped["usage"]["completion_tokens"] == 0


def test_a_grammar_and_a_json_format_hold(steered):
    grammar = llama_cpp.LlamaGrammar.from_string('root ::= "yes" | "no"', verbose=False)
    answer = steered.create_chat_completion(MESSAGES, grammar=grammar, **COMMAND)
    assert text(answer) in ("yes", "no") and steered._sampler.stats.steered > 0
    answer = steered.create_chat_completion(
        MESSAGES, response_format={"type": "json_object"}, temperature=0, **{**COMMAND, "max_tokens": 200}
    )
    assert answer["choices"][0]["finish_reason"] == "length" or json.loads(text(answer)) is not None


def test_a_step_that_cannot_be_steered_is_an_error_and_no_answer(llm, steered):
    steered.create_chat_completion(MESSAGES, max_tokens=1)
    processor = steered._begin(llm.tokenize(b"plain"), sda.Params(amplification=1))
    refused = processor(np.arange(3, dtype=np.intc), np.full(llm.n_vocab(), np.nan, np.single))
    assert np.isneginf(refused).all()
    with pytest.raises(sda.Error, match="NaN") as error:
        processor.stop(None, None)
    assert error.value.status == sda.Status.NOT_FINITE
    for stream in (False, True):
        with pytest.raises(sda.Error, match="context"):
            small = Steered(llm, INSTRUCTION)
            answer = small.create_completion("One", list(llm.tokenize(b"a b c d e f " * 200)), stream=stream)
            list(answer)


def test_settings_out_of_range_have_the_librarys_words(llm):
    for settings, words in [
        ({"sigma": -1}, "sigma is -1"),
        ({"max_kl": -1}, "max_kl is -1"),
        ({"k": np.nan}, "k is NaN"),
    ]:
        with pytest.raises(sda.Error, match=words):
            Steered(llm, INSTRUCTION, sda.Params(**settings)).create_chat_completion(MESSAGES, max_tokens=3)


def test_what_cannot_be_steered_is_refused_by_name(llm, steered, model):
    with pytest.raises(ValueError, match='placement is "behind"'):
        Steered(llm, INSTRUCTION, placement="behind")
    with pytest.raises(ValueError, match="suffix is given"):
        steered.create_completion("a", suffix="b")
    with pytest.raises(ValueError, match="a user message is list, must be a text"):
        steered.create_chat_completion([{"role": "user", "content": [{"type": "text", "text": "a"}]}])
    with pytest.raises(ValueError, match="exceed context window"):
        steered.create_chat_completion([{"role": "user", "content": "word " * 2000}])
    tools = llama_cpp.Llama(model, n_ctx=1024, verbose=False, chat_format="chatml-function-calling")
    function = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    with pytest.raises(ValueError, match="more than once"):
        Steered(tools, INSTRUCTION).create_chat_completion(
            MESSAGES, tools=[{"type": "function", "function": function}], tool_choice="auto"
        )
    tools.close()
    for name, value in [("draft_model", object()), ("lora_path", "a.gguf")]:
        setattr(llm, name, value)
        try:
            with pytest.raises(ValueError, match=f"{name} is"):
                Steered(llm, INSTRUCTION)
        finally:
            setattr(llm, name, None)


def test_every_turn_of_a_user_gets_the_instruction():
    system, said = {"role": "system", "content": "S"}, {"role": "assistant", "content": "A"}
    one, two = {"role": "user", "content": "1"}, {"role": "user", "content": "2"}
    contents = {
        "after": ["S", "1\n\nI", "A", "2\n\nI"],
        "before": ["S", "I\n\n1", "A", "I\n\n2"],
        "system": ["S\n\nI", "1", "A", "2"],
    }
    for placement, expected in contents.items():
        assert [m["content"] for m in place([system, one, said, two], "I", placement)] == expected
    assert place([one], "I", "system") == [{"role": "system", "content": "I"}, one]
    for placement in contents:
        assert place([one, said], "", placement) == [one, said]


def test_beginning_another_answer_ends_a_stream(steered):
    stream = steered.create_chat_completion(MESSAGES, stream=True, **COMMAND)
    for _ in range(3):
        next(stream)
    whole = text(steered.create_chat_completion(MESSAGES, temperature=0, **COMMAND))
    with pytest.raises(sda.Error, match="another answer was begun") as error:
        list(stream)
    assert error.value.status == sda.Status.STATE
    assert whole == text(steered.create_chat_completion(MESSAGES, temperature=0, **COMMAND))


def test_model_and_steering_may_go_in_any_order(model):
    for order in ("steered", "model", "garbage", "stream"):
        llm = llama_cpp.Llama(model, n_ctx=256, verbose=False)
        steered = Steered(llm, INSTRUCTION)
        stream = steered.create_chat_completion(MESSAGES, stream=True, max_tokens=20)
        for _ in range(3):
            next(stream)
        if order == "steered":
            steered.close()
            steered.close()
            with pytest.raises(sda.Error, match="it was closed"):
                list(stream)
            # And begins again.
            assert text(steered.create_chat_completion(MESSAGES, max_tokens=3))
        elif order == "model":
            llm.close()
        elif order == "garbage":
            del llm, steered
        else:
            del stream
        gc.collect()
    gc.collect()


def test_the_second_context_goes_before_the_model_also_where_a_stream_holds_it(model):
    llm = llama_cpp.Llama(model, n_ctx=256, verbose=False)
    steered = Steered(llm, INSTRUCTION)
    stream = steered.create_chat_completion(MESSAGES, stream=True, max_tokens=20)
    next(stream)
    next(stream)
    sampler = steered._sampler
    del steered
    gc.collect()
    assert streamed([next(stream)]) and sampler._handle is not None
    llm.close()
    assert sampler._handle is None


def test_an_interrupt_while_the_plain_branch_is_read_is_not_lost(llm, steered, monkeypatch):
    steered.create_chat_completion(MESSAGES, max_tokens=2)
    real = llama_cpp.llama_decode
    calls = []

    def decode(ctx, batch):
        calls.append(ctx)
        if ctx != llm.ctx:
            raise KeyboardInterrupt
        return real(ctx, batch)

    monkeypatch.setattr(host().llama, "llama_decode", decode)
    with pytest.raises(KeyboardInterrupt):
        steered.create_completion("Something else entirely", max_tokens=5)
    monkeypatch.undo()
    assert text(steered.create_completion("Something else entirely", max_tokens=5))
