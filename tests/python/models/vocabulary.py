"""Vocabularies that can write any text: single bytes, the commonest pairs of some English, and control tokens."""

from collections import Counter

from gguf import TokenType

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# For vocabularies without control tokens.
PLAIN_TURNS = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)

TEXT = (
    "What is the capital of France and what does a computer do when it is asked about the weather in the north of "
    "the country? Answer like a pirate, in one short sentence, and explain it to a child that has never seen the sea. "
    "The user writes an instruction, the assistant gives an answer, and the score says how well the answer follows "
    "the instruction. There were three ships on the water, and all of them sailed home before the winter came."
)

MERGES = 120


class Bpe:
    """Byte-level BPE, as GPT-2 has it."""

    def __init__(self, end_of_turn="<|im_end|>", end_of_text="<|endoftext|>"):
        letters = byte_letters()
        self.merges = merges([letters[byte] for byte in range(256)])
        # GPT-2's order: bytes that are printable first.
        order = sorted(range(256), key=lambda byte: (ord(letters[byte]) >= 256, ord(letters[byte])))
        texts = [letters[byte] for byte in order] + [a + b for a, b in self.merges]
        special = [end_of_text, "<|im_start|>", end_of_turn]
        self.tokens = texts + special
        self.control = list(range(len(texts), len(self.tokens)))
        self.types = [TokenType.NORMAL] * len(texts) + [TokenType.CONTROL] * len(special)

    def settings(self):
        return {
            "model": "gpt2",
            "pre": "default",
            "tokens": self.tokens,
            "token_type": [int(kind) for kind in self.types],
            "merges": [f"{a} {b}" for a, b in self.merges],
            "bos_token_id": self.control[1],
            "eos_token_id": self.control[2],
            "add_bos_token": False,
        }


class RwkvBytes:
    """RWKV's tokenizer, the longest match in a list of byte strings. The first token is no text."""

    def __init__(self):
        words = sorted({f" {word.strip('.,?')}" for word in TEXT.split()})
        self.tokens = ["<s>"] + [f"\\x{byte:02x}" for byte in range(256)] + words
        self.control = [0]

    def settings(self):
        kinds = [int(TokenType.CONTROL)] + [int(TokenType.NORMAL)] * (len(self.tokens) - 1)
        return {"model": "rwkv", "tokens": self.tokens, "token_type": kinds}


def byte_letters():
    """The letter that stands for each byte in GPT-2's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + i) for i, byte in enumerate(others)}


def merges(letters):
    """The commonest pairs, one after the other; of equals the first in order."""
    words = [[letters[byte] for byte in f" {word}".encode()] for word in TEXT.split()]
    found = []
    while len(found) < MERGES:
        pairs = Counter(pair for word in words for pair in zip(word, word[1:]))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        found.append(best)
        words = [merge(word, best) for word in words]
    return found


def merge(word, pair):
    merged = []
    for letter in word:
        if merged and (merged[-1], letter) == pair:
            merged[-1] += letter
        else:
            merged.append(letter)
    return merged
