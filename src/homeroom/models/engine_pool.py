"""Engines of several bases within a budget of memory: loaded when they are asked for, unloaded when nobody asks.

The base that was asked for longest ago makes room first; those that are pinned go last. What a load will need is computed and
compared before anything is loaded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from homeroom.errors import ConflictError, HomeroomError, NotFoundError
from homeroom.models.engine import EngineManager
from homeroom.models.engine_info import EngineInfo
from homeroom.models.engine_memory import Need, mb
from homeroom.schema.models import BaseFiles


@dataclass(slots=True)
class _Held:
    manager: EngineManager
    need: Need
    loaded_at: float

    @property
    def identity(self) -> str:
        return self.manager.base.identity


class EnginePool:
    """Owns the engines of one home. Thread-safe; call `stop` at the end.

    Args:
        find: Identity of a base to its files; raises NotFoundError.
        make: A manager for a base.
        need: What serving a base takes, with the adapters that it should hold now.
        budget_bytes: What all engines may take together.
        idle_s: Seconds without a question after which a base is unloaded that is not pinned; 0 never.
        used: Identity to Unix seconds of its last use.
        want: Told a base and the adapter that is asked for, just before the base's manager looks which ones to load: whatever
            else is asked for meanwhile, this one must be among them.
        pinned: Identities that stay although they are idle, and make room last.
        say: Told what is loaded and unloaded, one line at a time.
    """

    def __init__(
        self,
        find: Callable[[str], BaseFiles],
        make: Callable[[BaseFiles], EngineManager],
        need: Callable[[BaseFiles], Need],
        *,
        budget_bytes: int,
        idle_s: float = 0.0,
        used: Callable[[str], float] = lambda identity: 0.0,
        want: Callable[[str, str], None] = lambda identity, adapter: None,
        pinned: Callable[[], Collection[str]] = tuple,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._find, self._make, self._need = find, make, need
        self._budget, self._idle_s = budget_bytes, idle_s
        self._used, self._want, self._pinned, self._say = used, want, pinned, say
        self._state = threading.Lock()  # guards `_engines`, held for moments
        self._engines: dict[str, _Held] = {}
        self._loading = threading.Lock()  # held while engines come, change or go; taken before `_state`
        self._leaving: list[EngineManager] = []
        self._stopped = False

    def ensure(self, identity: str, adapter: str | None = None, failed: EngineInfo | None = None) -> EngineInfo:
        """The engine that serves a base, with an adapter loaded if one is named. Loads what is not there.

        Args:
            identity: Of the base.
            adapter: Name of a tuned model.
            failed: An engine that has just broken a connection.

        Raises:
            NotFoundError: no such base here; ``adapter-not-loaded`` when the adapter's file cannot be had.
            ConflictError: ``engine-memory`` when it does not fit into the budget.
            ProviderError: ``engine-start``, ``engine-down``.
        """
        while True:
            held = self._held(identity) or self._load(identity)
            try:
                info = held.manager.ensure(failed)
                if adapter is not None and adapter not in info.adapters:
                    info = self._take_in(held, adapter)
                break
            except ConflictError as error:
                if error.code != "engine-stopped" or self._stopped or self._held(identity) is held:
                    raise  # otherwise it was unloaded between two lines, and is loaded again
        if adapter is not None and adapter not in info.adapters:
            raise NotFoundError(
                f"The engine could not take in {adapter!r}: its file is missing or damaged, or it does not belong to"
                f" {info.base!r}. See: homeroom models show {adapter}",
                code="adapter-not-loaded",
            )
        return info

    def refresh(self) -> None:
        """Let every base that is loaded take in its new adapters, and leave out those that are gone.

        Raises:
            HomeroomError: of the last base for which this failed; its old engine goes on.
        """
        failure: HomeroomError | None = None
        for held in self._all():
            try:
                self._take_in(held)
            except HomeroomError as error:
                failure = error
        if failure is not None:
            raise failure

    def keep(self) -> None:
        """Start again what has died, and unload what nobody asked for in a long time.

        Raises:
            HomeroomError: of the last engine that could not be started again.
        """
        failure: HomeroomError | None = None
        for held in self._all():
            if self._is_left(held):
                self._unload(held)
                continue
            try:
                held.manager.ensure()
            except HomeroomError as error:
                failure = error if error.code not in ("engine-down", "engine-stopped") else failure
        if failure is not None:
            raise failure

    def loaded(self) -> dict[str, Need]:
        """Names of the bases that are loaded, and what they take."""
        return {held.manager.base.name: held.need for held in self._all()}

    def running(self) -> list[EngineInfo]:
        """The engines that run now; starts none."""
        return [info for held in self._all() if (info := held.manager.running()) is not None]

    def stop(self) -> None:
        """End every engine at once."""
        self._stopped = True
        with self._state:
            leaving = list(self._leaving)
        for manager in (*leaving, *(held.manager for held in self._all())):
            manager.stop()
        with self._loading, self._state:
            late, self._engines = list(self._engines.values()), {}
        for held in late:
            held.manager.stop()

    def _held(self, identity: str) -> _Held | None:
        with self._state:
            return self._engines.get(identity)

    def _all(self) -> list[_Held]:
        with self._state:
            return list(self._engines.values())

    def _load(self, identity: str) -> _Held:
        with self._loading:
            held = self._held(identity)
            if held is not None:
                return held
            base = self._find(identity)
            need = self._need(base)
            self._make_room(base, need)
            if self._stopped:
                raise ConflictError("The engines were stopped. Start the server again: homeroom serve", code="engine-stopped")
            self._say(f"engine: loading {base.name}, which needs {need} of {mb(self._budget)}")
            held = _Held(self._make(base), need, time.time())
            with self._state:
                self._engines[identity] = held
            try:
                held.manager.ensure()
            except HomeroomError:
                with self._state:
                    del self._engines[identity]
                held.manager.stop()
                raise
            return held

    def _make_room(self, base: BaseFiles, need: Need) -> None:
        if need.total > self._budget:
            raise ConflictError(
                f"{base.name!r} needs {need} to answer here, and all engines together may take {mb(self._budget)}. Lower"
                " engine_context or engine_slots, raise engine_memory_mb (see config.yaml in the home), or choose a smaller base:"
                " homeroom models list --bases",
                code="engine-memory",
            )
        while self._taken() + need.total > self._budget:
            pinned = self._pinned()
            others = sorted(
                self._all(),
                key=lambda held: (held.identity in pinned, not held.manager.idle(), self._last_use(held)),
            )
            self._end(others[0], f"to make room for {base.name}")

    def _taken(self) -> int:
        return sum(held.need.total for held in self._all())

    def _last_use(self, held: _Held) -> float:
        return max(held.loaded_at, self._used(held.identity))

    def _take_in(self, held: _Held, adapter: str = "") -> EngineInfo:
        with self._loading:
            if adapter:
                self._want(held.identity, adapter)
            need = self._need(held.manager.base)
            # Both engines map the same weights; everything else is there twice until the old one ends.
            beside = self._taken() + need.total - need.weights <= self._budget
            held.need = need
            return held.manager.refresh(side_by_side=beside)

    def _is_left(self, held: _Held) -> bool:
        if not self._idle_s or time.time() - self._last_use(held) <= self._idle_s or held.identity in self._pinned():
            return False
        return held.manager.idle()

    def _unload(self, held: _Held) -> None:
        with self._loading:
            if self._held(held.identity) is held and self._is_left(held):
                self._end(held, f"idle for {self._idle_s:.0f} s")

    def _end(self, held: _Held, why: str) -> None:
        self._say(f"engine: unloading {held.manager.base.name}: {why}")
        with self._state:
            del self._engines[held.identity]
            self._leaving.append(held.manager)
        held.manager.retire()
        with self._state:
            self._leaving.remove(held.manager)
