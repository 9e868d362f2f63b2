"""Real clients against `sda serve`: the official `openai` package, LangChain, and the curl lines of docs/server.md.

SDA is the command, SDA_TEST_MODEL the model. `make test-serve-clients` sets both.
"""

import json
import os
import pathlib
import shlex
import subprocess

import openai
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from served import Served

SDA, MODEL = os.environ["SDA"], os.environ["SDA_TEST_MODEL"]
KEY = "sk-clients-test"
QUESTION = [{"role": "user", "content": "What is rain?"}]
PIRATE = {"sda": {"instruction": "Answer like a pirate.", "guidance": 2.5}}
DOCS = pathlib.Path(__file__).parents[3] / "docs" / "server.md"


@pytest.fixture(scope="module")
def server():
    with Served(SDA, MODEL, "-np", "2", "-c", "1024", "-t", "2", "--api-key", KEY, "--metrics") as server:
        yield server
    assert KEY not in "".join(server.log), "the key is in the log"
    assert "rain" not in "".join(server.log), "a prompt is in the log"


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)


def chat(client, **more):
    return client.chat.completions.create(model="any", messages=QUESTION, max_tokens=24, temperature=0, **more)


def test_a_chat_is_answered_and_counted(client):
    reply = chat(client)
    assert reply.choices[0].message.content.strip() and reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.completion_tokens <= 24
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    again = chat(client)
    assert again.choices[0].message.content == reply.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens > 0


def test_the_sda_object_steers_and_tells_what_it_did(client):
    plain, steered = chat(client), chat(client, extra_body=PIRATE)
    assert steered.choices[0].message.content != plain.choices[0].message.content
    told = steered.model_extra.get("sda") or steered.choices[0].model_extra["sda"]
    assert told["guidance"] == pytest.approx(2.5) and told["mean_js"] > 0
    # A scale of 1 is off, whatever else is sent.
    off = chat(client, extra_body={**PIRATE, "sda": {"instruction": PIRATE["sda"]["instruction"]}, "guidance_scale": 1})
    assert off.choices[0].message.content != steered.choices[0].message.content


def test_a_stream_is_the_same_answer_in_pieces(client):
    whole = chat(client, extra_body=PIRATE)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}, extra_body=PIRATE))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content and len(chunks) > 8
    assert [chunk for chunk in chunks if chunk.usage][-1].usage.completion_tokens == whole.usage.completion_tokens
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]


def test_log_probabilities_are_those_of_what_is_drawn_from(client):
    reply = chat(client, logprobs=True, top_logprobs=3, extra_body=PIRATE)
    content = reply.choices[0].logprobs.content
    assert "".join(step.token for step in content) == reply.choices[0].message.content
    for step in content:
        assert len(step.top_logprobs) == 3 and step.logprob <= 0
        # Greedy: the likeliest is drawn.
        assert step.top_logprobs[0].logprob == pytest.approx(step.logprob, abs=1e-4)


def test_several_answers_have_seeds_of_their_own(client):
    def ask():
        made = client.chat.completions.create(model="any", messages=QUESTION, max_tokens=12, temperature=1, seed=7, n=3)
        return [choice.message.content for choice in sorted(made.choices, key=lambda choice: choice.index)]

    first = ask()
    assert len(set(first)) > 1, first
    assert len(ask()) == 3


def test_a_stop_text_ends_the_answer_and_is_no_part_of_it(client):
    text = chat(client).choices[0].message.content
    word = text.split()[4]
    stopped = chat(client, stop=[word]).choices[0]
    assert stopped.finish_reason == "stop" and word not in stopped.message.content
    assert text.startswith(stopped.message.content)


def test_completions_take_raw_text_and_a_negative_prompt(client):
    make = client.completions.create
    plain = make(model="any", prompt="The capital of France is", max_tokens=8, temperature=0)
    assert "Paris" in plain.choices[0].text
    away = {"guidance_scale": 2, "negative_prompt": "The capital of Germany is"}
    steered = make(model="any", prompt="The capital of France is", max_tokens=8, temperature=0, extra_body=away)
    assert steered.choices[0].text
    pieces = make(model="any", prompt="The capital of France is", max_tokens=8, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == plain.choices[0].text


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"extra_body": {"temperature": "hot"}}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"extra_body": {"sda": {"guidance": "high"}}}, "sda.guidance"),
        ({"extra_body": {"sda": {"preset": "kindness"}}}, "sda.preset"),
        ({"extra_body": {"sda": {"guidance": 2, "score": 50}}}, "sda.score"),
        ({"n": 0}, "n"),
    ],
)
def test_a_wrong_value_is_a_bad_request_that_names_its_field(client, more, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**{"model": "any", "messages": QUESTION, "max_tokens": 4, **more})
    assert error.value.param == param and param.split(".")[-1] in error.value.message


def test_errors_have_their_own_classes(server, client):
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        chat(stranger)
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="any", input="x")
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": "long " * 3000}])
    assert "1024" in error.value.message


def test_the_model_is_listed(client):
    models = client.models.list().data
    assert len(models) == 1 and "SmolLM2" in models[0].id


def test_langchain_chats_and_streams(server):
    model = ChatOpenAI(base_url=f"{server.url}/v1", api_key=KEY, model="any", temperature=0, max_tokens=16,
                       extra_body=PIRATE, max_retries=0)  # fmt: skip
    messages = [SystemMessage("You are brief."), HumanMessage("What is rain?")]
    whole = model.invoke(messages)
    assert whole.content.strip() and whole.usage_metadata["output_tokens"] <= 16
    assert "".join(piece.content for piece in model.stream(messages)) == whole.content


def curl_lines():
    """The commands of the docs that begin with curl; a quotation may hold further lines."""
    found, lines = [], iter(DOCS.read_text(encoding="utf-8").splitlines())
    for line in lines:
        command = line.strip()
        if not command.startswith("curl "):
            continue
        while True:
            try:
                shlex.split(command)
            except ValueError:
                command += "\n" + next(lines)
                continue
            if not command.endswith("\\"):
                break
            command = command[:-1] + next(lines)
        found.append(command)
    return found


@pytest.mark.parametrize("line", curl_lines())
def test_a_curl_line_of_the_docs_runs_as_it_stands(line):
    with Served(SDA, MODEL, "-np", "2", "-c", "1024", "-t", "2", "--metrics") as server:
        here = line.replace("localhost:8080", f"{server.host}:{server.port}").replace(
            "127.0.0.1:8080", f"{server.host}:{server.port}"
        )
        done = subprocess.run([*shlex.split(here), "-sS", "--fail-with-body"], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        if done.stdout.startswith("{"):
            assert "error" not in json.loads(done.stdout), done.stdout
