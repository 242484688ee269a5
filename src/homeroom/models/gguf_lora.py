"""Takes in a LoRA that comes as GGUF: every value is checked and written anew, so that the engine never sees the original."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.errors import ConfigError, ConflictError
from homeroom.models.gguf_check import GgufTensor, read_gguf_header
from homeroom.models.lora_gguf import write_lora
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Number types that a LoRA comes in: float32, float16, bfloat16, and blocks of 8 bits (ggml.h, `ggml_type`).
_KINDS = frozenset({0, 1, 30, 8})


def lora_from_gguf(path: Path, base: BaseFiles, out: Path) -> Path:
    """Write to ``out`` the LoRA that ``path`` holds.

    Raises:
        ConfigError: ``gguf-damaged``; ``adapter-files`` when it is no LoRA; ``adapter-unsupported`` for number types that LoRAs
            do not have.
        ConflictError: ``base-mismatch``: one that does not fit would keep the engine from starting for every model.
    """
    header = read_gguf_header(path)
    if header.text("adapter.type") != "lora":
        raise ConfigError(
            f"{path.name!r} is a GGUF file without adapter.type = lora, so it is not a LoRA. Whole models are pulled: "
            "homeroom models pull ORG/NAME",
            code="adapter-files",
        )
    alpha = header.values.get("adapter.lora.alpha")
    if not isinstance(alpha, float) or not math.isfinite(alpha) or alpha <= 0:
        raise ConfigError(
            f"{path.name!r} has adapter.lora.alpha = {alpha!r}, which scales nothing. Convert the adapter again",
            code="adapter-files",
        )
    odd = next((tensor for tensor in header.tensors.values() if tensor.kind not in _KINDS), None)
    if odd is not None:
        raise ConfigError(
            f"The tensor {odd.name!r} of {path.name!r} has the number type {odd.kind}; a LoRA is taken in as float32, float16, "
            "bfloat16 or Q8_0. Convert the adapter again",
            code="adapter-unsupported",
        )
    wanted = read_gguf_header(base.gguf)
    architecture, identity = header.text("general.architecture"), header.text("homeroom.base_identity")
    fits = architecture == wanted.text("general.architecture") and identity in ("", base.identity)
    if not fits or not _fits(header.tensors, wanted.tensors):
        raise ConflictError(
            f"{path.name!r} was made for another base model than {base.name!r}. Name the right one: homeroom models import "
            f"{str(path)!r} --base NAME",
            code="base-mismatch",
        )
    return write_lora(out, _values(path, header.tensors), architecture=architecture, alpha=alpha, base=base)


def _fits(adapter: Mapping[str, GgufTensor], base: Mapping[str, GgufTensor]) -> bool:
    """Whether each pair of LoRA tensors belongs to a tensor of the base. GGUF lists dimensions inner first: A is (in, r)."""
    shapes = {name: tensor.shape for name, tensor in adapter.items()}
    layers = {name.rpartition(".lora_")[0] for name in shapes}
    pairs = [
        (shapes.get(f"{layer}.lora_a", ()), shapes.get(f"{layer}.lora_b", ()), base[layer].shape if layer in base else ())
        for layer in layers
    ]
    whole = 2 * len(layers) == len(shapes)
    return (
        whole and bool(pairs) and all(len(a) == len(b) == len(w) == 2 and (a[0], b[1]) == w and a[1] == b[0] for a, b, w in pairs)
    )


def _values(path: Path, tensors: Mapping[str, GgufTensor]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    import numpy as np
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    for name, tensor in sorted(tensors.items()):
        raw = np.memmap(
            path, dtype=np.uint8, mode="r", offset=tensor.offset, shape=(tensor.shape[1], tensor.size_bytes // tensor.shape[1])
        )
        yield name, np.asarray(dequantize(np.ascontiguousarray(raw), GGMLQuantizationType(tensor.kind)), dtype=np.float32)
