"""Hostile adapters, given to ``homeroom models import``."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.bench import Bench, Case, Run, edit

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLES, CODE, CONFIGS, LINKS = "pickles in adapters", "code in adapters", "adapter configurations", "links, pipes and names"
SAFETENSORS = "safetensors that lie"


def pickled(name: str, *, instead: bool = False) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        folder = bench.adapter()
        if instead:
            (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(bench.pickle)
        return bench.imported(folder)

    return make


def config(**changes: Any) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        bench.evil_module()
        folder = bench.adapter()
        bench.evil_module()
        (folder / "evil.py").write_text((bench.folder / "evil.py").read_text())
        edit(folder / CONFIG, **changes)
        return bench.imported(folder)

    return make


def config_text(text: str) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        folder = bench.adapter()
        (folder / CONFIG).write_text(text)
        return bench.imported(folder)

    return make


def replaced(name: str, put: Callable[[Path], object]) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        folder = bench.adapter()
        (folder / name).rename(bench.folder / name)
        put(folder / name)
        return bench.imported(folder)

    return make


def linked_weights(bench: Bench) -> Run:
    folder = bench.adapter()
    (folder / WEIGHTS).rename(bench.folder / "elsewhere")
    (folder / WEIGHTS).symlink_to(bench.folder / "elsewhere")
    return bench.imported(folder)


def named(name: str) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        folder = bench.adapter().rename(bench.folder / name)
        (folder / f"{name}.bin").write_bytes(bench.pickle)
        return bench.imported(folder)

    return make


def gguf_link(target: str) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        path = bench.folder / "lora.gguf"
        path.symlink_to(target) if target else os.mkfifo(path)
        return bench.imported(path)

    return make


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: Any, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Bench], Run]:
    """A good file with another header."""

    def make(bench: Bench) -> Run:
        folder = bench.adapter()
        record, data = split((folder / WEIGHTS).read_bytes())
        changed = change(record)
        (folder / WEIGHTS).write_bytes(joined(record if changed is None else changed, data))
        return bench.imported(folder)

    return make


def first(**changes: Any) -> Callable[[Bench], Run]:
    """The first tensor's entry changed."""

    def change(record: dict[str, Any]) -> None:
        name = next(key for key in record if key != "__metadata__")
        record[name].update(changes)

    return header(change)


def weights(change: Callable[[bytes], bytes]) -> Callable[[Bench], Run]:
    def make(bench: Bench) -> Run:
        folder = bench.adapter()
        (folder / WEIGHTS).write_bytes(change((folder / WEIGHTS).read_bytes()))
        return bench.imported(folder)

    return make


def overlapping(record: dict[str, Any]) -> None:
    one, other = sorted((entry for key, entry in record.items() if key != "__metadata__"), key=lambda e: e["data_offsets"])[:2]
    start = one["data_offsets"][0] + 4
    other["data_offsets"] = [start, start + other["data_offsets"][1] - other["data_offsets"][0]]


def twice(record: dict[str, Any]) -> bytes:
    name = next(key for key in record if key != "__metadata__")
    return json.dumps(record).encode()[:-1] + b"," + json.dumps({name: record[name]}).encode()[1:]


