"""Phi 3 and 4 as the Llama models that they are: their query, key and value projections, and gate and up, lie in one matrix each.

The parts are rows that follow each other, so a file with them apart has the same data under another header: nothing is computed.
Source: ``Phi3Attention`` and ``Phi3MLP`` of transformers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from homeroom.models.safetensors_header import ITEM_BYTES, Entry, read_header

FUSED = "Phi3ForCausalLM"
"""The architecture whose projections are taken apart."""
_CHUNK_BYTES = 1 << 20
_QKV, _GATE_UP = "self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight"


def parts(name: str, config: Mapping[str, Any]) -> dict[str, int]:  # config: JSON
    """The names of what a tensor is taken apart into, and the rows of each; nothing for a tensor that stays whole."""
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or config["hidden_size"] // heads)
    keys = int(config.get("num_key_value_heads") or heads) * size
    for fused, apart in (
        (_QKV, {"self_attn.q_proj.weight": heads * size, "self_attn.k_proj.weight": keys, "self_attn.v_proj.weight": keys}),
        (_GATE_UP, dict.fromkeys(("mlp.gate_proj.weight", "mlp.up_proj.weight"), int(config["intermediate_size"]))),
    ):
        if name.endswith(f".{fused}"):
            return {name.removesuffix(fused) + part: rows for part, rows in apart.items()}
    return {}


def unfuse(source: Path, target: Path, config: Mapping[str, Any]) -> None:  # config: JSON
    """Write a safetensors file with its tensors taken apart. One whose rows are not what ``config`` says stays whole.

    Raises:
        ConfigError: ``model-files``.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    entries = read_header(source).entries
    end = 0
    for entry in entries:
        for name, shape in _apart(entry, config):
            begin, end = end, end + math.prod(shape) * ITEM_BYTES[entry.kind]
            header[name] = {"dtype": entry.kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with source.open("rb") as read, target.open("wb") as written:
        written.write(len(text).to_bytes(8, "little") + text)
        for entry in entries:
            read.seek(entry.offset)
            _copy(read, written, math.prod(entry.shape) * ITEM_BYTES[entry.kind])


def _apart(entry: Entry, config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    found = parts(entry.name, config)
    if found and len(entry.shape) == 2 and sum(found.values()) == entry.shape[0]:
        yield from ((name, (rows, entry.shape[1])) for name, rows in found.items())
    else:
        yield entry.name, entry.shape


def _copy(read: Any, written: Any, size: int) -> None:  # binary files
    while size:
        chunk = read.read(min(size, _CHUNK_BYTES))
        written.write(chunk)
        size -= len(chunk)
