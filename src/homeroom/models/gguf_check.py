"""Reads a GGUF file as if a stranger had written it, before anything else may: every length, count and offset is checked.

The reader of the ``gguf`` package trusts what a file says of itself; llama.cpp is native code. Neither sees a file that has not
passed here. Layout: ggml's ``docs/gguf.md``.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from homeroom.errors import ConfigError
from homeroom.storage.plain import check_plain

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS = 10_000
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 4_000_000
"""Elements of all arrays together: the largest vocabularies and merges have a million."""
MAX_NAME_BYTES = 256

_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_DEFAULT_ALIGNMENT = 32

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor: its shape, the fastest dimension first as in the file, its number type, and its place in the file in bytes."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says: its scalar and text keys (arrays are checked and left out), and its tensors."""

    values: dict[str, Scalar]
    tensors: dict[str, GgufTensor]

    def text(self, key: str) -> str:
        """The text under ``key``; empty when there is none."""
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""


class _WrongError(ValueError):
    """What is wrong with the file, in words."""


class _Cursor:
    """Reads forward and never past the end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0
        self._elements = MAX_ELEMENTS

    def take(self, layout: str) -> Scalar:
        """One number or truth value."""
        size = struct.calcsize(f"<{layout}")
        if self.at + size > len(self._data):
            raise _WrongError("it is cut short")
        (value,) = struct.unpack_from(f"<{layout}", self._data, self.at)
        self.at += size
        return value  # type: ignore[no-any-return]  # struct's type says nothing

    def number(self, layout: str, limit: int, what: str) -> int:
        """A count or length of at most ``limit``."""
        value = self.take(layout)
        if not isinstance(value, int) or value > limit:
            raise _WrongError(f"it claims {value:,} {what}")
        return value

    def text(self, limit: int | None = None, what: str = "bytes of text") -> str:
        """A text; its length may not pass the end of the file."""
        length = self.number("Q", len(self._data) - self.at if limit is None else limit, what)
        if self.at + length > len(self._data):
            raise _WrongError("it is cut short")
        raw = self._data[self.at : self.at + length]
        self.at += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise _WrongError("a text in it is not UTF-8") from None

    def value(self, kind: int) -> Scalar | None:
        """A value of a key; None for an array, which is passed over."""
        if kind == _STRING:
            return self.text()
        if kind in _SCALARS:
            return self.take(_SCALARS[kind])
        if kind != _ARRAY:
            raise _WrongError(f"it has a value of the unknown type {kind}")
        element = self.number("I", 2**32, "")
        count = self.number("Q", self._elements, "elements of lists")
        self._elements -= count
        if element == _STRING:
            for _ in range(count):
                self.text()
        elif element in _SCALARS:
            self.at += count * struct.calcsize(f"<{_SCALARS[element]}")
            if self.at > len(self._data):
                raise _WrongError("it is cut short")
        else:
            raise _WrongError(f"it has a list of the type {element}")
        return None


def read_gguf_header(path: Path) -> GgufHeader:
    """What ``path`` says of itself, once it is known to be true.

    Raises:
        ConfigError: ``gguf-damaged`` with what is wrong; ``file-not-plain``.
    """
    size = check_plain(path, links=True)
    try:
        if size < len(MAGIC):
            raise _WrongError("it is too short")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Cursor(data), size)
    except _WrongError as error:
        raise ConfigError(
            f"{path.name!r} is damaged, cut off or no GGUF file: {error}. Copy or make it again; a LoRA is taken in with: "
            "homeroom models import FILE.gguf",
            code="gguf-damaged",
        ) from error


def _read(cursor: _Cursor, size: int) -> GgufHeader:
    if cursor.take("I") != int.from_bytes(MAGIC, "little"):
        raise _WrongError("it does not begin with 'GGUF'")
    version = cursor.take("I")
    if version not in VERSIONS:
        raise _WrongError(f"it is of the version {version!r}")
    tensor_count = cursor.number("Q", MAX_TENSORS, "tensors")
    key_count = cursor.number("Q", MAX_KEYS, "keys")
    values: dict[str, Scalar] = {}
    seen: set[str] = set()
    for _ in range(key_count):
        key = cursor.text(MAX_NAME_BYTES, "bytes for a key's name")
        if key in seen:
            raise _WrongError(f"the key {key!r} is given twice")
        seen.add(key)
        value = cursor.value(cursor.number("I", 2**32, ""))
        if value is not None:
            values[key] = value
    alignment = values.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or not 1 <= alignment <= 2**16 or alignment & (alignment - 1):
        raise _WrongError(f"its alignment is {alignment!r}")
    found = [_tensor(cursor) for _ in range(tensor_count)]
    begin = -(-cursor.at // alignment) * alignment
    return GgufHeader(values, _placed(found, begin, alignment, size))


def _tensor(cursor: _Cursor) -> GgufTensor:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    name = cursor.text(MAX_NAME_BYTES, "bytes for a tensor's name")
    dimensions = cursor.number("I", MAX_DIMENSIONS, "dimensions of a tensor")
    shape = tuple(cursor.number("Q", 2**48, "for the side of a tensor") for _ in range(dimensions))
    kind, offset = cursor.number("I", 2**32, ""), cursor.number("Q", 2**63, "bytes before a tensor")
    if kind not in {known.value for known in GGMLQuantizationType}:
        raise _WrongError(f"the tensor {name!r} is of the unknown type {kind}")
    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    if not shape or min(shape) < 1 or shape[0] % block:
        raise _WrongError(f"the tensor {name!r} has the shape {shape}")
    return GgufTensor(name, shape, kind, offset, math.prod(shape) // block * block_bytes)


def _placed(found: list[GgufTensor], begin: int, alignment: int, size: int) -> dict[str, GgufTensor]:
    """The tensors with their places in the file, none over another or past the end."""
    tensors: dict[str, GgufTensor] = {}
    end = 0
    for tensor in sorted(found, key=lambda tensor: tensor.offset):
        if tensor.name in tensors:
            raise _WrongError(f"the tensor {tensor.name!r} is given twice")
        if tensor.offset % alignment or tensor.offset < end:
            raise _WrongError(f"the tensor {tensor.name!r} lies over another one, or askew")
        end = tensor.offset + tensor.size_bytes
        if begin + end > size:
            raise _WrongError(f"the tensor {tensor.name!r} ends at byte {begin + end:,} of {size:,}")
        tensors[tensor.name] = GgufTensor(tensor.name, tensor.shape, tensor.kind, begin + tensor.offset, tensor.size_bytes)
    return tensors
