"""Marks that somebody is at work: they hold for exactly as long as the process that made them lives.

A mark is a lock of the system's on a small file. The system takes it back when the process ends, kill -9 included, so nothing
stale is left and no clock takes part in saying who is still alive.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from homeroom.storage.files import PRIVATE_FILE


class Held:
    """A mark that this process holds; a context manager that gives it back and removes its file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give it back; harmless the second time."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)  # while it is held: nobody else can have taken it under this name
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def hold(path: Path) -> Held | None:
    """Take the mark ``path``, whose folder exists; None while another process holds it.

    Raises:
        OSError: the file cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_at(descriptor, path):
            return Held(path, descriptor)
        os.close(descriptor)  # whoever held it before removed the file between our opening and our lock


def is_held(path: Path) -> bool:
    """Whether a living process holds the mark. Changes nothing."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared: two processes that ask at once must not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
