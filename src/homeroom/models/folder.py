"""Reads a Hugging Face model folder without torch: configuration, chat template, special tokens, and tensors one by one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.errors import ConfigError
from homeroom.models.safetensors_header import read_header
from homeroom.storage.plain import read_plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JSON_BYTES = 64_000_000
"""The largest JSON file of a model that is read: tokenizers of a quarter of a million tokens have half of it."""
TEMPLATE_BYTES = 1_000_000

_NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


# JSON written by others: Any.
def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        ConfigError: ``model-files`` when the file is missing or holds no object; ``file-not-plain``, ``file-oversized``.
    """
    try:
        record = json.loads(read_plain(path, limit_bytes=JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise ConfigError(
            f"The model folder has no readable {path.name!r} ({reason}). Fetch the model again: homeroom models pull NAME",
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
    if os.path.lexists(own_file):
        return _text(read_plain(own_file, limit_bytes=TEMPLATE_BYTES), own_file.name)
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named ones; "default" is for chat
        named = (t for t in template if isinstance(t, dict))
        template = next((t.get("template") for t in named if t.get("name") == "default"), None)
    if not isinstance(template, str) or not template:
        raise ConfigError(
            f"The model in {folder.name!r} has no chat template, so it cannot chat. Choose its instruction-tuned version, "
            "usually named ...-Instruct: homeroom models list",
            code="no-chat-template",
        )
    return template


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name!r} is no UTF-8 text. Fetch the model again: homeroom models pull NAME", code="model-files"
        ) from error


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


def read_tensors(folder: Path, passed_over: Collection[str] = ()) -> list[Tensor]:
    """All tensors of the safetensors files in ``folder`` but those ``passed_over``, in order of name; their values stay on disk.

    Raises:
        ConfigError: ``model-files`` when there is no safetensors file, a file is cut or lies about itself, a tensor is of an
            unexpected type, or two files hold one of the same name.
    """
    tensors = [
        Tensor(entry.name, entry.shape, entry.kind, path, entry.offset)
        for path in sorted(folder.glob("*.safetensors"))
        for entry in read_header(path, passed_over).entries
    ]
    if not tensors:
        raise ConfigError(
            f"No tensors in the *.safetensors files of {str(folder)!r}. Fetch the model again: homeroom models pull NAME",
            code="model-files",
        )
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise ConfigError(
            f"Two files of {str(folder)!r} hold a tensor of the same name. Fetch the model again: homeroom models pull NAME",
            code="model-files",
        )
    return sorted(tensors, key=lambda tensor: tensor.name)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a safetensors file carries beside its tensors.

    Raises:
        ConfigError: ``model-files`` when the file is cut or lies about itself.
    """
    return read_header(path).metadata
