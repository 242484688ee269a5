"""Reads a Hugging Face model folder without torch: configuration, chat template, special tokens, and tensors one by one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


# JSON written by others: Any.
def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        ConfigError: ``model-files`` when the file is missing or holds no object.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The model folder has no readable {path.name!r} ({error}). Fetch the model again: homeroom models pull NAME",
            code="model-files",
        ) from error
    if not isinstance(record, dict):
        raise ConfigError(f"{str(path)!r} does not hold a JSON object", code="model-files")
    return record


def chat_template(folder: Path) -> str:
    """The Jinja text that turns messages into a prompt, from ``chat_template.jinja`` or ``tokenizer_config.json``.

    Raises:
        ConfigError: ``no-chat-template`` when the model has none: a base model that was never taught to chat.
    """
    own_file = folder / "chat_template.jinja"
    if own_file.exists():
        return own_file.read_text(encoding="utf-8")
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named ones; "default" is for chat
        template = next((t.get("template") for t in template if t.get("name") == "default"), None)
    if not isinstance(template, str) or not template:
        raise ConfigError(
            f"The model in {folder.name!r} has no chat template, so it cannot chat. Choose its instruction-tuned version, "
            "usually named ...-Instruct: homeroom models list",
            code="no-chat-template",
        )
    return template


def special_tokens(folder: Path) -> dict[str, str]:
    """Texts of ``bos``, ``eos``, ``unk`` and ``pad``, those that the model has."""
    config = read_json(folder / "tokenizer_config.json")
    found = {}
    for key in ("bos", "eos", "unk", "pad"):
        token = config.get(f"{key}_token")
        if isinstance(token, dict):  # an AddedToken written out
            token = token.get("content")
        if isinstance(token, str):
            found[key] = token
    return found


def special_ids(folder: Path) -> dict[str, int]:
    """Ids of the tokens of `special_tokens`."""
    tokenizer = read_json(folder / "tokenizer.json")
    ids: dict[str, int] = {**tokenizer["model"]["vocab"], **{t["content"]: t["id"] for t in tokenizer.get("added_tokens", [])}}
    return {key: ids[token] for key, token in special_tokens(folder).items() if token in ids}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors file: where it lies and what it is."""

    name: str
    shape: tuple[int, ...]
    kind: str
    path: Path
    offset: int

    def load(self) -> NDArray[np.float32]:
        """Its values in float32, ``shape``."""
        import numpy as np

        count = math.prod(self.shape)
        raw = np.memmap(self.path, dtype=_NUMPY_TYPES[self.kind], mode="r", offset=self.offset, shape=(count,))
        if self.kind == "BF16":  # the upper half of a float32, a type numpy does not have
            return (raw.astype(np.uint32) << 16).view(np.float32).reshape(self.shape)
        return raw.astype(np.float32).reshape(self.shape)


def read_tensors(folder: Path) -> list[Tensor]:
    """All tensors of the safetensors files in ``folder``, in order of name; their values stay on disk.

    Raises:
        ConfigError: ``model-files`` when there is no safetensors file, a file is cut, or a tensor is of an unexpected type.
    """
    tensors = [tensor for path in sorted(folder.glob("*.safetensors")) for tensor in _read_header(path)]
    if not tensors:
        raise ConfigError(
            f"No *.safetensors file in {str(folder)!r}. Fetch the model again: homeroom models pull NAME", code="model-files"
        )
    return sorted(tensors, key=lambda tensor: tensor.name)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors.

    Raises:
        ConfigError: ``model-files`` when the file is cut.
    """
    metadata: dict[str, str] = _header(path)[0].get("__metadata__") or {}
    return metadata


# JSON written by others: Any.
def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its data begin."""
    # Layout: 8 bytes little-endian length, JSON header, data (https://github.com/huggingface/safetensors#format).
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        # The format allows headers of up to 100 MB.
        text = file.read(length) if length <= 100_000_000 else b""
    try:
        header = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{path.name!r} is cut short or no safetensors file. Fetch the model again: homeroom models pull NAME",
            code="model-files",
        ) from error
    return header, 8 + length


def _read_header(path: Path) -> list[Tensor]:
    size = path.stat().st_size
    header, begin = _header(path)
    tensors = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if entry["dtype"] not in _NUMPY_TYPES or begin + end > size:
            raise ConfigError(
                f"Tensor {name!r} in {path.name!r} is cut short or of the type {entry['dtype']!r}, which is not read here. "
                "Fetch the unquantised model: homeroom models pull NAME",
                code="model-files",
            )
        tensors.append(Tensor(name, tuple(entry["shape"]), entry["dtype"], path, begin + start))
    return tensors
