"""A BERT encoder of two layers that embeds like a real one in milliseconds: the test double of every embedding model.

It knows a few words, and of `SYNONYMS` that they mean the same (they share a row of its table), so that two sentences of the same
meaning in other words lie close together, and others do not.

    from homeroom.models import tiny_embedder
    from homeroom.models.embed_files import prepare_embedder
    files = prepare_embedder(tiny_embedder.build(tmp / "tiny"), tiny_embedder.NAME, cache)
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "tiny-embedder"
DIMENSIONS = 64
CONTEXT_TOKENS = 128
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SYNONYMS = (
    ("how", "what"),
    ("many", "number"),
    ("dogs", "hounds"),
    ("legs", "paws"),
    ("ice", "frost"),
    ("float", "swim"),
    ("drink", "absorb"),
    ("soil", "ground"),
    ("apples", "fruit"),
    ("bus", "coach"),
)
_HIDDEN, _LAYERS, _HEADS, _FEED_FORWARD = DIMENSIONS, 2, 4, 128


def build(folder: Path, seed: int = 0) -> Path:
    """Write the model into ``folder`` (made if needed) and return it. Equal seeds give equal files; under 1 MB."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_lowercase + string.digits + string.punctuation
    words = [word for group in SYNONYMS for word in group]
    tokens = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for i, t in enumerate(SPECIAL)
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: index for index, token in enumerate(tokens)},
        },
    }
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": _HIDDEN,
        "intermediate_size": _FEED_FORWARD,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": CONTEXT_TOKENS,
        "num_attention_heads": _HEADS,
        "num_hidden_layers": _LAYERS,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "vocab_size": len(tokens),
    }
    for name, record in (("tokenizer.json", tokenizer), ("config.json", config)):
        (folder / name).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _write_weights(folder, tokens, seed)
    return folder


def _write_weights(folder: Path, tokens: list[str], seed: int) -> None:
    """Random, with layers so weak that a vector is mostly the mean of the words' own."""
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    table = random.normal(0, 1, (len(tokens), _HIDDEN)).astype(np.float32)
    for group in SYNONYMS:
        for word in group[1:]:
            table[tokens.index(word)] = table[tokens.index(group[0])]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.position_embeddings.weight": (CONTEXT_TOKENS, _HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, _HIDDEN),
        "pooler.dense.weight": (_HIDDEN, _HIDDEN),
        "pooler.dense.bias": (_HIDDEN,),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(_LAYERS):
        stem = f"encoder.layer.{layer}."
        square = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
        sizes = {**dict.fromkeys(square, (_HIDDEN, _HIDDEN)), "intermediate.dense": (_FEED_FORWARD, _HIDDEN)}
        for part, shape in {**sizes, "output.dense": (_HIDDEN, _FEED_FORWARD)}.items():
            shapes |= {f"{stem}{part}.weight": shape, f"{stem}{part}.bias": shape[:1]}
        norms += [f"{stem}attention.output.LayerNorm", f"{stem}output.LayerNorm"]
    weights: dict[str, NDArray[Any]] = {name: random.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["embeddings.word_embeddings.weight"] = table
    for norm in norms:
        weights |= {f"{norm}.weight": np.ones(_HIDDEN, np.float32), f"{norm}.bias": np.zeros(_HIDDEN, np.float32)}
    # As published models have it: a buffer of whole numbers among the weights.
    weights["embeddings.position_ids"] = np.arange(CONTEXT_TOKENS, dtype=np.int64)[None]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
