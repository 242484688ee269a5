"""The engines of a running server: loads the default base, takes in new adapters, restarts, unloads, and answers who asks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from homeroom.app.engines import TASKS, base_of, make_manager, memory_budget, memory_need
from homeroom.app.own_weights import served_identity
from homeroom.errors import HomeroomError, NotFoundError
from homeroom.models.engine_desk import EngineDesk
from homeroom.models.engine_info import RunFile
from homeroom.models.engine_pool import EnginePool
from homeroom.models.engine_process import log_path
from homeroom.models.engine_use import last_use
from homeroom.storage.files import append_line

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

TICK_S = 0.3
RETRY_S = 5.0
LOOK_AGAIN_S = 2.0


class EngineKeeper:
    """Keeps the engines of ``home`` in a thread of its own, so that a model that loads for long delays nothing else.

    Args:
        home: The open home, whose lock this process holds.
        say: Told what a person should know, one line at a time.
        retry_s: Pause after something went wrong.
    """

    def __init__(self, home: Homeroom, say: Callable[[str], None], *, retry_s: float = RETRY_S) -> None:
        self._home, self._say, self._retry_s = home, say, retry_s
        folder = home.settings.home
        self._file = RunFile(folder)
        self._wanted: defaultdict[str, list[str]] = defaultdict(list)  # lists that managers read whenever they load adapters
        self._pool = EnginePool(
            lambda identity: base_of(home, identity),
            lambda base: make_manager(home, base, wanted=self._wanted[base.identity], announce=self._file),
            lambda base: memory_need(home, base),
            budget_bytes=memory_budget(home),
            idle_s=home.settings.engine_idle_s,
            used=lambda identity: last_use(folder, identity),
            want=self._want,
            pinned=self._pinned,
            say=self._note,
        )
        self._desk: EngineDesk | None = None
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-keeper", daemon=True)
        self._seen: int | None = None
        self._told = ""  # what is wrong now, as it was said

    def start(self) -> None:
        """Open the desk and load the default base, if it is here."""
        self._desk = EngineDesk(self._pool.ensure)
        self._file.open(self._desk.info)
        self._thread.start()

    def settled(self) -> bool:
        """Whether the default base answers, or was found not to."""
        return self._settled.is_set()

    def stop(self) -> None:
        """End every engine."""
        self._stop.set()
        if self._desk is not None:
            self._desk.close()
        self._pool.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self._file.close()

    def _run(self) -> None:
        loaded = False
        pause = 0.0
        while not self._stop.wait(pause):
            pause = TICK_S
            try:
                if not loaded:
                    self._pool.ensure(self._home.base_files().identity)
                    loaded = True
                self._take_in_changes()
                self._pool.keep()
                self._file.sync()
            except NotFoundError:  # the default base is not pulled yet: the pages say how, and it is looked for again
                pause = LOOK_AGAIN_S
            except HomeroomError as error:
                self._tell(error.message)
                pause = self._retry_s
            except OSError as error:  # a full disk, say: this thread must outlive it
                self._tell(str(error))
                pause = self._retry_s
            else:
                self._told = ""
            self._settled.set()

    def _tell(self, trouble: str) -> None:
        """Say what is wrong once, until it is something else or all went well in between."""
        if trouble != self._told and not self._stop.is_set():
            self._say(f"engine: {trouble}")
        self._told = trouble

    def _take_in_changes(self) -> None:
        version = self._home.database.data_version()
        if version != self._seen:
            self._pool.refresh()
            self._seen = version

    def _want(self, identity: str, adapter: str) -> None:
        self._wanted[identity][:] = [adapter]

    def _pinned(self) -> Collection[str]:
        """The default base, and those whose tuned models a page uses."""
        identities = set()
        with contextlib.suppress(NotFoundError):
            identities.add(self._home.base_files().identity)
        for task in TASKS:
            name = self._home.registry.route(task)
            try:
                model = self._home.registry.get(name) if name else None
            except NotFoundError:
                continue
            if model is not None and model.base_identity:
                identities.add(served_identity(model))
        return identities

    def _note(self, line: str) -> None:
        """Loading and unloading are for the log: a person asked for neither."""
        with contextlib.suppress(OSError):
            append_line(log_path(self._home.settings.home), f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")
