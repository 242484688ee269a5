"""Hostile base models, given to ``homeroom models pull`` from a hub that is a folder."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.bench import Bench, Case, Run, edit
from tests.hostile.cases_adapters import joined, split
from tests.hostile.templates import GROW, MALFORMED, NEVER_END, RUN_CODE

PICKLES, CODE, SIZES, HUB = "pickles in base models", "code in base models", "base models that lie", "what a hub answers"
TOKENIZERS, TEMPLATES = "tokenizers", "chat templates"
TEMPLATE_NAMES = (
    "attribute escape to __globals__", "cycler", "lipsum", "import", "include", "format string", "map to an attribute",
    "huge range", "nested loops", "macro that calls itself twice", "search in a filter", "own budget",
    "doubling", "block set", "macro of a macro", "lists that share their parts", "indent", "bytes of a number",
    "thousands of branches", "too long",
)  # fmt: skip


def pulled(change: Callable[[Path, Bench], object]) -> Callable[[Bench], Run]:
    """A good base with something changed in its folder."""

    def make(bench: Bench) -> Run:
        base = bench.base()
        change(base, bench)
        return bench.pulled(base)

    return make


def config(file: str = "config.json", **changes: Any) -> Callable[[Bench], Run]:
    def change(base: Path, bench: Bench) -> None:
        for name in ("evil", "modeling_evil"):
            bench.evil_module(name)
            (base / f"{name}.py").write_text((bench.folder / f"{name}.py").read_text())
        edit(base / file, **changes)

    return pulled(change)


def tokenizer(**changes: Any) -> Callable[[Bench], Run]:
    return config("tokenizer.json", **changes)


def model_part(change: Callable[[dict[str, Any]], object]) -> Callable[[Bench], Run]:
    def put(base: Path, bench: Bench) -> None:
        record = json.loads((base / "tokenizer.json").read_text())
        change(record["model"])
        (base / "tokenizer.json").write_text(json.dumps(record))

    return pulled(put)


def template(source: str) -> Callable[[Bench], Run]:
    return pulled(
        lambda base, bench: edit(base / "tokenizer_config.json", chat_template=source.replace("CANARY", str(bench.canary)))
    )


def template_file(put: Callable[[Path], object]) -> Callable[[Bench], Run]:
    def change(base: Path, bench: Bench) -> None:
        put(base / "chat_template.jinja")

    return pulled(change)


def only_pickles(base: Path, bench: Bench) -> None:
    (base / "model.safetensors").unlink()
    (base / "pytorch_model.bin").write_bytes(bench.pickle)


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Bench], Run]:
    def put(base: Path, bench: Bench) -> None:
        record, data = split((base / "model.safetensors").read_bytes())
        changed = change(record)
        (base / "model.safetensors").write_bytes(joined(record if changed is None else changed, data))

    return pulled(put)


def without_layer(record: dict[str, Any]) -> None:
    record["__metadata__"] = {"hidden": "x"}
    record.pop("model.layers.1.mlp.up_proj.weight")


def turned(record: dict[str, Any]) -> None:
    entry = record["model.layers.0.mlp.up_proj.weight"]
    entry["shape"] = entry["shape"][::-1]


def listing(change: Callable[[dict[str, Any]], Any]) -> Callable[[Bench], Run]:
    return lambda bench: bench.pulled(bench.base(), change)


def entry(record: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in record["siblings"] if found["rfilename"] == name)


def with_entry(name: str, **changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(record: dict[str, Any]) -> dict[str, Any]:
        entry(record, name).update(changes)
        return record

    return change


def with_evil_names(record: dict[str, Any]) -> dict[str, Any]:
    for name in ("../../evil.py", "/tmp/evil/config.json", "..\\config.json", "sub/config.json", ["config.json"], None, {"a": 1}):
        record["siblings"].append({"rfilename": name, "size": 1})
    record["siblings"] += ["config.json", None, 7]
    return {**record, "siblings": [e for e in record["siblings"] if e != entry(record, "tokenizer_config.json")]}


def huge(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)  # sparse: takes no room


SPLIT = {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}, {"type": "ByteLevel"}]}  # fmt: skip
REPLACE = {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": "z"}
PADDING = {
    "strategy": {"Fixed": 10**9},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "x",
}

CASES = [
    Case(PICKLES, "pytorch_model.bin in place of safetensors", "pickled-weights", pulled(only_pickles)),
    Case(PICKLES, "a pickle named model.safetensors", "model-files",
         pulled(lambda base, bench: (base / "model.safetensors").write_bytes(bench.pickle))),
    Case(PICKLES, "a pickle named tokenizer.json", "model-files",
         pulled(lambda base, bench: (base / "tokenizer.json").write_bytes(bench.pickle))),
    Case(PICKLES, "a pickle named config.json", "model-files",
         pulled(lambda base, bench: (base / "config.json").write_bytes(bench.pickle))),
    Case(CODE, "auto_map in config.json with the modules beside it", "remote-code",
         config(auto_map={"AutoModelForCausalLM": "modeling_evil.Model", "AutoConfig": "evil.Config"})),
    Case(CODE, "auto_map in tokenizer_config.json", "remote-code",
         config("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})),
    Case(CODE, "an architecture of its own", "architecture-unsupported", config(architectures=["EvilForCausalLM"])),
    Case(CODE, "a known architecture of another type", "architecture-unsupported", config(model_type="evil")),
    Case(CODE, "a quantisation of its own", "architecture-unsupported", config(quantization_config={"quant_method": "evil"})),
    Case(CODE, "keys for other libraries", "", config(_attn_implementation="org/evil", custom_pipelines={"x": "evil"}), ("evil",)),
    Case(CODE, "an adapter's configuration in a base model", "", pulled(lambda base, bench: (base / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "/evil"}))), ("evil",)),
    Case(CODE, "an index that leads out of the folder", "", pulled(lambda base, bench: (
        base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../evil.bin"}}))), ("evil",)),
    Case(SIZES, "a vocabulary of a million millions", "model-files", config(vocab_size=10**12)),
    Case(SIZES, "a negative width", "model-files", config(hidden_size=-64)),
    Case(SIZES, "no heads", "model-files", config(num_attention_heads=0)),
    Case(SIZES, "heads of a billion features", "model-files", config(head_dim=10**9)),
    Case(SIZES, "sizes as texts", "model-files", config(hidden_size="64")),
    Case(SIZES, "heads that do not divide", "model-files", config(num_attention_heads=7)),
    Case(SIZES, "a rotary base that is no number", "model-files", config(rope_theta=float("nan"))),
    Case(SIZES, "rotary scaling without its numbers", "model-files", config(rope_scaling={"rope_type": "llama3", "factor": 8.0})),
    Case(SIZES, "config.json nested 100,000 deep", "model-files",
         pulled(lambda base, bench: (base / "config.json").write_text('{"a":' * 100_000))),
    Case(SIZES, "a layer less than config.json says", "model-files", header(without_layer)),
    Case(SIZES, "a layer turned on its side", "model-files", header(turned)),
    Case(SIZES, "weights that are a list", "model-files", header(lambda record: [record])),
    Case(SIZES, "weights cut short", "model-files",
         pulled(lambda base, bench: (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-9]))),
    Case(SIZES, "a header of 2^64 - 1 bytes", "model-files", pulled(lambda base, bench: (
        base / "model.safetensors").write_bytes(struct.pack("<Q", 2**64 - 1) + b"{}"))),
    Case(TOKENIZERS, "a normalizer whose pattern never ends", "tokenizer-unsupported", tokenizer(normalizer=REPLACE)),
    Case(TOKENIZERS, "the same inside a sequence", "tokenizer-unsupported",
         tokenizer(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, REPLACE]})),
    Case(TOKENIZERS, "a decoder whose pattern never ends", "tokenizer-unsupported", tokenizer(decoder=REPLACE)),
    Case(TOKENIZERS, "words cut by a pattern that never ends", "tokenizer-unsupported", tokenizer(pre_tokenizer=SPLIT)),
    Case(TOKENIZERS, "parts that are lists", "tokenizer-unsupported", tokenizer(pre_tokenizer=[1], normalizer=[1])),
    Case(TOKENIZERS, "padding to a thousand million tokens", "", tokenizer(padding=PADDING)),
    Case(TOKENIZERS, "a token numbered a thousand million", "model-files", model_part(lambda m: m["vocab"].update(x=10**9))),
    Case(TOKENIZERS, "a negative token", "model-files", model_part(lambda m: m["vocab"].update(x=-1))),
    Case(TOKENIZERS, "an added token beyond the vocabulary", "model-files",
         tokenizer(added_tokens=[{"id": 10**6, "content": "x", "special": True}])),
    Case(TOKENIZERS, "a token of a million letters", "model-files", model_part(lambda m: m["vocab"].update({"x" * 10**6: 5}))),
    Case(TOKENIZERS, "merges of tokens that are not there", "model-files", model_part(lambda m: m["merges"].append("evil evil"))),
    Case(TOKENIZERS, "merges that are numbers", "model-files", model_part(lambda m: m.update(merges=[1, 2]))),
    Case(TOKENIZERS, "merges at random", "model-files", model_part(lambda m: m.update(dropout=0.5))),
    Case(TOKENIZERS, "another kind of model", "tokenizer-unsupported", model_part(lambda m: m.update(type="Unigram"))),
    Case(TOKENIZERS, "a vocabulary that is a list", "model-files", model_part(lambda m: m.update(vocab=[]))),
    Case(TOKENIZERS, "a tokenizer of 200 MB", "file-oversized", pulled(lambda base, bench: huge(base / "tokenizer.json", 200_000_000))),
    *(Case(TEMPLATES, name, "chat-template", template({**RUN_CODE, **NEVER_END, **GROW, **MALFORMED}[name])) for name in TEMPLATE_NAMES),
    Case(TEMPLATES, "in a file of its own", "chat-template", template_file(lambda path: path.write_text(RUN_CODE["lipsum"]))),
    Case(TEMPLATES, "not UTF-8", "model-files", template_file(lambda path: path.write_bytes(b"\xff\xfe{{"))),
    Case(TEMPLATES, "a file of 2 MB", "file-oversized", template_file(lambda path: path.write_text("x" * 2_000_000))),
    Case(TEMPLATES, "a pipe", "file-not-plain", template_file(os.mkfifo)),
    Case(HUB, "a commit that is a path", "download", listing(lambda r: {**r, "sha": "../../../../evil"})),
    Case(HUB, "files named outside the folder", "model-files", listing(with_evil_names)),
    Case(HUB, "a file of negative size", "download", listing(with_entry("config.json", size=-1))),
    Case(HUB, "a size that is a text", "download", listing(with_entry("model.safetensors", lfs={"size": "9; rm", "sha256": None}))),
    Case(HUB, "a hash that is a path", "download", listing(with_entry("model.safetensors", lfs={"size": 9, "sha256": "../x"}))),
    Case(HUB, "another hash", "hash-mismatch",
         listing(lambda r: with_entry("model.safetensors", lfs={**entry(r, "model.safetensors")["lfs"], "sha256": "0" * 64})(r))),
    Case(HUB, "more bytes than it said", "file-oversized",
         listing(lambda r: with_entry("model.safetensors", lfs={**entry(r, "model.safetensors")["lfs"], "size": 100})(r))),
    Case(HUB, "no listing", "download", listing(lambda r: ["evil"] and {"evil": True})),
    Case(HUB, "a list", "model-files", listing(lambda r: [r])),
    Case(HUB, "a listing nested 100,000 deep", "model-files", listing(lambda r: '{"siblings":' * 100_000)),
    Case(HUB, "an address with line breaks", "download-not-found",
         lambda bench: bench.pulled_from(f"file://{bench.folder}/no\x1b[2Jhub%0Aerror: all is well")),
]  # fmt: skip
