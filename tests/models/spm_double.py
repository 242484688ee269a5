"""A small SentencePiece tokenizer with the parts, the tokens and the chat template of Gemma's."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from homeroom.models import tiny
from homeroom.models.sentencepiece import BYTES, SPACE

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
PLAIN = ("\n\n", "<unused0>")
# The system's text goes into the first question; roles must take turns.
TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def build(folder: Path, *, count: int = 200) -> int:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``; the number of tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces, vocab = learnt(tiny._TEXT, count)
    merges = [
        [piece[:at], piece[at:]] for piece in pieces for at in range(1, len(piece)) if {piece[:at], piece[at:]} <= vocab.keys()
    ]
    special = [(token, True) for token in SPECIAL] + [(token, False) for token in PLAIN]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    record = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocab[token], "content": token, "special": known, **flags} for token, known in special],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [vocab["<bos>"]], "tokens": ["<bos>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
    about = {
        "tokenizer_class": "GemmaTokenizer",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer.json").write_text(json.dumps(record, ensure_ascii=False), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(about), "utf-8")
    return len(vocab)


def learnt(text: str, count: int) -> tuple[list[str], dict[str, int]]:
    """Pieces in the order of their scores, and the whole vocabulary: special tokens, bytes, pieces, characters."""
    words = [list(SPACE + word) for word in text.split()]
    pieces: list[str] = []
    while len(pieces) < count:
        counts: dict[tuple[str, str], int] = {}
        for word in words:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], pair))
        pieces.append("".join(best))
        words = [tiny._merge(word, best) for word in words]
    characters = sorted({character for character in text if not character.isspace()} | {SPACE, "\n"})
    tokens = [*SPECIAL, *PLAIN, *BYTES, SPACE * 2, *pieces, *characters]
    return [SPACE * 2, *pieces], {token: index for index, token in enumerate(dict.fromkeys(tokens))}
