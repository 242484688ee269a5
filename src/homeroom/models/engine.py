"""Keeps the embedded engine of one base running: starts it, replaces it when adapters come or go, restarts it when it dies.

    manager = EngineManager(base, home=home, spawn=spawn, adapters=lambda: registry_adapters)
    model = EngineChatModel(base.name, manager.ensure)

New adapters mean a new child: it is started beside the old one and takes over when it is ready, and the old one ends when it
has answered what it was asked. Nobody waits and no answer is cut. Several bases: `homeroom.models.engine_pool`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from homeroom.errors import ConflictError, ProviderError
from homeroom.models.engine_info import AdapterFile, EngineInfo, RunFile
from homeroom.models.engine_process import Engine, EngineOptions, Spawn, log_path, start_engine
from homeroom.schema.models import BaseFiles
from homeroom.storage.files import append_line

_STABLE_S = 60.0
_MAX_BACKOFF_S = 30.0
_NOTICED_S = 2.0


class EngineManager:
    """Owns the engine children of one base. Thread-safe; call `stop` at the end.

    Args:
        base: The model to serve.
        home: ``HOMEROOM_HOME`` or a folder of one's own: ``run/`` and ``logs/engine.log`` are used.
        spawn: `homeroom.runtime.spawn`.
        slots: Conversations at a time.
        context: Tokens of prompt plus reply in one conversation; at most what the base can do.
        threads: CPU threads; 0 means all cores.
        adapters: Asked at every start and refresh for the adapters that should be loaded, all of this base.
        drain_s: Longest time that a replaced engine may go on answering.
        announce: Where the running engine is named for other processes; None keeps it to this one.
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
        announce: RunFile | None = None,
    ) -> None:
        self.base = base
        self._home, self._spawn, self._adapters, self._announce = home, spawn, adapters, announce
        self._options = EngineOptions(slots, min(context, base.context_tokens), threads or os.cpu_count() or 1)
        self._drain_s = drain_s
        self._state = threading.Lock()  # guards what follows up to `_starting`, held for moments
        self._engine: Engine | None = None
        self._drains: list[threading.Thread] = []
        self._crashes = 0
        self._next_start = 0.0
        self._starting = threading.Lock()  # held while a child starts; taken before `_state`
        self._spoilt: set[AdapterFile] = set()  # only with `_starting`
        self._stopped = threading.Event()

    def ensure(self, failed: EngineInfo | None = None) -> EngineInfo:
        """The running engine; starts one when there is none or it has died.

        Args:
            failed: An engine that broke a connection: if it is the present one, it is given a moment to be seen dead.

        Raises:
            ProviderError: ``engine-down`` while it is not yet time to try again after a crash, ``engine-start`` when it does not
                start.
            ConflictError: ``base-mismatch``, ``engine-stopped``.
        """
        engine = self._alive()
        deadline = time.monotonic() + _NOTICED_S
        while engine is not None and failed is not None and engine.info.pid == failed.pid and time.monotonic() < deadline:
            time.sleep(0.01)
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

    def refresh(self, *, side_by_side: bool = True) -> EngineInfo:
        """The running engine with the adapters that are wanted now; replaces it when they changed.

        Args:
            side_by_side: Start the new one while the old one still answers. Where memory does not allow that, the old one first
                finishes what it was asked, and new requests wait.

        Raises:
            ProviderError: ``engine-start``; an old one that was still there goes on.
            ConflictError: ``base-mismatch``, ``engine-stopped``.
        """
        with self._starting:
            wanted = self._wanted()
            old = self._alive()
            if old is not None and old.files == wanted:
                return old.info
            if old is not None and not side_by_side:
                self._forget(old)
                old.drain(self._drain_s, self._stopped)
                old = None
            new = self._start(wanted)
            self._install(new)
        if old is not None:
            drain = threading.Thread(target=old.drain, args=(self._drain_s, self._stopped), name="engine-drain", daemon=True)
            with self._state:
                self._drains = [thread for thread in self._drains if thread.is_alive()] + [drain]
            drain.start()
        return new.info

    def running(self) -> EngineInfo | None:
        """The engine that runs now; starts none."""
        engine = self._alive()
        return engine.info if engine is not None else None

    def idle(self) -> bool:
        """Whether nothing is being computed."""
        engine = self._alive()
        return engine is None or engine.idle()

    def retire(self) -> None:
        """End it for good once it has answered what it was asked. New requests find it no more."""
        with self._starting:
            with self._state:
                engine, self._engine = self._engine, None
            if engine is not None:
                self._forget(engine)
                engine.drain(self._drain_s, self._stopped)
        self.stop()

    def stop(self) -> None:
        """End every child at once and name none any more."""
        self._stopped.set()
        with self._starting:
            with self._state:
                engine, self._engine, drains = self._engine, None, self._drains
            if engine is not None:
                self._forget(engine)
                engine.child.terminate(grace_s=2.0)
        for drain in drains:
            drain.join()

    def _alive(self) -> Engine | None:
        with self._state:
            engine = self._engine
            if engine is None or engine.alive:
                return engine
            self._engine = None
            lasted = time.time() - engine.info.started_at
            self._crashes = 1 if lasted > _STABLE_S else self._crashes + 1
            # The first restart is immediate; an engine that keeps dying is tried less and less often.
            pause = 0.0 if self._crashes == 1 else min(_MAX_BACKOFF_S, 2.0 ** (self._crashes - 2))
            self._next_start = time.monotonic() + pause
        self._forget(engine)
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
            if file.base_identity != self.base.identity:
                raise ConflictError(
                    f"The adapter {file.name!r} was made for the base {file.base_identity[:16]!r}, and {self.base.name!r} here"
                    f" is {self.base.identity[:16]!r}. Tune it again on this base: homeroom tune run --base {self.base.name}",
                    code="base-mismatch",
                )
        return tuple(file for file in files if file not in self._spoilt and self._is_gguf(file))

    def _is_gguf(self, file: AdapterFile) -> bool:
        """Whether the file is there: a lost adapter is left out, and refused when asked for, so that all others can be served."""
        with contextlib.suppress(OSError), file.path.open("rb") as stream:
            if stream.read(4) == b"GGUF":
                return True
        self._note(f"left out: the adapter {file.name!r} has no GGUF file at {str(file.path)!r}")
        return False

    @property
    def _log(self) -> Path:
        return log_path(self._home)

    def _note(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep an engine from starting
            append_line(self._log, line)

    def _start(self, files: tuple[AdapterFile, ...]) -> Engine:
        try:
            return self._start_with(files)
        except ProviderError:
            if not files or self._stopped.is_set():
                raise
        # One of the adapters, or the base itself? Without any it is the base's fault, and that error is raised.
        self._start_with(()).child.terminate(grace_s=2.0)
        for file in files:
            try:
                self._start_with((file,)).child.terminate(grace_s=2.0)
            except ProviderError:
                self._spoilt.add(file)
                self._note(f"left out: the engine does not start with the adapter {file.name!r} at {str(file.path)!r}")
        return self._start_with(tuple(file for file in files if file not in self._spoilt))

    def _start_with(self, files: tuple[AdapterFile, ...]) -> Engine:
        if self._stopped.is_set():
            raise ConflictError("This engine was stopped. Start the server again: homeroom serve", code="engine-stopped")
        return start_engine(self.base, files, self._options, home=self._home, spawn=self._spawn, stopped=self._stopped)

    def _install(self, engine: Engine) -> None:
        with self._state:
            self._engine = engine
        if self._announce is not None:
            self._announce.put(engine.info)

    def _forget(self, engine: Engine) -> None:
        with self._state:
            if self._engine is engine:
                self._engine = None
        if self._announce is not None:
            self._announce.drop(engine.info)
