"""Which workers of a home are alive: the jobs of a dead one are taken over at once instead of when its lease runs out.

Each worker holds a mark in ``<home>/run/workers`` while it lives (see `homeroom.storage.held`). A mark that nobody holds is of a
worker that died. No mark at all says nothing: that worker may be on another machine, and only its lease tells.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from homeroom.storage.files import make_private_folder
from homeroom.storage.held import Held, hold, is_held

_MARK = ".lock"
log = logging.getLogger(__name__)


class Presence:
    """The marks of a home's workers."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "run" / "workers"

    def announce(self, worker_id: str) -> Held | None:
        """Mark the worker of this process as alive; None where that is not possible: then its leases alone speak for it."""
        try:
            make_private_folder(self._folder)
            return hold(self._path(worker_id))
        except OSError as error:
            log.warning("worker %s cannot be marked as alive: %s", worker_id, error)
            return None

    def is_dead(self, worker_id: str) -> bool:
        """Whether the worker is known to be dead."""
        path = self._path(worker_id)
        return path.exists() and not is_held(path)

    def dead(self) -> frozenset[str]:
        """Every worker that is known to be dead."""
        found = (path.name.removesuffix(_MARK) for path in self._folder.glob(f"*{_MARK}"))
        return frozenset(worker_id for worker_id in found if self.is_dead(worker_id))

    def forget(self, workers: Collection[str]) -> None:
        """Remove marks of the dead, once none of them has a job any more."""
        for worker_id in workers:
            with suppress(OSError):
                mark = hold(self._path(worker_id))
                if mark is not None:
                    mark.release()

    def _path(self, worker_id: str) -> Path:
        return self._folder / f"{worker_id}{_MARK}"
