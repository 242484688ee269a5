"""The embedded engine of a home: the running one if there is one, otherwise one of our own for as long as it is needed."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.errors import ProviderError
from homeroom.models.engine import EngineManager
from homeroom.models.engine_info import AdapterFile, EngineInfo, find_running, read_info
from homeroom.runtime import spawn
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

MAX_ADAPTERS = 12
MAX_COPIES = 4
COPIES_BELOW_BYTES = 600_000_000
SWITCH_TIMEOUT_S = 60.0


def adapters_of(home: Homeroom, base: BaseFiles, wanted: Collection[str] = ()) -> list[AdapterFile]:
    """The adapters of ``base`` that an engine should hold: those ``wanted`` by name or in use, then the newest ones."""
    models = [m for m in home.registry.list() if m.kind == "lora" and m.base_identity == base.identity]
    first = {*wanted} | {name for task in ("tutor", "learner") if (name := home.registry.route(task))}
    models.sort(key=lambda m: (m.name not in first, -m.created_at))
    return [AdapterFile(m.name, home.artifacts.path(m.artifact) / "adapter.gguf", m.base_identity) for m in models[:MAX_ADAPTERS]]


def make_manager(
    home: Homeroom, base: BaseFiles, *, threads: int = 0, folder: Path | None = None, wanted: Collection[str] = ()
) -> EngineManager:
    """An engine manager for ``base`` with the home's settings.

    Args:
        home: The open home.
        base: The model to serve.
        threads: 0 takes the settings' number.
        folder: Where the engine says that it runs; the home itself, where every command finds it, when None.
        wanted: Adapters that it must hold, however old.
    """
    settings = home.settings
    return EngineManager(
        base,
        home=folder or settings.home,
        spawn=spawn,
        slots=settings.engine_slots,
        context=settings.engine_context,
        threads=threads or settings.threads or engine_threads(),
        adapters=lambda: adapters_of(home, base, wanted),
    )


def engine_threads() -> int:
    """All cores but one.

    The engine's threads wait for each other at every layer, spinning: with one thread for each core, a busy neighbour slowed
    replies about twentyfold on two cores (40 tokens in 38 s against 1.8 s with one thread fewer).
    """
    return max(1, (os.cpu_count() or 2) - 1)


@contextmanager
def engine(
    home: Homeroom, base: BaseFiles, *, batch: bool = False, wanted: Collection[str] = ()
) -> Iterator[Callable[[], EngineInfo]]:
    """A way to the engine: yields what resolves it at each request. An engine started here ends with the block.

    Args:
        home: The open home.
        base: The model to serve.
        batch: Many answers are wanted and nobody waits for a single one: engines of one thread each side by side, asked in
            turn. Of a small model they answer more in all than one engine whose threads wait for each other.
        wanted: Adapters that will be asked for.
    """
    running = find_running(home.settings.home)
    if running is not None and running.identity == base.identity:
        yield lambda: _running_or_raise(home)
        return
    cores = home.settings.threads or os.cpu_count() or 1
    copies = min(cores, MAX_COPIES) if batch and base.gguf.stat().st_size < COPIES_BELOW_BYTES else 1
    # Not announced in the home: another command would take it for the server's, and lose it when this one ends.
    own = home.settings.home / "run" / "own"
    threads = max(1, cores // copies) if copies > 1 else 0
    managers = [make_manager(home, base, threads=threads, folder=own, wanted=wanted) for _ in range(copies)]
    turn = itertools.cycle(managers)
    lock = threading.Lock()

    def next_engine() -> EngineInfo:
        with lock:
            manager = next(turn)
        return manager.ensure()

    try:
        for manager in managers:
            manager.ensure()
        yield next_engine
    finally:
        for manager in managers:
            manager.stop()


def _running_or_raise(home: Homeroom) -> EngineInfo:
    info = find_running(home.settings.home)
    if info is None:
        raise ProviderError(
            "The engine is not running. Start it with: homeroom serve", code="engine-down", status=503, retry_after_s=2
        )
    return info


def resolve_running(home: Homeroom, adapter: str | None = None, timeout_s: float = SWITCH_TIMEOUT_S) -> EngineInfo:
    """The server's engine; waits a while for one that is starting, or has just been told of a new ``adapter``.

    Raises:
        NotFoundError: code ``not-pulled``: there is no engine because its base model is not here.
        ProviderError: code ``engine-down`` when there is none in time.
    """
    deadline = time.monotonic() + timeout_s
    if read_info(home.settings.home) is None:
        home.base_files()  # without it no engine will ever start: waiting would only hide why
    while True:
        # The file alone, without a probe: the request itself finds out whether the engine is alive, and asks again if not.
        info = read_info(home.settings.home)
        ready = info is not None and (adapter is None or adapter in info.adapters)
        if (ready and info is not None) or time.monotonic() > deadline:
            return info if info is not None else _running_or_raise(home)
        time.sleep(0.1)