def not_numbers(data: bytes) -> bytes:
    record, body = split(data)
    return joined(record, struct.pack("<f", float("nan")) * (len(body) // 4))


CASES = [
    *(
        Case(PICKLES, f"{name} beside the weights", "pickled-weights", pickled(name))
        for name in (
            "adapter_model.bin", "pytorch_model.bin", "model.pt", "training_args.bin", "optimizer.pt", "rng_state.pth", "tokenizer.pkl",
            "ADAPTER.BIN", "last.ckpt",
        )
    ),
    Case(PICKLES, "adapter_model.bin in place of the weights", "pickled-weights", pickled("adapter_model.bin", instead=True)),
    Case(PICKLES, "a pickle named adapter_model.safetensors", "model-files", pickled(WEIGHTS)),
    Case(PICKLES, "a pickle named adapter_config.json", "model-files", pickled(CONFIG)),
    Case(CODE, "auto_map to a module beside it", "remote-code", config(auto_map={"AutoModel": "evil.Model"})),
    Case(CODE, "auto_mapping to a library", "remote-code", config(auto_mapping={"base_model_class": "X", "parent_library": "evil"})),
    Case(CODE, "a Megatron core to import", "adapter-unsupported", config(megatron_config={"a": 1}, megatron_core="evil")),
    Case(CODE, "a Megatron core without its configuration", "", config(megatron_core="evil"), ("evil",)),
    Case(CODE, "an initialisation that loads a file", "", config(init_lora_weights="evil", eva_config={"rho": 2.0}), ("evil",)),
    Case(CONFIGS, "a base at an absolute path", "", config(base_model_name_or_path="/etc/passwd"), ("/etc/passwd",)),
    Case(CONFIGS, "a base at ../..", "", config(base_model_name_or_path="../../../../etc"), ("../..",)),
    Case(CONFIGS, "a base at a URL", "", config(base_model_name_or_path="http://192.0.2.1/evil"), ("192.0.2.1",)),
    Case(CONFIGS, "a base and a revision with a line break", "", config(base_model_name_or_path="a\nb", revision="x\n"), ("a\\nb",)),
    Case(CONFIGS, "a pattern of layers that never matches to its end", "", config(target_modules="(.*.*)*.*x$"), ("(.*.*)",)),
    Case(CONFIGS, "rank 0", "adapter-files", config(r=0)),
    Case(CONFIGS, "rank of a billion", "adapter-files", config(r=10**12)),
    Case(CONFIGS, "rank as a text", "adapter-files", config(r="2; import os")),
    Case(CONFIGS, "another rank than the weights have", "adapter-files", config(r=3)),
    Case(CONFIGS, "infinite alpha", "adapter-files", config(lora_alpha=float("inf"))),
    Case(CONFIGS, "alpha that is no number", "adapter-files", config(lora_alpha=float("nan"))),
    Case(CONFIGS, "layers by the million", "adapter-files", config(layers_to_transform=[10**9])),
    Case(CONFIGS, "a list nested 100,000 deep", "model-files", config_text("[" * 100_000)),
    Case(CONFIGS, "no object", "model-files", config_text('["LORA"]')),
    Case(CONFIGS, "not UTF-8", "model-files", replaced(CONFIG, lambda p: p.write_bytes(b"\xff\xfe{"))),
    Case(LINKS, "configuration linked to /etc/passwd", "file-not-plain", replaced(CONFIG, lambda p: p.symlink_to("/etc/passwd"))),
    Case(LINKS, "configuration linked to /dev/zero", "file-not-plain", replaced(CONFIG, lambda p: p.symlink_to("/dev/zero"))),
    Case(LINKS, "configuration is a pipe", "file-not-plain", replaced(CONFIG, os.mkfifo)),
    Case(LINKS, "weights linked out of the folder", "file-not-plain", linked_weights),
    Case(LINKS, "weights are a pipe", "file-not-plain", replaced(WEIGHTS, os.mkfifo)),
    Case(LINKS, "weights are a folder", "file-not-plain", replaced(WEIGHTS, Path.mkdir)),
    Case(LINKS, "a GGUF that is a pipe", "file-not-plain", gguf_link("")),
    Case(LINKS, "a GGUF linked to /dev/zero", "file-not-plain", gguf_link("/dev/zero")),
    Case(LINKS, "names with line breaks", "pickled-weights", named("a\nerror: all is well\n")),
    Case(LINKS, "names that steer a terminal", "pickled-weights", named("\x1b]0;owned\x07\x1b[2J")),
    Case(LINKS, "names that read backwards", "pickled-weights", named("\u202enib.ledom")),
    Case(SAFETENSORS, "header longer than the file", "model-files", weights(lambda d: struct.pack("<Q", len(d) * 2) + d[8:])),
    Case(SAFETENSORS, "header of 2^64 - 1 bytes", "model-files", weights(lambda d: b"\xff" * 8 + d[8:])),
    Case(SAFETENSORS, "header of 2^63 bytes", "model-files", weights(lambda d: struct.pack("<Q", 2**63) + d[8:])),
    Case(SAFETENSORS, "tensors that overlap", "model-files", header(overlapping)),
    Case(SAFETENSORS, "negative shape", "model-files", first(shape=[-2, -64])),
    Case(SAFETENSORS, "shape of 2^62 times 4", "model-files", first(shape=[2**62, 4])),
    Case(SAFETENSORS, "empty shape", "model-files", first(shape=[])),
    Case(SAFETENSORS, "shape of a thousand sides", "model-files", first(shape=[1] * 1000)),
    Case(SAFETENSORS, "shape that is a text", "model-files", first(shape="2,64")),
    Case(SAFETENSORS, "shape of truth values", "model-files", first(shape=[True, True])),
    Case(SAFETENSORS, "half precision in the bytes of single", "model-files", first(dtype="F16")),
    Case(SAFETENSORS, "Python objects as number type", "model-files", first(dtype="O")),
    Case(SAFETENSORS, "number type that is a list", "model-files", first(dtype=["F32"])),
    Case(SAFETENSORS, "offsets beyond the end", "model-files", first(data_offsets=[10**12, 10**12 + 512])),
    Case(SAFETENSORS, "offsets that run backwards", "model-files", first(data_offsets=[512, 0])),
    Case(SAFETENSORS, "negative offsets", "model-files", first(data_offsets=[-512, 0])),
    Case(SAFETENSORS, "an entry that is no object", "model-files", header(lambda r: {**r, "x": 1})),
    Case(SAFETENSORS, "a header that is a list", "model-files", header(lambda r: [r])),
    Case(SAFETENSORS, "a header nested 100,000 deep", "model-files", header(lambda r: b'{"a":' * 100_000)),
    Case(SAFETENSORS, "a number of 100,000 digits", "model-files", header(lambda r: b'{"a":' + b"9" * 100_000 + b"}")),
    Case(SAFETENSORS, "a tensor given twice", "model-files", header(twice)),
    Case(SAFETENSORS, "metadata that are objects", "model-files", header(lambda r: {**r, "__metadata__": {"a": {"b": 1}}})),
    Case(SAFETENSORS, "cut in the header", "model-files", weights(lambda d: d[:100])),
    Case(SAFETENSORS, "cut in the data", "model-files", weights(lambda d: d[:-4])),
    Case(SAFETENSORS, "empty", "model-files", weights(lambda d: b"")),
    Case(SAFETENSORS, "values that are no numbers", "adapter-files", weights(not_numbers)),
    Case(
        SAFETENSORS,
        "a tensor of another layer",
        "adapter-unsupported",
        header(lambda r: {"base_model.model.lm_head.lora_A.weight" if i == 1 else k: v for i, (k, v) in enumerate(r.items())}),
    ),
    Case(
        SAFETENSORS,
        "a tensor whose name has a million letters",
        "adapter-unsupported",
        header(lambda r: {"x\n" * 500_000 if i == 1 else k: v for i, (k, v) in enumerate(r.items())}),
    ),
]  # fmt: skip
