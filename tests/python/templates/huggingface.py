"""jinja2 set up as transformers sets it up for chat templates, and what it makes of a case.

A case is a dict of what `sda` gets too: `template`, `messages`, `add_generation_prompt` and `variables`, those of
`--chat-template-kwargs`. Both sides have the same special tokens.
"""

import json
from datetime import datetime

import jinja2.ext
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

BOS, EOS = "<s>", "</s>"


class Generation(jinja2.ext.Extension):
    """`{% generation %}`: marks what the assistant says, and prints it as it is."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Dict:
    """`dict`: to be called, and no type to reach others from."""

    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


class PlainNamespace(Namespace):
    """`namespace`, without names that begin with an underscore."""

    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            PlainNamespace._check(name)
        Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        PlainNamespace._check(name)
        Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"{name!r} begins with an underscore")


def raise_exception(message):
    raise TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    env.globals["dict"] = Dict()
    env.globals["namespace"] = PlainNamespace
    return env


ENVIRONMENT = environment()


def render(case):
    """`{"text": ...}`, or `{"error": ...}` where jinja2 raises."""
    variables = {"tools": None, "documents": None, "bos_token": BOS, "eos_token": EOS, **case.get("variables", {})}
    try:
        text = ENVIRONMENT.from_string(case["template"]).render(
            messages=case["messages"], add_generation_prompt=case["add_generation_prompt"], **variables
        )
        text.encode()
        return {"text": text}
    except RecursionError:
        return {"error": "RecursionError"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
