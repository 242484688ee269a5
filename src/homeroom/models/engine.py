"""Keeps the embedded engine running: starts it, replaces it when adapters come or go, restarts it when it dies.

    manager = EngineManager(base, home=home, spawn=spawn, adapters=lambda: registry_adapters)
    model = EngineChatModel(base.name, manager.ensure)

A new adapter means a new child: it is started beside the old one and takes over when it is ready, and the old one ends when it
has answered what it was asked. Nobody waits and no answer is cut.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from homeroom.errors import ConflictError, ProviderError
from homeroom.models.engine_info import AdapterFile, EngineInfo, remove_info, write_info
from homeroom.models.folder import read_json
from homeroom.models.prepared import write_atomic
from homeroom.schema.models import BaseFiles

_POLL_S = 0.02
_READY_S = 300.0
_STABLE_S = 60.0
_MAX_BACKOFF_S = 30.0


class ChildProcess(Protocol):
    """What `homeroom.runtime.spawn` returns."""

    pid: int

    def poll(self) -> int | None:
        """Exit status, None while it runs."""

    def terminate(self, grace_s: float = 5.0) -> int | None:
        """End it."""


class Spawn(Protocol):
    """`homeroom.runtime.spawn`."""

    def __call__(self, argv: Sequence[str], *, stdout: Path | None = None) -> ChildProcess:
        """Start a child that ends with this process."""


@dataclass(frozen=True, slots=True)
class _Engine:
    info: EngineInfo
    child: ChildProcess
    files: tuple[AdapterFile, ...]


class EngineManager:
    """Owns the engine children of one home. Thread-safe; call `stop` at the end.

    Args:
        base: The model to serve.
        home: ``HOMEROOM_HOME``: ``run/engine.json`` and ``logs/engine.log`` are written there.
        spawn: `homeroom.runtime.spawn`.
        slots: Conversations at a time.
        context: Tokens of prompt plus reply in one conversation; at most what the base can do.
        threads: CPU threads; 0 means all cores.
        adapters: Asked at every start and refresh for the adapters that should be loaded, all of this base.
        drain_s: Longest time that a replaced engine may go on answering.
    """

    def __init__(
        self,
        base: BaseFiles,
        *,
        home: Path,
        spawn: Spawn,
        slots: int = 4,
        context: int = 2048,
        threads: int = 0,
        adapters: Callable[[], Sequence[AdapterFile]] = tuple,
        drain_s: float = 120.0,
    ) -> None:
        self._base, self._home, self._spawn, self._adapters = base, home, spawn, adapters
        self._slots, self._context = slots, min(context, base.context_tokens)
        self._threads = threads or os.cpu_count() or 1
        self._drain_s = drain_s
        self._state = threading.Lock()  # guards the four below, held for moments
        self._starting = threading.Lock()  # held while a child starts; taken before `_state`
        self._engine: _Engine | None = None
        self._drains: list[threading.Thread] = []
        self._crashes = 0
        self._next_start = 0.0
        self._stopped = threading.Event()

    def ensure(self) -> EngineInfo:
        """The running engine; starts one when there is none or it has died.

        Raises:
            ProviderError: ``engine-down`` while it is not yet time to try again after a crash, ``engine-start`` when it does not
                start.
            ConflictError: ``base-mismatch``.
        """
        engine = self._alive()
        if engine is not None:
            return engine.info
        with self._starting:
            engine = self._alive()
            if engine is None:
                self._wait_allowed()
                engine = self._start(self._wanted())
                self._install(engine)
            return engine.info

    def refresh(self) -> EngineInfo:
        """The running engine with the adapters that are wanted now; replaces it when they changed."""
        with self._starting:
            wanted = self._wanted()
            old = self._alive()
            if old is not None and old.files == wanted:
                return old.info
            new = self._start(wanted)
            self._install(new)
        if old is not None:
            drain = threading.Thread(target=self._drain, args=(old,), name="engine-drain", daemon=True)
            with self._state:
                self._drains = [thread for thread in self._drains if thread.is_alive()] + [drain]
            drain.start()
        return new.info

    def stop(self) -> None:
        """End every child and forget ``run/engine.json``."""
        self._stopped.set()
        with self._starting:
            with self._state:
                engine, self._engine, drains = self._engine, None, self._drains
            if engine is not None:
                remove_info(self._home, engine.info.pid)
                engine.child.terminate(grace_s=2.0)
        for drain in drains:
            drain.join()

    def _alive(self) -> _Engine | None:
        with self._state:
            engine = self._engine
            if engine is None or engine.child.poll() is None:
                return engine
            self._engine = None
            lasted = time.time() - engine.info.started_at
            self._crashes = 1 if lasted > _STABLE_S else self._crashes + 1
            # The first restart is immediate; an engine that keeps dying is tried less and less often.
            pause = 0.0 if self._crashes == 1 else min(_MAX_BACKOFF_S, 2.0 ** (self._crashes - 2))
            self._next_start = time.monotonic() + pause
        remove_info(self._home, engine.info.pid)
        return None

    def _wait_allowed(self) -> None:
        left = self._next_start - time.monotonic()
        if left > 0:
            raise ProviderError(
                f"The engine ended {self._crashes} times in a row; it will be started again in {left:.0f} s. Its last words are"
                f" in {str(self._log)!r}. Check the memory: homeroom doctor",
                code="engine-down",
                status=503,
                retry_after_s=left,
            )

    def _wanted(self) -> tuple[AdapterFile, ...]:
        files = tuple(sorted(self._adapters(), key=lambda file: file.name))
        for file in files:
            if file.base_identity != self._base.identity:
                raise ConflictError(
                    f"The adapter {file.name!r} was made for the base {file.base_identity[:16]!r}, and {self._base.name!r} here"
                    f" is {self._base.identity[:16]!r}. Tune it again on this base: homeroom tune run --base {self._base.name}",
                    code="base-mismatch",
                )
        return tuple(file for file in files if self._is_gguf(file))

    def _is_gguf(self, file: AdapterFile) -> bool:
        """Whether the file is there: a lost adapter is left out, and refused when asked for, so that all others can be served."""
        with contextlib.suppress(OSError), file.path.open("rb") as stream:
            if stream.read(4) == b"GGUF":
                return True
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"left out: the adapter {file.name!r} has no GGUF file at {str(file.path)!r}\n")
        return False

    @property
    def _log(self) -> Path:
        return self._home / "logs" / "engine.log"

    def _start(self, files: tuple[AdapterFile, ...]) -> _Engine:
        if self._stopped.is_set():
            raise ConflictError("This engine was stopped. Start the server again: homeroom serve", code="engine-stopped")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        tag, key = secrets.token_hex(6), secrets.token_urlsafe(32)
        config, report = (self._home / "run" / f"engine-{tag}.{kind}.json" for kind in ("config", "report"))
        record = {
            "gguf": str(self._base.gguf),
            "alias": self._base.name,
            "adapters": [str(file.path) for file in files],
            "slots": self._slots,
            "context": self._context,
            "threads": self._threads,
            "key": key,
            "report": str(report),
        }
        write_atomic(config, json.dumps(record), mode=0o600)
        started_at = time.time()
        child = self._spawn([sys.executable, "-m", "homeroom.models.engine_child", str(config)], stdout=self._log)
        try:
            ready = self._await_report(child, report)
        finally:
            config.unlink(missing_ok=True)
            report.unlink(missing_ok=True)
        info = EngineInfo(
            base=self._base.name,
            identity=self._base.identity,
            url=str(ready["url"]),
            key=key,
            pid=int(str(ready["pid"])),
            adapters={file.name: index for index, file in enumerate(files)},
            context_tokens=self._context,
            slots=self._slots,
            started_at=started_at,
        )
        return _Engine(info, child, files)

    def _await_report(self, child: ChildProcess, report: Path) -> dict[str, object]:
        deadline = time.monotonic() + _READY_S
        while not report.exists():
            if child.poll() is not None or time.monotonic() > deadline or self._stopped.is_set():
                child.terminate(grace_s=1.0)
                raise self._start_error("it ended" if not self._stopped.is_set() else "it was stopped")
            time.sleep(_POLL_S)
        ready = read_json(report)
        if "error" in ready:
            child.terminate(grace_s=1.0)
            raise self._start_error(str(ready["error"]))
        return ready

    def _start_error(self, reason: str) -> ProviderError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        last = next((line for line in reversed(lines) if line.strip()), "nothing")
        return ProviderError(
            f"The engine did not start with {self._base.name!r} ({reason}; its last line: {last[:200]!r}). The log is"
            f" {str(self._log)!r}. Check memory and files: homeroom doctor",
            code="engine-start",
            status=503,
        )

    def _install(self, engine: _Engine) -> None:
        with self._state:
            self._engine = engine
        write_info(self._home, engine.info)

    def _drain(self, engine: _Engine) -> None:
        """End a replaced engine once it is idle, twice in a row because a request may be on its way."""
        deadline = time.monotonic() + self._drain_s
        idle = 0
        while idle < 2 and time.monotonic() < deadline and engine.child.poll() is None:
            if self._stopped.wait(0.5):
                break
            idle = idle + 1 if _is_idle(engine.info) else 0
        engine.child.terminate(grace_s=2.0)


def _is_idle(info: EngineInfo) -> bool:
    with contextlib.suppress(httpx.HTTPError, ValueError):
        answer = httpx.get(f"{info.url}/slots", headers={"Authorization": f"Bearer {info.key}"}, timeout=5.0, trust_env=False)
        return answer.status_code == httpx.codes.OK and not any(slot["is_processing"] for slot in answer.json())
    return False
