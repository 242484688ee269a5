"""Reads the header of a safetensors file as if a stranger had written it: every length, offset and shape is checked.

Layout: 8 bytes little-endian length, a JSON header, the data (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from homeroom.errors import ConfigError
from homeroom.storage.plain import check_plain

HEADER_BYTES = 32_000_000
"""The longest header that is read. The format allows 100 MB; a model of a thousand layers needs a few."""
MAX_DIMENSIONS = 8
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
WHOLE_BYTES = {"I64": 8, "I32": 4}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: name, shape (every side at least 1), number type, and where it begins in the file."""

    name: str
    shape: tuple[int, ...]
    kind: str
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file holds: its tensors, in the order of their places, and the texts beside them."""

    entries: tuple[Entry, ...]
    metadata: dict[str, str]


def read_header(path: Path, passed_over: Collection[str] = ()) -> Header:
    """The header of ``path``.

    Args:
        path: The file.
        passed_over: Names of tensors that are not wanted, and may be whole numbers.

    Raises:
        ConfigError: ``model-files`` when anything in it is not so: the file is cut, or the header lies about it.
            ``file-not-plain``.
    """
    size = check_plain(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(HEADER_BYTES, size - 8):
            raise _wrong(path, "cut short, or its header is longer than the file")
        text = file.read(length)
    try:
        record = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, "no safetensors file: its header is not JSON, or says something twice") from error
    if not isinstance(record, dict):
        raise _wrong(path, "no safetensors file: its header is no object")
    metadata = record.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _wrong(path, "no safetensors file: its metadata are no texts")
    begin = 8 + length
    places = sorted((*_place(path, name, entry, name in passed_over), name, entry) for name, entry in record.items())
    end = 0
    for start, stop, name, _ in places:
        if start < end:
            raise _wrong(path, f"damaged: tensor {name!r:.80} lies over another one")
        end = stop
    if begin + end > size:
        raise _wrong(path, f"cut short: its tensors need {begin + end:,} bytes and it has {size:,}")
    return Header(
        tuple(
            Entry(name, tuple(entry["shape"]), entry["dtype"], begin + start)
            for start, _, name, entry in places
            if name not in passed_over
        ),
        metadata,
    )


# JSON written by others: Any.
def _place(path: Path, name: str, entry: Any, passed_over: bool) -> tuple[int, int]:
    """Begin and end of a tensor in the data."""
    sizes = {**ITEM_BYTES, **WHOLE_BYTES} if passed_over else ITEM_BYTES
    about = f"tensor {name!r:.80}"
    if not isinstance(entry, dict):
        raise _wrong(path, f"damaged: {about} is no object")
    shape, kind, offsets = entry.get("shape"), entry.get("dtype"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in sizes:
        raise ConfigError(
            f"The {about} in {path.name!r} is of the type {kind!r:.40}, which is not read here. Fetch the unquantised model: "
            "homeroom models pull NAME",
            code="model-files",
        )
    if not _whole_numbers(shape, at_least=1) or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise _wrong(path, f"damaged: {about} has the shape {shape!r:.60}")
    if not _whole_numbers(offsets, at_least=0) or len(offsets) != 2:
        raise _wrong(path, f"damaged: {about} lies at {offsets!r:.60}")
    start, stop = offsets
    if stop - start != math.prod(shape) * sizes[kind]:
        raise _wrong(path, f"damaged: {about} has the shape {shape!r:.60} of {kind} in {stop - start:,} bytes")
    return start, stop


def _whole_numbers(values: object, *, at_least: int) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and at_least <= value < 2**48 for value in values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # JSON
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is given twice")
    return record


def _wrong(path: Path, what: str) -> ConfigError:
    return ConfigError(f"{path.name!r} is {what}. Fetch it again: homeroom models pull NAME", code="model-files")
