"""Checkpoints that are whole or not there: written aside, flushed, renamed; a torn one is recognised by its hashes and skipped.

In ``step-000040/``: ``adapter``, ``optimiser``, ``rng`` and, once there is one, ``best`` as safetensors; ``state.json`` with
step, tokens, history and everything else that is not a tensor; ``manifest.json`` with the SHA-256 of each file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.storage.errors import disk_errors
from homeroom.storage.files import make_private_folder, sync_folder, write_atomically

State = dict[str, Any]  # JSON
_MANIFEST, _STATE, _PREFIX, _REPLACED = "manifest.json", "state.json", "step-", ".replaced-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One whole checkpoint, read. ``tensors`` maps a file's stem to its tensors."""

    path: Path
    state: State
    tensors: Mapping[str, dict[str, torch.Tensor]]


def save(folder: Path, step: int, state: State, tensors: Mapping[str, Mapping[str, torch.Tensor]], keep: int) -> Path:
    """Write ``folder/step-<step>`` so that it is there whole or not at all, then delete all but the newest ``keep``.

    Raises:
        StorageError: ``no-space``; what was saved before is still there.
    """
    from safetensors.torch import save as to_bytes

    files = {f"{stem}.safetensors": to_bytes(dict(named)) for stem, named in tensors.items() if named}
    files[_STATE] = json.dumps(state, indent=1).encode()
    files[_MANIFEST] = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, indent=1).encode()
    target = folder / f"{_PREFIX}{step:06d}"
    with disk_errors(folder):
        make_private_folder(folder)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".writing-"))
        try:
            for name, data in files.items():
                write_atomically(temporary / name, data)
            if target.exists():  # kept under another name until the new one is there: it may be the only whole one
                shutil.rmtree(folder / f"{_REPLACED}{target.name}", ignore_errors=True)
                target.rename(folder / f"{_REPLACED}{target.name}")
            temporary.rename(target)
            sync_folder(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _prune(folder, target, keep)
    return target


def newest_whole(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are all as its manifest says; None when there is none."""
    found = [*folder.glob(f"{_PREFIX}*"), *folder.glob(f"{_REPLACED}{_PREFIX}*")]
    for path in sorted(found, key=lambda path: (path.name.removeprefix(_REPLACED), path.name), reverse=True):
        files = _whole(path)
        if files is not None:
            return _read(path, files)
    return None


def _whole(path: Path) -> dict[str, bytes] | None:
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        files = {name: (path / name).read_bytes() for name in manifest}
    except (OSError, ValueError):
        return None
    right = all(hashlib.sha256(files[name]).hexdigest() == digest for name, digest in manifest.items())
    return files if right and _STATE in files else None


def _read(path: Path, files: Mapping[str, bytes]) -> Checkpoint:
    from safetensors.torch import load

    tensors = {Path(name).stem: load(data) for name, data in files.items() if name.endswith(".safetensors")}
    return Checkpoint(path, json.loads(files[_STATE]), tensors)


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Later steps than the one just written are torn: the run resumed before them."""
    saved = sorted(folder.glob(f"{_PREFIX}*"))
    wanted = [path for path in saved if path <= newest][-keep:]
    for path in [*(p for p in saved if p not in wanted), *folder.glob(".writing-*"), *folder.glob(f"{_REPLACED}*")]:
        shutil.rmtree(path, ignore_errors=True)
