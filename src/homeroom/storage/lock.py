"""One server per home: a lock that the system releases when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from homeroom.errors import ConflictError
from homeroom.storage.errors import disk_errors, folder_errors
from homeroom.storage.files import make_private_folder

_NAME_S = 0.5


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a home: process id, address it serves at (may be empty), and Unix time of its start."""

    pid: int
    address: str
    started_at: float


class HomeLock:
    """Lock on ``<home>/run/lock``. Use it as a context manager, or `acquire` and `release`.

    The lock goes with the process (and with processes that it forked and that still run): nothing stale is left by a crash.

    Args:
        home: The home to hold.
        address: What others are told, e.g. ``http://127.0.0.1:8642``.
    """

    def __init__(self, home: Path, address: str = "") -> None:
        self.home = home
        self.path = home / "run" / "lock"
        self.address = address
        self._descriptor: int | None = None
        self._started_at = 0.0

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ConflictError: code ``home-locked``; names the process and the address that hold it.
            StorageError: code ``no-space`` or ``not-writable``.
        """
        with folder_errors(self.path):
            make_private_folder(self.path.parent)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _await_holder(descriptor)
            os.close(descriptor)
            raise ConflictError(self._message(holder), code="home-locked") from error
        self._descriptor = descriptor
        self._started_at = time.time()
        self._write()

    def set_address(self, address: str) -> None:
        """Tell another address from now on: a server knows its port only once it listens."""
        self.address = address
        self._write()

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> HomeLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    @staticmethod
    def holder(home: Path) -> LockHolder | None:
        """Who holds ``home`` now; None when nobody does. Changes nothing."""
        try:
            descriptor = os.open(home / "run" / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_holder(descriptor) or LockHolder(0, "", 0.0)
        finally:
            os.close(descriptor)
        return None

    def _write(self) -> None:
        if self._descriptor is None:
            return
        holder = LockHolder(os.getpid(), self.address, self._started_at)
        record = json.dumps(asdict(holder)).encode()
        with disk_errors(self.path):
            os.pwrite(self._descriptor, record, 0)
            os.ftruncate(self._descriptor, len(record))

    def _message(self, holder: LockHolder | None) -> str:
        who = "another process"
        if holder is not None:
            who = f"process {holder.pid}" + (f" at {holder.address}" if holder.address else "")
        return (
            f"The home {str(self.home)!r} is in use by {who}. Stop that one, or use another home: "
            "HOMEROOM_HOME=<folder> homeroom serve"
        )


def _await_holder(descriptor: int) -> LockHolder | None:
    """Who holds it; of two that start in the same moment, the first may not have written its name yet."""
    deadline = time.monotonic() + _NAME_S
    while (holder := _read_holder(descriptor)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return holder


def _read_holder(descriptor: int) -> LockHolder | None:
    """None when its holder is just writing, or of another version."""
    try:
        record = json.loads(os.pread(descriptor, 4096, 0))
        return LockHolder(int(record["pid"]), str(record["address"]), float(record["started_at"]))
    except (ValueError, KeyError, TypeError):
        return None
