"""Turns a PEFT adapter into the GGUF LoRA that the engine applies per request.

Source: llama.cpp's ``convert_lora_to_gguf.py``. PEFT computes ``W x + (alpha / r) B A x``; the engine does the same from
``blk.N.<layer>.weight.lora_a`` (r, in), ``.lora_b`` (out, r) and ``adapter.lora.alpha``. Where the base's rows are reordered
(`homeroom.models.architectures`), so are those of B.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError, ConflictError
from homeroom.models.adapter_config import IDENTITY_KEY, plain_lora
from homeroom.models.architectures import LINEAR_LAYERS, architecture_of, gguf_name, to_gguf_rows
from homeroom.models.folder import Tensor, read_json, read_tensors
from homeroom.models.safetensors_header import read_header
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CONFIG", "IDENTITY_KEY", "WEIGHTS", "adapter_to_gguf", "check_adapter_folder", "write_lora"]

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_TENSOR = re.compile(r"(?:base_model\.model\.)?(model\.layers\.\d+\.[\w.]+?)\.lora_([AB])(?:\.default)?\.weight")
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}


def check_adapter_folder(folder: Path, base: BaseFiles | None = None) -> dict[str, Any]:
    """The configuration of the adapter in a PEFT folder, made anew (`plain_lora`), once the folder is known to be free of code.

    Raises:
        ConfigError: ``pickled-weights``, ``remote-code``, ``adapter-files``, ``adapter-unsupported``, ``file-not-plain``, or
            ``model-files`` for weights that lie about themselves.
        ConflictError: ``base-mismatch``, where the folder says which base it was made for.
    """
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _PICKLED)
    if pickled:
        raise ConfigError(
            f"{str(folder)!r} holds {pickled[0]!r}, and pickled files can run code when read. Save the adapter as safetensors "
            "(PEFT: save_pretrained(..., safe_serialization=True)) and delete it",
            code="pickled-weights",
        )
    missing = [name for name in (CONFIG, WEIGHTS) if not os.path.lexists(folder / name)]
    if missing:
        raise ConfigError(f"{str(folder)!r} is no PEFT adapter: it has no {' and no '.join(missing)}", code="adapter-files")
    record = read_json(folder / CONFIG)
    header = read_header(folder / WEIGHTS)
    matches = (_TENSOR.fullmatch(entry.name) for entry in header.entries)
    modules = {match[1].rpartition(".")[2] for match in matches if match is not None}
    config = plain_lora(record, CONFIG, sorted(modules))
    identity = config.get(IDENTITY_KEY) or header.metadata.get(IDENTITY_KEY)
    if base is not None and identity is not None and identity != base.identity:
        raise ConflictError(
            f"The adapter in {str(folder)!r} was made for the base {identity[:16]!r}, and {base.name!r} here is "
            f"{base.identity[:16]!r}. Tune it again on this base: homeroom tune run --base {base.name}",
            code="base-mismatch",
        )
    return config


def adapter_to_gguf(adapter_folder: Path, base: BaseFiles, out: Path) -> Path:
    """Write the GGUF LoRA of a PEFT adapter to ``out`` (atomically) and return it.

    Raises:
        ConfigError, ConflictError: as `check_adapter_folder`; ``base-mismatch`` too when shapes do not fit the base.
    """
    adapter = check_adapter_folder(adapter_folder, base)
    config = read_json(base.weights / "config.json")
    architecture = architecture_of(config, base.name)
    pairs = _pairs(adapter_folder, base, int(adapter["r"]))
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)

    def tensors() -> Iterator[tuple[str, NDArray[np.float32]]]:
        for name, (a, b) in sorted(pairs.items()):
            layer = f"{name}.weight"
            yield f"{gguf_name(layer)}.lora_a", a.load()
            yield f"{gguf_name(layer)}.lora_b", to_gguf_rows(b.load(), architecture.rotary_heads(layer, heads, kv_heads))

    return write_lora(out, tensors(), architecture=architecture.gguf, alpha=_alpha(adapter), base=base)


def write_lora(
    out: Path, tensors: Iterable[tuple[str, NDArray[np.float32]]], *, architecture: str, alpha: float, base: BaseFiles
) -> Path:
    """Write a GGUF LoRA to ``out`` (atomically) and return it. What the engine is given is always written here.

    Args:
        out: The file.
        tensors: GGUF names (``blk.0.attn_q.weight.lora_a``) and values, in the engine's order of rows.
        architecture: GGUF's name of the base's architecture.
        alpha: The engine multiplies by ``alpha / rank``.
        base: What it was made for.

    Raises:
        ConfigError: ``adapter-files`` when a value is no number.
    """
    import numpy as np
    from gguf import GGUFType, GGUFWriter

    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    writer = GGUFWriter(str(part), architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    writer.add_string("homeroom.base_identity", base.identity)
    for name, values in tensors:
        if not np.isfinite(values).all():
            raise ConfigError(
                f"The adapter's {name!r} holds values that are no numbers (infinite or NaN): its tuning broke down. Tune it "
                "again: homeroom tune run",
                code="adapter-files",
            )
        writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(out)
    return out


def _alpha(adapter: dict[str, Any]) -> float:
    """The alpha of plain LoRA; rsLoRA scales by ``alpha / sqrt(r)``, so its alpha is raised to give the same factor."""
    alpha, rank = float(adapter["lora_alpha"]), float(adapter["r"])
    return alpha * rank**0.5 if adapter.get("use_rslora") else alpha


def _pairs(folder: Path, base: BaseFiles, rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of every layer, by the layer's Hugging Face name."""
    found: dict[str, dict[str, Tensor]] = {}
    shapes = {tensor.name: tensor.shape for tensor in read_tensors(base.weights)}
    for entry in read_header(folder / WEIGHTS).entries:
        tensor = Tensor(entry.name, entry.shape, entry.kind, folder / WEIGHTS, entry.offset)
        match = _TENSOR.fullmatch(tensor.name)
        if match is None or match[1].split(".", 3)[-1] not in LINEAR_LAYERS:
            raise ConfigError(
                f"The adapter changes {tensor.name!r:.120}; the engine takes LoRA on {', '.join(LINEAR_LAYERS)} only. "
                "Tune again with the default target modules: homeroom tune run",
                code="adapter-unsupported",
            )
        found.setdefault(match[1], {})[match[2]] = tensor
    pairs = {}
    for name, both in found.items():
        shape = shapes.get(f"{name}.weight")
        a, b = both.get("A"), both.get("B")
        if a is None or b is None or shape is None or not _fit(a.shape, b.shape, shape):
            raise ConflictError(
                f"The adapter's {name!r} does not fit the base {base.name!r} (layer {shape}, A {a and a.shape}, B"
                f" {b and b.shape}). Tune it again on this base: homeroom tune run --base {base.name}",
                code="base-mismatch",
            )
        if a.shape[0] != rank:
            raise ConfigError(
                f"The adapter's {name!r} has the rank {a.shape[0]}, and its configuration says r = {rank}. Save it again",
                code="adapter-files",
            )
        pairs[name] = (a, b)
    if not pairs:
        raise ConfigError(f"The adapter in {str(folder)!r} has no LoRA tensors", code="adapter-files")
    return pairs


def _fit(a: tuple[int, ...], b: tuple[int, ...], layer: tuple[int, ...]) -> bool:
    """Whether A (r, in) and B (out, r) belong to a layer (out, in)."""
    return len(a) == len(b) == 2 and (b[0], a[1]) == layer and a[0] == b[1]
