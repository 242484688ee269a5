"""Hostile GGUF files, given to ``homeroom models import``."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.hostile.bench import Bench, Case, Run

KIND = "GGUF files"
U8, U32, STRING, ARRAY, U64 = 0, 4, 8, 9, 10


def text(value: str | bytes, length: int | None = None) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0, dimensions: int | None = None) -> bytes:
    count = len(shape) if dimensions is None else dimensions
    return (
        text(name) + struct.pack("<I", count) + b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", kind, offset)
    )


LORA = key("adapter.type", STRING, text("lora"))
ARCHITECTURE = key("general.architecture", STRING, text("llama"))
ALPHA = key("adapter.lora.alpha", 6, struct.pack("<f", 4.0))


def gguf(keys: tuple[bytes, ...] = (ARCHITECTURE, LORA, ALPHA), tensors: tuple[bytes, ...] = (), *, version: int = 3,
         key_count: int | None = None, tensor_count: int | None = None, data: bytes = b"\0" * 4096) -> bytes:  # fmt: skip
    counts = (len(tensors) if tensor_count is None else tensor_count, len(keys) if key_count is None else key_count)
    head = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


def given(data: bytes) -> Callable[[Bench], Run]:
    return lambda bench: bench.imported_gguf(data)


def changed(change: Callable[[bytes], bytes]) -> Callable[[Bench], Run]:
    return lambda bench: bench.imported_gguf(change(bench.gguf()))


def damaged(name: str, make: Callable[[Bench], Run]) -> Case:
    return Case(KIND, name, "gguf-damaged", make)


def flipped(data: bytes, seed: int, count: int = 4) -> bytes:
    """Some bytes of the first 600, which hold the header, turned into others."""
    import random

    dice = random.Random(seed)
    raw = bytearray(data)
    for _ in range(count):
        raw[dice.randrange(min(600, len(raw)))] = dice.randrange(256)
    return bytes(raw)


GOOD = tensor("blk.0.attn_q.weight.lora_a", (64, 2))

CASES = [
    damaged("another magic number", changed(lambda d: b"GGML" + d[4:])),
    damaged("version 0", given(gguf(version=0))),
    damaged("version 4,000,000,000", given(gguf(version=4_000_000_000))),
    damaged("2^60 tensors", given(gguf(tensor_count=2**60))),
    damaged("2^60 keys", given(gguf(key_count=2**60))),
    damaged("more keys than there are", given(gguf(key_count=9000, data=b""))),
    damaged("a key's name longer than the file", given(gguf((text("a", 2**40),)))),
    damaged("a key's name of 2^64 - 1 bytes", given(gguf((text("a", 2**64 - 1),)))),
    damaged("a text longer than the file", given(gguf((key("a", STRING, text("b", 2**40)),)))),
    damaged("a text that is not UTF-8", given(gguf((key("a", STRING, text(b"\xff\xfe")),)))),
    damaged("a list of 2^60 bytes", given(gguf((key("a", ARRAY, struct.pack("<IQ", U8, 2**60)),)))),
    damaged("a list of a million texts in a small file", given(gguf((key("a", ARRAY, struct.pack("<IQ", STRING, 10**6)),), data=b""))),
    damaged("lists in lists", given(gguf((key("a", ARRAY, struct.pack("<IQ", ARRAY, 1) * 1000),)))),
    damaged("a value of an unknown type", given(gguf((key("a", 77, b"\0" * 8),)))),
    damaged("a key given twice", given(gguf((ARCHITECTURE, LORA, LORA)))),
    damaged("alignment 0", given(gguf((key("general.alignment", U32, struct.pack("<I", 0)),)))),
    damaged("alignment 3", given(gguf((key("general.alignment", U32, struct.pack("<I", 3)),)))),
    damaged("alignment that is a text", given(gguf((key("general.alignment", STRING, text("32")),)))),
    damaged("a tensor of an unknown type", given(gguf(tensors=(tensor("t", (64, 2), kind=999),)))),
    damaged("a tensor of 2^31 dimensions", given(gguf(tensors=(tensor("t", (64, 2), dimensions=2**31),)))),
    damaged("a tensor of no dimensions", given(gguf(tensors=(tensor("t", ()),)))),
    damaged("a tensor whose size passes 2^64", given(gguf(tensors=(tensor("t", (2**32, 2**32, 2**32, 2**32)),)))),
    damaged("a tensor with a side of 0", given(gguf(tensors=(tensor("t", (0, 2)),)))),
    damaged("a tensor beyond the end", given(gguf(tensors=(tensor("t", (64, 2), offset=2**40),)))),
    damaged("a tensor askew", given(gguf(tensors=(tensor("t", (64, 2), offset=7),)))),
    damaged("a tensor longer than the file", given(gguf(tensors=(tensor("t", (2**20, 2**10)),)))),
    damaged("tensors over each other", given(gguf(tensors=(tensor("t", (64, 2)), tensor("u", (64, 2), offset=32))))),
    damaged("a tensor given twice", given(gguf(tensors=(tensor("t", (64, 2)), tensor("t", (64, 2), offset=512))))),
    damaged("a tensor's name of a megabyte", given(gguf(tensors=(tensor("t" * 10**6, (64, 2)),)))),
    damaged("cut after 3 bytes", changed(lambda d: d[:3])),
    damaged("cut in the keys", changed(lambda d: d[:60])),
    damaged("cut in the tensors' list", changed(lambda d: d[:300])),
    damaged("cut in the data", changed(lambda d: d[: len(d) - 64])),
    damaged("a pickle", lambda bench: bench.imported_gguf(bench.pickle)),
    damaged("empty", given(b"")),
    Case(KIND, "no LoRA at all", "adapter-files", given(gguf((ARCHITECTURE,)))),
    Case(KIND, "alpha that is no number", "adapter-files", given(gguf((ARCHITECTURE, LORA, key("adapter.lora.alpha", 6, b"\0\0\xc0\x7f"))))),
    Case(KIND, "alpha that is a text", "adapter-files", given(gguf((ARCHITECTURE, LORA, key("adapter.lora.alpha", STRING, text("4")))))),
    Case(KIND, "another architecture", "base-mismatch", given(gguf((key("general.architecture", STRING, text("evil")), LORA, ALPHA), (GOOD,)))),
    Case(KIND, "half a pair", "base-mismatch", given(gguf(tensors=(GOOD,)))),
    Case(KIND, "tensors of a layer that the base has not", "base-mismatch", given(gguf(tensors=(
        tensor("blk.99.attn_q.weight.lora_a", (64, 2)), tensor("blk.99.attn_q.weight.lora_b", (2, 64), offset=512))))),
    Case(KIND, "values that are no numbers", "adapter-files", given(gguf(
        tensors=(GOOD, tensor("blk.0.attn_q.weight.lora_b", (2, 64), offset=512)), data=b"\0\0\xc0\x7f" * 1024))),
    Case(KIND, "integers for weights", "adapter-unsupported", given(gguf(
        tensors=(tensor("blk.0.attn_q.weight.lora_a", (64, 2), kind=26), tensor("blk.0.attn_q.weight.lora_b", (2, 64), kind=26, offset=512))))),
]  # fmt: skip
