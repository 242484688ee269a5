"""The embedded engines of a home: those of the running server if there is one, otherwise one of our own while it is needed."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from homeroom.app.fine_tuning.checkpoints import CheckpointStore
from homeroom.app.own_weights import own_files, own_identity
from homeroom.errors import ConflictError, NotFoundError, ProviderError
from homeroom.models import prepared
from homeroom.models.engine import EngineManager
from homeroom.models.engine_desk import ask_desk
from homeroom.models.engine_info import AdapterFile, EngineInfo, RunFile, find_running, is_process, read_running
from homeroom.models.engine_memory import Need, engine_need, mb
from homeroom.models.engine_use import last_use, mark_use
from homeroom.runtime import spawn
from homeroom.runtime.hardware import hardware
from homeroom.schema.models import BaseFiles

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

TASKS = ("tutor", "learner")
MAX_COPIES = 4
COPIES_BELOW_BYTES = 600_000_000
READY_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 330.0
MEMORY_SHARE = 0.5


class Resolve(Protocol):
    """Gives the engine that serves a base."""

    def __call__(self, identity: str = "", adapter: str | None = None, failed: EngineInfo | None = None) -> EngineInfo:
        """The engine of the base ``identity`` (empty: of the only base there is) that has ``adapter`` loaded.

        ``failed`` is an engine that has just broken a connection.
        """


def adapters_of(home: Homeroom, base: BaseFiles, wanted: Collection[str] = ()) -> list[AdapterFile]:
    """The adapters of ``base`` that an engine should hold.

    Those ``wanted`` by name and those that pages use come first, then those that were made or asked for last.
    """
    models = [m for m in home.registry.list() if m.kind == "lora" and m.base_identity == base.identity]
    first = {*wanted, *(name for task in TASKS if (name := home.registry.route(task)))}
    known = [(m.name, m.artifact, max(m.created_at, last_use(home.settings.home, m.name))) for m in models]
    known += _checkpoints(home, base, wanted)
    known.sort(key=lambda entry: (entry[0] not in first, -entry[2]))
    held = known[: home.settings.engine_adapters]
    return [AdapterFile(name, home.artifacts.path(artifact) / "adapter.gguf", base.identity) for name, artifact, _ in held]


def _checkpoints(home: Homeroom, base: BaseFiles, wanted: Collection[str]) -> Iterator[tuple[str, str, float]]:
    """Name, artifact and last use of each checkpoint that somebody has asked for: a run makes more than anybody ever asks."""
    for checkpoint in CheckpointStore(home.database, home.artifacts).all():
        used = last_use(home.settings.home, checkpoint.model_name)
        if checkpoint.base_identity == base.identity and (used or checkpoint.model_name in wanted):
            yield checkpoint.model_name, checkpoint.artifact, used


def make_manager(
    home: Homeroom,
    base: BaseFiles,
    *,
    threads: int = 0,
    folder: Path | None = None,
    wanted: Collection[str] = (),
    announce: RunFile | None = None,
) -> EngineManager:
    """An engine manager for ``base`` with the home's settings.

    Args:
        home: The open home.
        base: The model to serve.
        threads: 0 takes the settings' number.
        folder: Where its log and its passing files go; the home itself when None.
        wanted: Adapters that it must hold, however old.
        announce: Where it is named for other processes; None keeps it to this one.
    """
    settings = home.settings
    return EngineManager(
        _served(home, base),
        home=folder or settings.home,
        spawn=spawn,
        slots=settings.engine_slots,
        context=settings.engine_context,
        threads=threads or settings.threads or engine_threads(),
        adapters=lambda: adapters_of(home, base, wanted),
        announce=announce,
    )


def _served(home: Homeroom, base: BaseFiles) -> BaseFiles:
    """The base with the engine's file in the settings' number format; an embedding model has one only."""
    if base.purpose == "embedding":
        return base
    return prepared.engine_file(base, home.settings.cache, home.settings.engine_weights)


def engine_threads() -> int:
    """All cores but one.

    The engine's threads wait for each other at every layer, spinning: with one thread for each core, a busy neighbour slowed
    replies about twentyfold on two cores (40 tokens in 38 s against 1.8 s with one thread fewer).
    """
    return max(1, (os.cpu_count() or 2) - 1)


def memory_need(home: Homeroom, base: BaseFiles) -> Need:
    """What serving ``base`` takes with the home's settings and the adapters that it should hold now."""
    settings = home.settings
    adapters = adapters_of(home, base)
    return engine_need(
        _served(home, base),
        slots=settings.engine_slots,
        context=settings.engine_context,
        adapters=adapters,
        quantisation=settings.engine_weights,
    )


def memory_budget(home: Homeroom) -> int:
    """Bytes that all engines of the home may take together: the setting, else half of the machine's memory."""
    return home.settings.engine_memory_mb * 1_000_000 or int(hardware().memory_bytes * MEMORY_SHARE)


def lacks_memory(home: Homeroom, base: BaseFiles, need: Need) -> str:
    """Why an engine for ``base`` would not be started: it does not fit. With what to change; empty where it would be."""
    budget = memory_budget(home)
    if need.total <= budget:
        return ""
    return (
        f"{base.name!r} needs {need} to answer here, and an engine may take {mb(budget)}. Lower engine_context or engine_slots, "
        "raise engine_memory_mb (see config.yaml in the home), or choose a smaller base: homeroom models list --bases"
    )


