"""Turns a BERT encoder, as published by sentence-transformers, into the GGUF file that the engine makes vectors with.

The pooling (mean of all positions, or the first one's) is part of the file, and the engine makes each vector of length 1.
Source of names and keys: ``BertModel`` of llama.cpp's ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from homeroom.errors import ConfigError
from homeroom.models.folder import read_json, read_tensors
from homeroom.schema.models import Pooling

Count = Annotated[int, Field(ge=1, le=1_000_000)]

PASSED_OVER = frozenset({"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"})
"""Tensors that no vector is made with: the positions' numbers, and the head that the model was first trained with."""
QUANTISATION = "f16"
"""Number format of matrices. Of 23 million parameters 8 bits would save 21 MB and 4 in 10,000 of the cosine with the original."""

_TOP: Mapping[str, str] = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_IN_LAYER: Mapping[str, str] = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
_ALWAYS_F32 = frozenset({"position_embd.weight", "token_types.weight"})  # read row by row
_SPECIAL: Mapping[str, str] = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
_NORMAL, _CONTROL = 1, 3  # llama.h, `llama_token_type`


class _Config(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    architectures: list[Literal["BertModel"]] = Field(min_length=1, max_length=1)
    hidden_act: Literal["gelu"]
    hidden_size: Count
    intermediate_size: Count
    layer_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    max_position_embeddings: Count
    num_attention_heads: Count
    num_hidden_layers: Annotated[int, Field(ge=1, le=1000)]
    position_embedding_type: Literal["absolute"] = "absolute"
    type_vocab_size: Annotated[int, Field(ge=1, le=16)]
    vocab_size: Count


# JSON written by others: Any.
def check_bert(folder: Path, name: str, pooling: Pooling) -> dict[str, Any]:
    """Find out from the small files of a folder whether the engine can make vectors with the model.

    Returns:
        Its ``config.json``, made anew from what is known of it, with ``pooling``.

    Raises:
        ConfigError: ``architecture-unsupported``, ``tokenizer-unsupported``, ``model-files``.
    """
    try:
        config = _Config.model_validate(read_json(folder / "config.json"))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{name!r} is no BERT encoder that the embedded engine takes: {'.'.join(map(str, first['loc']))} is "
            f"{first['input']!r:.60}. Choose an embedding model of the catalogue: homeroom models list --bases",
            code="architecture-unsupported",
        ) from error
    _vocabulary(folder, config.vocab_size, name)
    _check_shapes(folder, config, name)
    return {**config.model_dump(), "pooling": pooling}


def bert_to_gguf(folder: Path, out: Path, *, name: str, pooling: Pooling, quantisation: str = QUANTISATION) -> None:
    """Write ``out`` from the model in ``folder``.

    Args:
        folder: ``config.json``, safetensors, ``tokenizer.json``.
        out: The file to be written; not atomic, so give a path inside a temporary folder.
        name: Kept as ``general.name``.
        pooling: How the vectors of all positions become one.
        quantisation: ``f32``, ``f16`` or ``q8_0``, of matrices.

    Raises:
        ConfigError: as `check_bert`.
    """
    from gguf import GGUFWriter, LlamaFileType, PoolingType

    config = check_bert(folder, name, pooling)
    writer = GGUFWriter(str(out), "bert")
    writer.add_name(name)
    writer.add_file_type(LlamaFileType["ALL_F32" if quantisation == "f32" else f"MOSTLY_{quantisation.upper()}"])
    writer.add_quantization_version(2)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type({"mean": PoolingType.MEAN, "cls": PoolingType.CLS}[pooling])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, _vocabulary(folder, config["vocab_size"], name), config["type_vocab_size"])
    _add_tensors(writer, folder, quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, tokens: list[str], types: int) -> None:  # writer: of gguf, which is not imported here
    """WordPiece as llama.cpp has it: a word's beginning is marked (``▁``), and not what continues it (``##``)."""
    ids = {token: index for index, token in enumerate(tokens)}
    special = set(_SPECIAL.values())

    def piece(token: str) -> str:
        if token in special or (token.startswith("[") and token.endswith("]")):
            return token
        return token.removeprefix("##") if token.startswith("##") else f"\u2581{token}"

    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece(token) for token in tokens])
    writer.add_token_types([_CONTROL if token in special else _NORMAL for token in tokens])
    writer.add_token_type_count(types)
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])


