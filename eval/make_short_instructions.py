#!/usr/bin/env python3
"""Writes short_instructions.jsonl, 400 queries with one verifiable instruction each, in IFEval's fields, and
two_instructions.jsonl, 114 queries with two.

Unlike IFEval's, the prompts do not contain their instructions, and short answers do. So the plain branch knows
nothing of what is checked, and a small model on a slow machine answers many of them. The field "topic" holds
words that an answer to the query should have one of; answers in other languages have none.
"""

import json
import pathlib
import random

TOPICS = """a cat|a bicycle|the moon|a rainy day|bread|a library|the sea in winter|a train station|an old tree
a birthday party|tea|a mountain village|a violin|chess|a garden in spring|a lighthouse|snow|a busy market
an umbrella|the colour red|a telescope|honey bees|a football match|a good neighbour|a castle|a desert
a river boat|the city at night|a kitchen|a school trip""".replace("\n", "|").split("|")
ASKS = [
    "Describe {} in one or two sentences.",
    "What is special about {}? Answer briefly.",
    "Tell me something interesting about {} in a few words.",
    "Write a short note about {}.",
]
WORDS = "silver quiet morning window stone bright simple gentle hidden golden wooden distant".split()
LANGUAGES = ["fr", "de", "es", "it", "pt"]
PHRASES = ["That is all.", "Thank you for reading.", "What do you think?", "See you soon.", "The end."]


def kinds(draw):
    """One of each kind, with arguments drawn again."""
    two = draw.sample(WORDS, 2)
    return [
        ("change_case:english_capital", {}),
        ("change_case:english_lowercase", {}),
        ("punctuation:no_comma", {}),
        ("startend:quotation", {}),
        ("keywords:existence", {"keywords": two}),
        ("keywords:frequency", {"keyword": two[0], "frequency": 2, "relation": "at least"}),
        ("keywords:forbidden_words", {"forbidden_words": ["the", "and"]}),
        ("keywords:letter_frequency", {"letter": "a", "let_frequency": 8, "let_relation": "less than"}),
        ("length_constraints:number_words", {"num_words": draw.choice([8, 10, 12]), "relation": "less than"}),
        ("length_constraints:number_words", {"num_words": 30, "relation": "at least"}),
        ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}),
        ("startend:end_checker", {"end_phrase": draw.choice(PHRASES)}),
        ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
        ("detectable_format:title", {}),
        ("detectable_format:json_format", {}),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}),
        ("change_case:capital_word_frequency", {"capital_frequency": 3, "capital_relation": "at least"}),
        ("language:response_language", {"language": draw.choice(LANGUAGES)}),
    ]


def pairs(draw):
    """Two instructions that one answer can follow both of: one on its words, one on what it has to hold."""
    two = draw.sample(WORDS, 2)
    wordings = [
        ("punctuation:no_comma", {}),
        ("keywords:forbidden_words", {"forbidden_words": ["the", "and"]}),
        ("length_constraints:number_words", {"num_words": 30, "relation": "at least"}),
        ("change_case:english_lowercase", {}),
    ]
    contents = [
        ("keywords:existence", {"keywords": two}),
        ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}),
    ]
    # A postscript has capitals.
    both = [(a, b) for a in wordings for b in contents if "lowercase" not in a[0] or "postscript" not in b[0]]
    return draw.sample(both, len(both))


def words(topic):
    """The words of a topic that name it, in the singular."""
    found = [word.removesuffix("s") if word == "bees" else word for word in topic.lower().split() if len(word) > 2]
    return [word for word in found if word not in ("the", "and", "old", "good")]


def main():
    draw = random.Random(20)
    records = []
    # Twenty rounds; neighbours have the same kind, so that both halves (every other record) hold all kinds.
    for _ in range(10):
        for first, second in zip(kinds(draw), kinds(draw)):
            for instruction, arguments in (first, second):
                ask, topic = draw.choice(ASKS), draw.choice(TOPICS)
                record = {
                    "key": len(records) + 1,
                    "prompt": ask.format(topic),
                    "instruction_id_list": [instruction],
                    "kwargs": [arguments],
                }
                if not instruction.startswith("language:"):
                    record["topic"] = words(topic)
                records.append(record)
    write("short_instructions.jsonl", records)
    draw = random.Random(21)
    records = []
    for _ in range(6):
        for both in pairs(draw):
            ask, topic = draw.choice(ASKS), draw.choice(TOPICS)
            record = {
                "key": len(records) + 1,
                "prompt": ask.format(topic),
                "instruction_id_list": [instruction for instruction, _ in both],
                "kwargs": [arguments for _, arguments in both],
                "topic": words(topic),
            }
            records.append(record)
    write("two_instructions.jsonl", records)


def write(name, records):
    path = pathlib.Path(__file__).with_name(name)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


if __name__ == "__main__":
    main()
