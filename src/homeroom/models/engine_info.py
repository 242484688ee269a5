"""Where the running engine is: ``<home>/run/engine.json``, readable by its owner only because it holds the engine's key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from homeroom.models.prepared import write_atomic

_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter that the engine should load: the tuned model's name, its GGUF LoRA, and the identity of its base."""

    name: str
    path: Path
    base_identity: str


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """A running engine.

    Attributes:
        base: Name of the base model that it serves.
        identity: Identity of that base.
        url: ``http://127.0.0.1:PORT``.
        key: What it asks for as bearer token. Never shown.
        pid: Of the process that hosts it.
        adapters: Tuned model's name to its number in this engine; numbers differ between engines.
        context_tokens: Prompt plus reply of one conversation.
        slots: Conversations at a time.
        started_at: Unix seconds.
    """

    base: str
    identity: str
    url: str
    key: str = field(repr=False)
    pid: int
    adapters: Mapping[str, int]
    context_tokens: int
    slots: int
    started_at: float


def info_path(home: Path) -> Path:
    """The file that names the running engine of ``home``."""
    return home / "run" / "engine.json"


def write_info(home: Path, info: EngineInfo) -> None:
    """Name ``info`` as the running engine of ``home``."""
    write_atomic(info_path(home), json.dumps({**asdict(info), "adapters": dict(info.adapters)}), mode=0o600)


def remove_info(home: Path, pid: int) -> None:
    """Forget the engine of ``home`` if it is the one with ``pid``."""
    found = read_info(home)
    if found is not None and found.pid == pid:
        info_path(home).unlink(missing_ok=True)


def read_info(home: Path) -> EngineInfo | None:
    """What the file says, whether or not that engine still runs; None when there is none or it is damaged."""
    try:
        record = json.loads(info_path(home).read_text(encoding="utf-8"))
        return EngineInfo(**record)
    except (OSError, ValueError, TypeError):
        return None


def find_running(home: Path) -> EngineInfo | None:
    """The engine of ``home``, if it is alive and answers to its key."""
    info = read_info(home)
    if info is None or not _exists(info.pid):
        return None
    import httpx

    try:
        answer = httpx.get(
            f"{info.url}/v1/models", headers={"Authorization": f"Bearer {info.key}"}, timeout=_PROBE_S, trust_env=False
        )
    except httpx.HTTPError:
        return None
    return info if answer.status_code == httpx.codes.OK else None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
