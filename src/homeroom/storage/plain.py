"""Files that were given to us: opened only when they are plain files of a bounded size.

A folder from elsewhere may hold a link to a private file, a pipe that never ends, or a device that never stops.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from homeroom.errors import ConfigError


def check_plain(path: Path, *, limit_bytes: int | None = None, links: bool = False) -> int:
    """The size of ``path`` in bytes, once it is known to be a plain file.

    Args:
        path: A file that exists.
        limit_bytes: The largest size; None for any.
        links: Whether a link to a plain file will do: for a path that a person typed, never for one found in a folder.

    Raises:
        ConfigError: ``file-not-plain`` for a link, a pipe, a device or a folder; ``file-oversized``.
        FileNotFoundError: it does not exist.
    """
    return _size(path, path.stat() if links else path.lstat(), limit_bytes)


def read_plain(path: Path, *, limit_bytes: int, links: bool = False) -> bytes:
    """The bytes of ``path``. What is checked is what is read, whatever happens to the name in between.

    Raises:
        ConfigError, FileNotFoundError: as `check_plain`.
    """
    check_plain(path, limit_bytes=limit_bytes, links=links)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW))
    with os.fdopen(descriptor, "rb") as file:
        _size(path, os.fstat(file.fileno()), limit_bytes)
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise _too_large(path, len(data), limit_bytes)
    return data


def _size(path: Path, found: os.stat_result, limit_bytes: int | None) -> int:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "a special file")
        raise ConfigError(
            f"{str(path)!r} is {kind}, and only plain files are read. Copy the file itself there, for example with: cp -RL",
            code="file-not-plain",
        )
    if limit_bytes is not None and found.st_size > limit_bytes:
        raise _too_large(path, found.st_size, limit_bytes)
    return found.st_size


def _too_large(path: Path, size: int, limit_bytes: int) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} has {size:,} bytes, and {limit_bytes:,} is the most that such a file may have. Look at what it is: ls -l",
        code="file-oversized",
    )


_KINDS = ((stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISDIR, "a folder"), (stat.S_ISSOCK, "a socket"))
