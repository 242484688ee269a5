"""A base model and the adapter on it as one set of weights: read and added tensor by tensor, so that no model is ever held whole.

``W' = W + (alpha / r) B A`` (Hu et al. 2021, https://arxiv.org/abs/2106.09685). The adapter is read from the engine's file of it,
which every adapter here has, wherever it came from; where the base's rows are reordered there, they are put back.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError
from homeroom.models.architectures import architecture_of, from_gguf_rows, hf_name
from homeroom.models.folder import Tensor, read_json, read_tensors
from homeroom.models.gguf_check import GgufTensor, read_gguf_header
from homeroom.models.safetensors_header import ITEM_BYTES
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUMBERS: Mapping[str, str] = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
"""Number types of merged weights: our name and that of safetensors."""
WEIGHTS = "model.safetensors"
_SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class Merged:
    """The weights of ``base`` with an adapter added.

    Args:
        base: Prepared.
        adapter: The engine's file of the adapter; None leaves the base as it is.

    Raises:
        ConfigError: ``gguf-damaged``; ``adapter-files`` when it adds to something that the base does not have.
    """

    def __init__(self, base: BaseFiles, adapter: Path | None) -> None:
        self._base, self._path = base, adapter
        config = read_json(base.weights / "config.json")
        self._architecture = architecture_of(config, base.name)
        self._heads = int(config["num_attention_heads"])
        self._kv_heads = int(config.get("num_key_value_heads") or self._heads)
        self.tensors = read_tensors(base.weights)
        self._pairs, self._alpha = ({}, 0.0) if adapter is None else self._read(adapter)

    def _read(self, path: Path) -> tuple[dict[str, tuple[GgufTensor, GgufTensor]], float]:
        """A and B by the layer's Hugging Face name, and alpha."""
        header = read_gguf_header(path)
        shapes = {tensor.name: tensor.shape for tensor in self.tensors}
        pairs = {}
        for name in sorted({name.rpartition(".lora_")[0] for name in header.tensors}):
            a, b = header.tensors.get(f"{name}.lora_a"), header.tensors.get(f"{name}.lora_b")
            layer = hf_name(name)
            # GGUF lists the fastest dimension first: A is (in, r), B (r, out).
            if a is None or b is None or layer is None or shapes.get(layer) != (b.shape[1], a.shape[0]) or a.kind or b.kind:
                raise ConfigError(
                    f"The adapter's {name!r} does not fit the base {self._base.name!r}. Import it again, or tune again: "
                    "homeroom tune run",
                    code="adapter-files",
                )
            pairs[layer] = (a, b)
        return pairs, float(header.values["adapter.lora.alpha"])

    def load(self, tensor: Tensor) -> NDArray[np.float32]:
        """The values of one of `tensors`, in its shape."""
        values = tensor.load()
        pair = self._pairs.get(tensor.name)
        if pair is None or self._path is None:
            return values
        a, b = (_matrix(self._path, one) for one in pair)  # (r, in) and (out, r)
        b = from_gguf_rows(b, self._architecture.rotary_heads(tensor.name, self._heads, self._kv_heads))
        scaled: NDArray[Any] = (self._alpha / len(a)) * (b @ a)
        return values + scaled.astype(values.dtype)

    @property
    def number(self) -> str:
        """The number type that most of the base's weights are kept in, one of `NUMBERS`."""
        sizes = {kind: sum(math.prod(t.shape) for t in self.tensors if t.kind == kind) for kind in {t.kind for t in self.tensors}}
        largest = max(sizes, key=lambda kind: sizes[kind])
        return next((name for name, kind in NUMBERS.items() if kind == largest), "f32")

    def size_bytes(self, number: str) -> int:
        """What all the weights take in a number type."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors) * ITEM_BYTES[NUMBERS[number]]

    def save(self, folder: Path, number: str) -> None:
        """Write a folder that transformers loads, its weights in one file.

        Args:
            folder: Made if needed.
            number: One of `NUMBERS`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        kind = NUMBERS[number]
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for tensor in self.tensors:
            begin, end = end, end + math.prod(tensor.shape) * ITEM_BYTES[kind]
            header[tensor.name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with (folder / WEIGHTS).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for tensor in self.tensors:
                file.write(_bytes(self.load(tensor), kind))
        for name in _SMALL:
            if (self._base.weights / name).exists():
                shutil.copyfile(self._base.weights / name, folder / name)
        config = read_json(folder / "config.json")
        names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
        config = {key: value for key, value in config.items() if key not in ("torch_dtype", "dtype")}
        record = {**config, "dtype": names[kind]}
        (folder / "config.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _matrix(path: Path, tensor: GgufTensor) -> NDArray[np.float32]:
    """A float32 matrix of a GGUF file, its rows first."""
    import numpy as np

    columns, rows = tensor.shape
    raw = np.memmap(path, dtype="<f4", mode="r", offset=tensor.offset, shape=(rows, columns))
    return np.asarray(raw, dtype=np.float32)


def _bytes(values: NDArray[np.float32], kind: str) -> bytes:
    import numpy as np

    if kind == "F32":
        return values.astype("<f4").tobytes()
    if kind == "F16":
        return values.astype("<f2").tobytes()
    # bfloat16 is the upper half of a float32, rounded to the nearest, ties to even.
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    return (((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype("<u2")).tobytes()
