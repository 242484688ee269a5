"""Files that survive a power cut, readable by their owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def make_private_folder(path: Path) -> Path:
    """Make the folder and its missing parents with mode 0700; one that exists keeps its mode. Returns ``path``.

    What is made is on the disk on return: files that are flushed in a folder whose own name was not are lost with it.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        sync_folder(folder.parent)
    return path


def sync_file(path: Path) -> None:
    """Have the file's bytes on the disk before this returns."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Have the folder's names on the disk before this returns: without it a rename can be lost."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def write_atomically(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Replace ``path`` by ``data``: a reader, and a machine that lost power, sees the old or the new whole.

    Raises:
        OSError: the old content is untouched then, and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # the file that was asked for, not the temporary one
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def append_line(path: Path, line: str) -> None:
    """Add a line to a log; the file, and folders that are missing, are made for their owner only.

    Raises:
        OSError: it cannot be written.
    """
    make_private_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
