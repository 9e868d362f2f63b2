"""Writes tiny random GGUF models of the kinds that differ from a plain attention model: recurrent memory, hybrids, odd
tokenizer settings, a model in parts, models that cannot continue a text. The same files at every run.

    make_models.py FOLDER
"""

import sys
from pathlib import Path

import architectures
from gguf import GGUFWriter
from vocabulary import CHATML, PLAIN_TURNS, Bpe, RwkvBytes

# Tensors of one part of the split model, which then has four parts.
PART = 8


def write(folder, name, build, vocabulary, template=CHATML, split=0, **changes):
    architecture, settings, tensors = build(len(vocabulary.tokens), vocabulary.control)
    writer = GGUFWriter(folder / f"{name}.gguf", architecture, split_max_tensors=split)
    writer.add_name(name)
    for key, value in settings.items():
        add(writer, f"{architecture}.{key}", value)
    for key, value in (vocabulary.settings() | changes).items():
        if value is not None:
            add(writer, f"tokenizer.ggml.{key}", value)
    if template is not None:
        writer.add_chat_template(template)
    for tensor, values in tensors.items():
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add(writer, key, value):
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.gguf"):
        old.unlink()
    bpe = Bpe()
    llama = architectures.llama
    write(folder, "attention", llama, bpe)
    write(folder, "mamba", architectures.mamba, bpe)
    write(folder, "jamba", architectures.jamba, bpe)
    write(folder, "lfm2", architectures.lfm2, bpe)
    # RWKV's own tokenizer names no end of its own; this file gives none either.
    write(folder, "rwkv7", architectures.rwkv7, RwkvBytes())
    write(folder, "add-eos", llama, bpe, add_eos_token=True)
    write(folder, "no-template", llama, bpe, template=None)
    # llama.cpp takes token 11, a comma, where a byte-level BPE names none. Here it is likely in every second place.
    no_end = Bpe(end_of_turn="<|turn|>", end_of_text="<|text|>")
    none = {"bos_token_id": None, "eos_token_id": None}
    write(folder, "no-eos", architectures.with_likely(llama, 11), no_end, template=PLAIN_TURNS, **none)
    write(folder, "parts", llama, bpe, split=PART)
    write(folder, "bert", architectures.bert, bpe, token_type_count=2)
    write(folder, "t5", architectures.t5, bpe)


if __name__ == "__main__":
    main()
