"""Turns a PEFT adapter into the GGUF LoRA that the engine applies per request.

Source: llama.cpp's ``convert_lora_to_gguf.py``. PEFT computes ``W x + (alpha / r) B A x``; the engine does the same from
``blk.N.<layer>.weight.lora_a`` (r, in), ``.lora_b`` (out, r) and ``adapter.lora.alpha``. Where the base's rows are reordered
(`homeroom.models.architectures`), so are those of B.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from homeroom.errors import ConfigError, ConflictError
from homeroom.models.architectures import LINEAR_LAYERS, Architecture, architecture_of, gguf_name, to_gguf_rows
from homeroom.models.folder import Tensor, read_json, read_metadata, read_tensors
from homeroom.schema.models import BaseFiles

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
IDENTITY_KEY = "homeroom_base_identity"
"""Under this key a tuning run writes the identity of its base: into the metadata of the safetensors file, which PEFT leaves alone
(a key of ours in ``adapter_config.json`` is read too, but makes PEFT warn)."""

_TENSOR = re.compile(r"(?:base_model\.model\.)?(model\.layers\.\d+\.[\w.]+?)\.lora_([AB])(?:\.default)?\.weight")
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
# Options of PEFT that change what an adapter computes in ways the engine cannot.
_UNSUPPORTED = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "layer_replication",
    "lora_bias",
)


def check_adapter_folder(folder: Path, base: BaseFiles | None = None) -> dict[str, Any]:
    """The ``adapter_config.json`` of a PEFT folder, once it is known to be LoRA, free of code, and made for ``base``.

    Raises:
        ConfigError: ``pickled-weights``, ``remote-code``, ``adapter-files``, or ``adapter-unsupported``.
        ConflictError: ``base-mismatch``, where the folder says which base it was made for.
    """
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLED)
    if pickled:
        raise ConfigError(
            f"{str(folder)!r} holds {pickled[0]!r}, and pickled files can run code when read. Save the adapter as safetensors "
            "(PEFT: save_pretrained(..., safe_serialization=True)) and delete it",
            code="pickled-weights",
        )
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"{str(folder)!r} is no PEFT adapter: it has no {' and no '.join(missing)}", code="adapter-files")
    config = read_json(folder / CONFIG)
    if "auto_map" in config or config.get("auto_mapping"):
        raise ConfigError(
            f"{CONFIG!r} asks to run the adapter's own Python code (auto_map), which Homeroom never does", code="remote-code"
        )
    used = [option for option in _UNSUPPORTED if config.get(option)]
    if config.get("peft_type") != "LORA" or used or config.get("bias", "none") != "none":
        raise ConfigError(
            f"The adapter is {config.get('peft_type')!r} with {', '.join(used) or 'bias=' + repr(config.get('bias'))}; the engine"
            " takes plain LoRA on linear layers. Tune again with: homeroom tune run",
            code="adapter-unsupported",
        )
    identity = config.get(IDENTITY_KEY) or read_metadata(folder / WEIGHTS).get(IDENTITY_KEY)
    if base is not None and identity is not None and identity != base.identity:
        raise ConflictError(
            f"The adapter in {str(folder)!r} was made for the base {str(identity)[:16]!r}, and {base.name!r} here is "
            f"{base.identity[:16]!r}. Tune it again on this base: homeroom tune run --base {base.name}",
            code="base-mismatch",
        )
    return config


def adapter_to_gguf(adapter_folder: Path, base: BaseFiles, out: Path) -> Path:
    """Write the GGUF LoRA of a PEFT adapter to ``out`` (atomically) and return it.

    Raises:
        ConfigError, ConflictError: as `check_adapter_folder`; ``base-mismatch`` too when shapes do not fit the base.
    """
    from gguf import GGUFType, GGUFWriter

    adapter = check_adapter_folder(adapter_folder, base)
    config = read_json(base.weights / "config.json")
    architecture = architecture_of(config, base.name)
    pairs = _pairs(adapter_folder, base)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    writer = GGUFWriter(str(part), architecture.gguf)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", _alpha(adapter))
    writer.add_string("homeroom.base_identity", base.identity)
    for name, (a, b) in sorted(pairs.items()):
        _add_pair(writer, name, a, b, architecture, config)
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


def _pairs(folder: Path, base: BaseFiles) -> dict[str, tuple[Tensor, Tensor]]:
    """A and B of every layer, by the layer's Hugging Face name."""
    found: dict[str, dict[str, Tensor]] = {}
    shapes = {tensor.name: tensor.shape for tensor in read_tensors(base.weights)}
    for tensor in (t for t in read_tensors(folder) if t.path.name == WEIGHTS):
        match = _TENSOR.fullmatch(tensor.name)
        if match is None or match[1].split(".", 3)[-1] not in LINEAR_LAYERS:
            raise ConfigError(
                f"The adapter changes {tensor.name!r}; the engine takes LoRA on {', '.join(LINEAR_LAYERS)} only. "
                "Tune again with the default target modules: homeroom tune run",
                code="adapter-unsupported",
            )
        found.setdefault(match[1], {})[match[2]] = tensor
    pairs = {}
    for name, both in found.items():
        shape = shapes.get(f"{name}.weight")
        a, b = both.get("A"), both.get("B")
        if a is None or b is None or shape is None or (b.shape[0], a.shape[1]) != shape or a.shape[0] != b.shape[1]:
            raise ConflictError(
                f"The adapter's {name!r} does not fit the base {base.name!r} (layer {shape}, A {a and a.shape}, B"
                f" {b and b.shape}). Tune it again on this base: homeroom tune run --base {base.name}",
                code="base-mismatch",
            )
        pairs[name] = (a, b)
    if not pairs:
        raise ConfigError(f"The adapter in {str(folder)!r} has no LoRA tensors", code="adapter-files")
    return pairs


# `writer` is gguf's GGUFWriter, imported by the caller; configs are JSON: Any.
def _add_pair(writer: Any, name: str, a: Tensor, b: Tensor, architecture: Architecture, config: dict[str, Any]) -> None:
    import numpy as np

    layer = f"{name}.weight"
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    rows = to_gguf_rows(b.load(), architecture.rotary_heads(layer, heads, kv_heads))
    writer.add_tensor(f"{gguf_name(layer)}.lora_a", a.load())
    writer.add_tensor(f"{gguf_name(layer)}.lora_b", np.ascontiguousarray(rows))
