"""The key that signs session cookies."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from homeroom.errors import StorageError

KEY_BYTES = 32


def secret_key(home: Path) -> bytes:
    """The key of this home, made on the first call in a file that only its owner can read (0600).

    Two processes that start at once agree: the file is linked into place, and the first link wins.

    Raises:
        StorageError: the file cannot be read or written, or is damaged.
    """
    path = home / "secret.key"
    try:
        if not path.exists():
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"the session key {str(path)!r} cannot be used: {error.strerror}. Check the folder's permissions", code="secret-key"
        ) from error
    if len(key) != KEY_BYTES:
        raise StorageError(
            f"the session key {str(path)!r} is damaged. Delete it; open pages must be loaded again", code="secret-key"
        )
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            os.link(draft, path)
    finally:
        draft.unlink()
