"""The one place that turns errors of the disk and of the database into ours."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import exc

from homeroom.errors import StorageError

# Codes of errors that pass by themselves: whoever works in the background waits and tries again.
TRANSIENT_CODES = frozenset({"database-locked", "database-unreachable", "no-space"})

_NO_SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_WRITABLE_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})
_SERVICE_UNAVAILABLE = 503
_NEEDED_BYTES = 128 * 1024  # by which SQLite enlarges its files at most at once, and the files that it makes

# Primary result codes of SQLite: https://sqlite.org/rescode.html
_SQLITE_CODES = {
    sqlite3.SQLITE_BUSY: "database-locked",
    sqlite3.SQLITE_LOCKED: "database-locked",
    sqlite3.SQLITE_FULL: "no-space",
    sqlite3.SQLITE_CORRUPT: "database-damaged",
    sqlite3.SQLITE_NOTADB: "database-damaged",
    sqlite3.SQLITE_CANTOPEN: "database-unreachable",
    sqlite3.SQLITE_READONLY: "database-unreachable",
    sqlite3.SQLITE_PERM: "database-unreachable",
    sqlite3.SQLITE_IOERR: "database-unreachable",
}
# SQLSTATE of PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_CODES = {
    "40001": "database-locked",  # serialization_failure
    "40P01": "database-locked",  # deadlock_detected
    "55P03": "database-locked",  # lock_not_available
    "53100": "no-space",  # disk_full
    "53300": "database-locked",  # too_many_connections
}
_MESSAGES = {
    "database-locked": "The database {where!r} is locked by another process. Try again in a few seconds; if it stays so, "
    "find the process that holds it: homeroom doctor",
    "no-space": "There is no space left on the disk of {where!r}. Free some, then run the command again; "
    "what takes space: homeroom doctor",
    "not-writable": "{where!r} cannot be made or written: {detail}. Mend that, or use another folder: "
    "HOMEROOM_HOME=<folder> homeroom doctor",
    "database-damaged": "The database {where!r} is damaged or is no database: {detail}. Move it aside or restore a copy, "
    "then run: homeroom doctor",
    "database-unreachable": "The database {where!r} cannot be opened, read or written: {detail}. "
    "See what is wrong: homeroom doctor",
}

STORAGE_CODES = frozenset(_MESSAGES)


def storage_error(code: str, where: str | Path, detail: str = "") -> StorageError:
    """The error with that code; ``where`` names the file, folder or database."""
    error = StorageError(_MESSAGES[code].format(where=str(where), detail=detail), code=code)
    if code in ("database-locked", "database-unreachable"):
        error.status = _SERVICE_UNAVAILABLE
    return error


@contextmanager
def disk_errors(where: str | Path) -> Iterator[None]:
    """Within it, "no space left on the disk" is a `StorageError` with code ``no-space``; other errors pass unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE_ERRNOS:
            raise storage_error("no-space", where) from error
        raise


@contextmanager
def folder_errors(where: str | Path) -> Iterator[None]:
    """`disk_errors`, and a `StorageError` with code ``not-writable`` for a folder or file of ours that cannot be made.

    Only for our own opening and making: within a caller's block the same errors are about the caller's files.
    """
    try:
        with disk_errors(where):
            yield
    except OSError as error:
        if error.errno in _NOT_WRITABLE_ERRNOS:
            raise storage_error("not-writable", where, error.strerror or "") from error
        raise


@contextmanager
def database_errors(where: str) -> Iterator[None]:
    """Within it, what the database refuses is a `StorageError`.

    Mistakes of the program (a broken constraint, wrong SQL) pass unchanged: they are for the caller or for a bug report.
    """
    try:
        yield
    except exc.TimeoutError as error:  # every connection of the pool is in use
        raise storage_error("database-locked", where) from error
    except exc.DBAPIError as error:
        code = _code_of(error)
        if code is None:
            raise
        if code == "database-unreachable" and _is_full(where):
            code = "no-space"
        raise storage_error(code, where, str(error.orig)) from error


def _is_full(where: str) -> bool:
    """Whether the disk of a database file has no room.

    SQLite says "disk full" of its writes only. When it can neither make a file nor enlarge the one that its processes share, it
    says the same as of any other trouble.
    """
    try:
        return shutil.disk_usage(Path(where).parent).free < _NEEDED_BYTES
    except OSError:  # not a file: a database server
        return False


def _code_of(error: exc.DBAPIError) -> str | None:
    original = error.orig
    result_code = getattr(original, "sqlite_errorcode", None)
    if isinstance(result_code, int):
        return _SQLITE_CODES.get(result_code & 0xFF)
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        return _POSTGRES_CODES.get(state) or ("database-unreachable" if state[:2] in ("08", "28", "57") else None)
    return "database-unreachable" if isinstance(error, exc.OperationalError) else None
