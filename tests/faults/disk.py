"""Disks of one's own, where the machine allows to mount: a small one that can be filled, and one whose power can be cut."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

MEGABYTE = 1 << 20


class Unsupported(Exception):
    """This machine does not allow it; the message says what is missing."""


def _mounted(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Unsupported(f"there is no program {command[0]!r}") from error
    if done.returncode != 0:
        raise Unsupported(f"{' '.join(command[:4])}: {(done.stderr or done.stdout).strip()[:200]}")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


class SmallDisk:
    """A file system in memory of a few megabytes at ``folder``; a context manager.

    Raises:
        Unsupported: this user may not mount, or the system has no tmpfs.
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._megabytes = folder, megabytes

    def __enter__(self) -> SmallDisk:
        if os.geteuid() != 0:
            raise Unsupported("only root may mount a file system")
        self.folder.mkdir(parents=True, exist_ok=True)
        _mounted(["mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m,mode=700", "tmpfs", str(self.folder)])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _unmount(self.folder)

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self, leave_bytes: int = 0) -> None:
        """Leave that much, to the page."""
        self.empty()
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, self.free_bytes - leave_bytes))

    def empty(self) -> None:
        """Take the filler away."""
        self._filler.unlink(missing_ok=True)


class PowerCutDisk:
    """An ext4 file system in an image, mounted at ``folder``: what a copy of the image holds is what a power cut would leave.

    ext4's own repair of programs that forget to flush (``auto_da_alloc``) is off and commits by the clock are ten minutes apart, so
    that nothing is on the disk but what was asked to be.

    Raises:
        Unsupported: this user may not mount, or loop devices or ext4 are missing.
    """

    def __init__(self, image: Path, folder: Path, megabytes: int = 64) -> None:
        self.image, self.folder, self._megabytes = image, folder, megabytes

    def __enter__(self) -> PowerCutDisk:
        if os.geteuid() != 0:
            raise Unsupported("only root may mount a file system")
        with self.image.open("wb") as file:
            file.truncate(self._megabytes * MEGABYTE)
        _mounted(["mkfs.ext4", "-q", "-F", str(self.image)])
        self.folder.mkdir(parents=True, exist_ok=True)
        _mounted(["mount", "-o", "loop,noauto_da_alloc,commit=600", str(self.image), str(self.folder)])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _unmount(self.folder)

    def cut(self, copy: Path) -> bool:
        """Copy what the disk holds now. Returns whether it stood still meanwhile; if not, the copy is of no single moment."""
        shutil.copyfile(self.image, copy)
        return _digest(copy) == _digest(self.image)


@contextmanager
def after_the_cut(copy: Path, folder: Path) -> Iterator[Path]:
    """The copied image mounted, its journal played back, as a machine does that gets its power again."""
    folder.mkdir(parents=True, exist_ok=True)
    _mounted(["mount", "-o", "loop", str(copy), str(folder)])
    try:
        yield folder
    finally:
        _unmount(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
