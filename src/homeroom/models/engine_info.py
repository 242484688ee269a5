"""Where the running engines are: ``<home>/run/engine.json``, readable by its owner only because it holds the engines' keys.

    {"desk": {"url": ..., "key": ..., "pid": ...}, "engines": [{"base": ..., "identity": ..., ...}, ...]}

`RunFile` is the writer's side and belongs to the one process that holds the home's lock; everybody else reads.
"""

from __future__ import annotations

import json
import os
import threading
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

    def to_dict(self) -> dict[str, object]:
        """As JSON takes it, key included."""
        return {**asdict(self), "adapters": dict(self.adapters)}


@dataclass(frozen=True, slots=True)
class DeskInfo:
    """Where engines are asked for: see `homeroom.models.engine_desk`. ``pid`` is that of the process that owns the engines."""

    url: str
    key: str = field(repr=False)
    pid: int


@dataclass(frozen=True, slots=True)
class Running:
    """What the file says, whether or not all of it still runs."""

    desk: DeskInfo | None = None
    engines: tuple[EngineInfo, ...] = ()

    def engine(self, identity: str | None = None) -> EngineInfo | None:
        """The engine of that base; the first one when no base is named."""
        return next((info for info in self.engines if identity in (None, info.identity)), None)


class RunFile:
    """Writes the file of ``home``: one engine for each base, and the desk. Thread-safe.

    What finds no room on the disk is written at the next call, whichever it is: call `sync` from time to time.

    Args:
        home: ``HOMEROOM_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self._path = info_path(home)
        self._lock = threading.Lock()
        self._desk: DeskInfo | None = None
        self._engines: dict[str, EngineInfo] = {}
        self._unwritten = False

    def sync(self) -> None:
        """Write what could not be written before."""
        with self._lock:
            if self._unwritten:
                self._write()

    def open(self, desk: DeskInfo) -> None:
        """Name the desk; what an earlier process left is forgotten."""
        for half in self._path.parent.glob(f".{self._path.name}-*"):
            half.unlink(missing_ok=True)
        with self._lock:
            self._desk = desk
            self._write()

    def put(self, info: EngineInfo) -> None:
        """Name ``info`` as the engine of its base from now on."""
        with self._lock:
            self._engines[info.identity] = info
            self._write()

    def drop(self, info: EngineInfo) -> None:
        """Forget ``info`` if it is still what is named for its base."""
        with self._lock:
            if self._engines.get(info.identity) == info:
                del self._engines[info.identity]
                self._write()

    def close(self) -> None:
        """Forget everything: nothing runs any more."""
        with self._lock:
            self._desk, self._engines = None, {}
            self._write()

    def _write(self) -> None:
        if self._desk is None and not self._engines:
            self._path.unlink(missing_ok=True)
            return
        record = {
            "desk": asdict(self._desk) if self._desk else None,
            "engines": [info.to_dict() for info in self._engines.values()],
        }
        try:
            write_atomic(self._path, json.dumps(record), mode=0o600)
            self._unwritten = False
        except OSError:
            self._unwritten = True


def info_path(home: Path) -> Path:
    """The file that names the running engines of ``home``."""
    return home / "run" / "engine.json"


def read_running(home: Path) -> Running:
    """What the file says; nothing when there is none or it is damaged."""
    try:
        record = json.loads(info_path(home).read_text(encoding="utf-8"))
        desk = DeskInfo(**record["desk"]) if record["desk"] else None
        return Running(desk, tuple(EngineInfo(**engine) for engine in record["engines"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Running()


def read_info(home: Path, identity: str | None = None) -> EngineInfo | None:
    """The engine that the file names for a base (any base when None), whether or not it still runs."""
    return read_running(home).engine(identity)


def find_running(home: Path, identity: str | None = None) -> EngineInfo | None:
    """The engine of ``home`` for a base (any base when None), if it is alive and answers to its key."""
    info = read_info(home, identity)
    if info is None or not is_process(info.pid):
        return None
    import httpx

    try:
        answer = httpx.get(
            f"{info.url}/v1/models", headers={"Authorization": f"Bearer {info.key}"}, timeout=_PROBE_S, trust_env=False
        )
    except httpx.HTTPError:
        return None
    return info if answer.status_code == httpx.codes.OK else None


def is_process(pid: int) -> bool:
    """Whether a process has that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