def _vocabulary(folder: Path, size: int, name: str) -> list[str]:
    """The tokens by number.

    Raises:
        ConfigError: ``tokenizer-unsupported`` for anything but an uncased WordPiece tokenizer with every number given once.
    """
    record = read_json(folder / "tokenizer.json")
    model, normalizer = record.get("model"), record.get("normalizer")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    fits = (
        isinstance(model, dict)
        and model.get("type") == "WordPiece"
        and model.get("continuing_subword_prefix") == "##"
        and isinstance(normalizer, dict)
        and normalizer.get("type") == "BertNormalizer"
        and normalizer.get("lowercase") is True  # the engine's own tokenizer always does it
        and isinstance(vocabulary, dict)
        and all(type(index) is int for index in vocabulary.values())
        and sorted(vocabulary.values()) == list(range(size))
        and set(_SPECIAL.values()) <= vocabulary.keys()
    )
    if not fits:
        raise ConfigError(
            f"{name!r} has a tokenizer of a kind that the embedded engine is not given here: an uncased WordPiece one of {size:,}"
            " tokens is needed. Choose an embedding model of the catalogue: homeroom models list --bases",
            code="tokenizer-unsupported",
        )
    assert isinstance(vocabulary, dict)
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _name(tensor: str) -> str | None:
    """``encoder.layer.3.output.dense.weight`` to ``blk.3.ffn_down.weight``; None for a tensor that no BERT encoder has."""
    if match := _LAYER.fullmatch(tensor):
        part = _IN_LAYER.get(match[2])
        return part and f"blk.{match[1]}.{part}.{match[3]}"
    stem, _, kind = tensor.rpartition(".")
    return f"{_TOP[stem]}.{kind}" if stem in _TOP else None


def _check_shapes(folder: Path, config: _Config, name: str) -> None:
    """Refuse a model whose tensors are not those that its configuration promises.

    Raises:
        ConfigError: ``model-files``.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    norm: dict[str, tuple[int, ...]] = {"weight": (hidden,), "bias": (hidden,)}
    square: dict[str, tuple[int, ...]] = {"weight": (hidden, hidden), "bias": (hidden,)}
    layer: dict[str, dict[str, tuple[int, ...]]] = {
        **{part: square for part in _IN_LAYER if part.startswith("attention.")},
        "attention.output.LayerNorm": norm,
        "output.LayerNorm": norm,
        "intermediate.dense": {"weight": (inner, hidden), "bias": (inner,)},
        "output.dense": {"weight": (hidden, inner), "bias": (hidden,)},
    }
    tables = {"word": config.vocab_size, "position": config.max_position_embeddings, "token_type": config.type_vocab_size}
    wanted: dict[str, tuple[int, ...]] = {f"embeddings.{key}_embeddings.weight": (rows, hidden) for key, rows in tables.items()}
    wanted |= {f"embeddings.LayerNorm.{kind}": shape for kind, shape in norm.items()}
    for index in range(config.num_hidden_layers):
        for part, shapes in layer.items():
            wanted |= {f"encoder.layer.{index}.{part}.{kind}": shape for kind, shape in shapes.items()}
    found = {tensor.name: tensor.shape for tensor in read_tensors(folder, PASSED_OVER)}
    wrong = next((key for key in sorted({*wanted, *found}) if wanted.get(key) != found.get(key)), None)
    if wrong is not None or hidden % config.num_attention_heads:
        raise ConfigError(
            f"{name!r} has the tensor {wrong!r} in the shape {found.get(wrong or '', 'none')}, and its config.json says "
            f"{wanted.get(wrong or '', 'none')}. Fetch the model again: homeroom models pull NAME",
            code="model-files",
        )


def _add_tensors(writer: Any, folder: Path, quantisation: str) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType, quantize

    for tensor in read_tensors(folder, PASSED_OVER):
        values = np.ascontiguousarray(tensor.load())
        name = _name(tensor.name)
        assert name is not None, "checked by _check_shapes"
        if values.ndim == 1 or name in _ALWAYS_F32 or quantisation == "f32":
            writer.add_tensor(name, values)
        else:
            kind = GGMLQuantizationType["F16" if values.shape[-1] % 32 else quantisation.upper()]
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