def base_of(home: Homeroom, identity: str) -> BaseFiles:
    """The files of the base, of the embedding model, or of the tuned model with weights of its own, that has that identity.

    Raises:
        NotFoundError: no base here has it (``base-not-here``).
    """
    cache = home.settings.cache
    here_now = [*prepared.all_bases(cache), *prepared.all_bases(cache, "embedding")]
    found = next((base for base in here_now if base.identity == identity), None) or _own_weights(home, identity)
    if found is None:
        here = ", ".join(base.name for base in here_now) or "none"
        raise NotFoundError(
            f"No base model here has the identity {identity[:16]!r} (here: {here}). Fetch the one it was tuned on:"
            " homeroom models pull NAME",
            code="base-not-here",
        )
    return found


def _own_weights(home: Homeroom, identity: str) -> BaseFiles | None:
    whole = (model for model in home.registry.list() if model.kind == "full")
    return next((own_files(home, model) for model in whole if own_identity(model) == identity), None)


@contextmanager
def engine(home: Homeroom, base: BaseFiles, *, batch: bool = False, wanted: Collection[str] = ()) -> Iterator[Resolve]:
    """A way to the engine: yields what resolves it at each request. An engine started here ends with the block.

    Args:
        home: The open home.
        base: The model to serve.
        batch: Many answers are wanted and nobody waits for a single one: engines of one thread each side by side, asked in
            turn. Of a small model they answer more in all than one engine whose threads wait for each other.
        wanted: Adapters that will be asked for.

    Raises:
        ConflictError: ``engine-memory`` when the base does not fit.
    """
    if find_running(home.settings.home, base.identity) is not None:
        yield lambda identity="", adapter=None, failed=None: resolve_running(home, identity or base.identity, adapter, failed)
        return
    need, budget = memory_need(home, base), memory_budget(home)
    if told := lacks_memory(home, base, need):
        raise ConflictError(told, code="engine-memory")
    cores = home.settings.threads or os.cpu_count() or 1
    small = batch and base.gguf.stat().st_size < COPIES_BELOW_BYTES
    copies = max(1, min(cores, MAX_COPIES, budget // need.total)) if small else 1
    # Not announced in the home: another command would take it for the server's, and lose it when this one ends.
    own = home.settings.home / "run" / "own"
    threads = max(1, cores // copies) if copies > 1 else 0
    managers = [make_manager(home, base, threads=threads, folder=own, wanted=wanted) for _ in range(copies)]
    turn = itertools.cycle(managers)
    lock = threading.Lock()

    def next_engine(identity: str = "", adapter: str | None = None, failed: EngineInfo | None = None) -> EngineInfo:
        if identity not in ("", base.identity):
            raise _not_served(home, base, identity)
        with lock:
            manager = next(turn)
        return manager.ensure(failed)

    try:
        for manager in managers:
            manager.ensure()
        yield next_engine
    finally:
        for manager in managers:
            manager.stop()


def _not_served(home: Homeroom, base: BaseFiles, identity: str) -> ConflictError:
    name = base_of(home, identity).name
    return ConflictError(
        f"This command's engine serves {base.name!r} only, and {name!r} was asked for. Ask a server, which serves all: "
        "homeroom serve",
        code="base-not-served",
    )


def server_runs(home: Homeroom) -> bool:
    """Whether a server of this home runs, whose engines can be asked for."""
    desk = read_running(home.settings.home).desk
    return desk is not None and is_process(desk.pid)


def resolve_running(
    home: Homeroom,
    identity: str,
    adapter: str | None = None,
    failed: EngineInfo | None = None,
    timeout_s: float = READY_TIMEOUT_S,
) -> EngineInfo:
    """The server's engine for a base, with an adapter loaded; the server loads what it does not hold yet.

    Args:
        home: The open home.
        identity: Of the base.
        adapter: Name of a tuned model; None for the base alone.
        failed: An engine that has just broken a connection.
        timeout_s: How long a server that is starting is waited for.

    Raises:
        NotFoundError: ``base-not-here``, ``adapter-not-loaded``.
        ConflictError: ``engine-memory``: it does not fit.
        ProviderError: ``engine-down`` when there is no server in time, ``engine-start``.
    """
    folder = home.settings.home
    mark_use(folder, identity, *([adapter] if adapter else []))
    deadline = time.monotonic() + timeout_s
    while True:
        # The file alone, without a probe: the request itself finds out whether the engine is alive.
        running = read_running(folder)
        info = running.engine(identity)
        if info is not None and failed is None and (adapter is None or adapter in info.adapters):
            return info
        if running.desk is not None:
            found = ask_desk(running.desk, identity, adapter, failed, timeout_s=LOAD_TIMEOUT_S)
            if found is not None:
                return found
        if time.monotonic() > deadline or (failed is not None and not server_runs(home)):
            raise ProviderError(
                "The engine is not running. Start it with: homeroom serve", code="engine-down", status=503, retry_after_s=2
            )
        time.sleep(0.1)
