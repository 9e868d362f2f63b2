"""Random templates and conversations, from a seed. Templates are grammatical most of the time."""

import random

WORDS = ["Hello", "Grüße", "日本語", "🦀", "e\u0301", "\u200b", "<|im_end|>", "{{ x }}", "{% if %}", "\"q\"", "it's", "\\n",
         "a\r\nb", "tab\there", "  ", "\n", "\n\n", "&amp;", "</think>", "<think>", "[INST]", "%s", "\u2028", "\ufeff",
         "\x1c", "0", "x" * 300, "ß", "İ", "/no_think"]

EXPRESSIONS = ["m.role", "m['content']", "m.content|trim", "m.content.strip()", "m.content|length", "loop.index",
               "loop.last", "m.content[:5]", "m.content[::-1]", "m.content.split()", "m.content.split('\\n')[0]",
               "m.content|upper", "m.content.title()", "m|tojson", "m.content|tojson", "m.content.replace('a', 'b')",
               "m.content.splitlines()|length", "m.content|replace('\\n', ' ')", "loop.index0 % 2",
               "m.content.startswith('a')", "m.content|e", "loop.previtem.role", "loop.nextitem is defined",
               "messages|length - loop.index", "m.content.rfind('a')", "m.get('name', 'nobody')", "m.name is defined",
               "m.content.lstrip('\\n')", "m.content|capitalize", "m.content|indent(2)", "m.items()|list",
               "m.content.partition('a')[2]", "m.content.count('a')", "[m.role, loop.index]", "{'r': m.role}",
               "m.content|first", "m.content|last", "m.content.lower() == m.content", "m.role ~ ':' ~ loop.index",
               "m.content.rsplit(' ', 1)[-1]", "m.content is string", "m.content|list|length", "m.content|urlencode",
               "m.content|truncate(20)", "m.content|center(12)", "m.content.center(12)", "ns.n", "m.content|wordcount",
               "m.content.isspace()", "m.content.expandtabs(4)", "loop.cycle('a', 'b')", "m.content|string|length"]
TESTS = ["m.role == 'user'", "loop.first", "loop.last", "not loop.first", "loop.index0 % 2 == 0", "'a' in m.content",
         "m.role in ['user', 'assistant']", "m.content", "m.name is defined", "m.content|length > 5", "ns.n > 1",
         "m.role == 'system' or loop.last", "m.content is string and m.content", "add_generation_prompt",
         "tools is none", "not (tools and documents)", "1 < loop.index <= 3"]
SPACE = ["", "", "", " ", "\n", "\n\n", "  ", "\n    ", " \n", "\t", "text", "text\n", "a b\n  "]


def conversation(rng):
    def text():
        return "".join(rng.choice(WORDS) + rng.choice(["", " ", " a", "\n"]) for _ in range(rng.randint(1, 6)))

    messages = [{"role": "system", "content": text()}] if rng.random() < 0.5 else []
    for _ in range(rng.randint(0, 3)):
        messages += [{"role": "user", "content": text()}, {"role": "assistant", "content": text()}]
    return [*messages, {"role": "user", "content": text()}]


def tag(rng, body, kinds=("%", "%")):
    left, right = rng.choice(["", "", "-", "+"]), rng.choice(["", "", "-"])
    return "{" + kinds[0] + left + " " + body + " " + right + kinds[1] + "}"


def value(rng):
    left, right = rng.choice(["", "", "-"]), rng.choice(["", "", "-"])
    expression = rng.choice(EXPRESSIONS)
    if rng.random() < 0.2:
        expression = f"{expression} if {rng.choice(TESTS)} else {rng.choice(EXPRESSIONS)}"
    return "{{" + left + " " + expression + " " + right + "}}"


def block(rng, depth, leaves=True):
    """Statements. `leaves`: a `break` or `continue` may leave them; minijinja cannot leave a block that it collects."""
    space = lambda: rng.choice(SPACE)
    parts = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        inner = lambda stays=False: (
            space() + (block(rng, depth - 1, leaves and not stays) if depth else value(rng)) + space()
        )
        if kind < 0.45:
            parts += [space(), value(rng), space()]
        elif kind < 0.65:
            parts += [tag(rng, "if " + rng.choice(TESTS)), inner()]
            if rng.random() < 0.4:
                parts += [tag(rng, "elif " + rng.choice(TESTS)), inner()]
            if rng.random() < 0.4:
                parts += [tag(rng, "else"), inner()]
            parts.append(tag(rng, "endif"))
        elif kind < 0.72:
            parts += [tag(rng, "generation"), inner(stays=True), tag(rng, "endgeneration")]
        elif kind < 0.79:
            parts += [tag(rng, "set x = " + rng.choice(EXPRESSIONS)), space(), "{{ x }}"]
        elif kind < 0.84:
            parts += [tag(rng, "set x"), inner(stays=True), tag(rng, "endset"), space(), "[{{ x }}]"]
        elif kind < 0.89:
            parts += [tag(rng, "set ns.n = ns.n + 1"), space(), "{{ ns.n }}"]
        elif kind < 0.93:
            parts += [tag(rng, "filter upper"), inner(stays=True), tag(rng, "endfilter")]
        elif kind < 0.96:
            parts += [tag(rng, " note ", ("#", "#")), space()]
        elif leaves:
            parts += [tag(rng, "if " + rng.choice(TESTS)), tag(rng, rng.choice(["continue", "break"])), tag(rng, "endif")]
    return "".join(parts)


def template(rng):
    space = lambda: rng.choice(SPACE)
    over = rng.choice(["messages", "messages", "messages[1:]", "messages[::-1]", "messages|reverse", "messages[:-1]",
                       "messages if m.role != 'system'"])
    text = "".join([
        tag(rng, "set ns = namespace(n=0)"), space(), tag(rng, "for m in " + over), space(), block(rng, 2), space(),
        tag(rng, "endfor"), space(),
    ])
    return text.replace("\n", "\r\n") if rng.random() < 0.1 else text


def cases(seed, count):
    """Name, template and messages of each."""
    rng = random.Random(seed)
    for number in range(count):
        yield f"random {seed}/{number}", template(rng), conversation(rng)
