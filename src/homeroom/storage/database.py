"""Database sessions: short transactions on SQLite (default) or PostgreSQL, with the errors of both mapped to ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session

from homeroom.errors import ConfigError, MissingExtraError, StorageError
from homeroom.storage import migrations
from homeroom.storage.errors import database_errors, folder_errors
from homeroom.storage.files import make_private_folder

DATABASE_NAME = "homeroom.db"
_MODE = "homeroom_mode"  # of a connection: "read", "write" or "watch"
_WRITE_LOCK = 0x686F6D65  # any number that nothing else in the database uses: "home"


class Database:
    """One database. Thread-safe; connections are made on first use, and anew after a fork.

    Sessions are for short work: none stays open across a model call or a streamed chunk. On SQLite a write session starts with
    ``BEGIN IMMEDIATE`` (in WAL mode a transaction that reads first and then writes fails at once, whatever the busy timeout)
    and a commit is on the disk when it returns (``synchronous=FULL``). On PostgreSQL a write session takes an advisory lock, so
    that there too one writer at a time reads and then writes, and repositories need to think of one behaviour only.

    Args:
        url: SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``.
        busy_timeout_s: How long to wait for another writer before `StorageError` ``database-locked``.
    """

    def __init__(self, url: str | URL, *, busy_timeout_s: float = 10.0) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            raise ConfigError(
                "The database URL cannot be read. Write it as 'postgresql+psycopg://user@host/name', or leave database_url "
                "empty for SQLite in the home; then run: homeroom doctor",
                code="database-url",
            ) from error
        self.busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._watcher: Connection | None = None
        self._process = 0

    @classmethod
    def for_home(cls, home: Path, url: str = "") -> Database:
        """The database that ``url`` names; when empty, the SQLite file in ``home`` (folders are made, mode 0700)."""
        if url:
            return cls(url)
        with folder_errors(home):
            make_private_folder(home)
        return cls(URL.create("sqlite", database=str(home / DATABASE_NAME)))

    @property
    def name(self) -> str:
        """How messages call it: the file, or the URL without its password."""
        return self.url.database or "" if self._is_sqlite else self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session in one read-only transaction: it sees one state of the database, and a write in it fails."""
        with self.session() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one write transaction: committed at the end, rolled back when the block raises."""
        with self.session(write=True) as session:
            yield session

    @contextmanager
    def session(self, *, write: bool = False) -> Iterator[Session]:
        """What `read` and `write` give.

        Raises:
            StorageError: ``database-locked``, ``no-space``, ``not-writable``, ``database-damaged`` or ``database-unreachable``.
        """
        with database_errors(self.name):
            bind = self._connected().execution_options(**{_MODE: "write" if write else "read"})
            with Session(bind, expire_on_commit=False) as session, session.begin():
                session.connection()  # takes the lock now, not at the first statement
                yield session

    def migrate(self) -> None:
        """Bring the tables up to date; cheap when they are. Two processes may call it at once.

        Raises:
            StorageError: code ``database-newer``, when a newer Homeroom wrote the database.
        """
        with database_errors(self.name):
            engine = self._connected()
            with engine.begin() as connection:
                if self._is_current(connection):
                    return
            with engine.execution_options(**{_MODE: "write"}).begin() as connection:
                if not self._is_current(connection):
                    migrations.upgrade(connection)

    def data_version(self) -> int:
        """A number that differs from the last one when a session, here or elsewhere, committed in between. Cheap to poll.

        On PostgreSQL it may also differ when nothing was committed.
        """
        with self._lock, database_errors(self.name):
            engine = self._connected_locked()
            if self._watcher is None or self._watcher.closed:
                self._watcher = engine.connect().execution_options(**{_MODE: "watch"})
                if not self._is_sqlite:
                    self._watcher = self._watcher.execution_options(isolation_level="AUTOCOMMIT")
            if self._is_sqlite:
                # It tells a connection of the commits of others, so this connection is kept, idle but for this question.
                return int(self._watcher.exec_driver_sql("PRAGMA data_version").scalar_one())
            snapshot = self._watcher.execute(text("SELECT pg_current_snapshot()::text")).scalar_one()
            return zlib.crc32(str(snapshot).encode())

    def close(self) -> None:
        """Close every connection. The next use opens them again."""
        with self._lock:
            if self._watcher is not None and self._process == os.getpid():
                self._watcher.close()
            if self._engine is not None:
                self._engine.dispose(close=self._process == os.getpid())
            self._engine = self._watcher = None

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def _connected(self) -> Engine:
        with self._lock:
            return self._connected_locked()

    def _connected_locked(self) -> Engine:
        if self._engine is not None and self._process != os.getpid():
            # A forked copy must not touch its parent's connections, not even to close them.
            self._engine.dispose(close=False)
            self._engine = self._watcher = None
        if self._engine is None:
            self._engine = self._create_engine()
            self._process = os.getpid()
        return self._engine

    def _create_engine(self) -> Engine:
        if self._is_sqlite:
            if self.url.database:
                with folder_errors(self.url.database):
                    _create_private(Path(self.url.database))
            engine = create_engine(
                self.url, connect_args={"timeout": self.busy_timeout_s}, pool_size=8, max_overflow=56, hide_parameters=True
            )
            event.listen(engine, "connect", self._configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        try:
            engine = create_engine(self.url, pool_pre_ping=True, hide_parameters=True)
        except ModuleNotFoundError as error:
            raise MissingExtraError("The database that database_url names", error.name or "psycopg", "postgres") from error
        except NoSuchModuleError as error:
            raise ConfigError(
                f"There is no database driver {self.url.drivername!r}. Use 'sqlite' or 'postgresql+psycopg' in database_url, "
                "then run: homeroom doctor",
                code="database-url",
            ) from error
        event.listen(engine, "begin", self._begin_postgres)
        return engine

    def _configure_sqlite(self, connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # the driver starts no transactions of its own: `_begin_sqlite` does
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        deadline = time.monotonic() + self.busy_timeout_s
        while True:
            try:
                cursor.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                # Two processes that switch a new file at once: SQLite refuses one without waiting.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        cursor.close()

    def _begin_postgres(self, connection: Connection) -> None:
        mode = connection.get_execution_options().get(_MODE, "read")
        if mode == "read":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        elif mode == "write":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(self.busy_timeout_s * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")

    def _is_current(self, connection: Connection) -> bool:
        if not inspect(connection).has_table("alembic_version"):
            return False
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if revision is not None and revision not in migrations.REVISIONS:
            raise StorageError(
                f"The database {self.name!r} is of revision {revision!r}, which this version of Homeroom does not know: a newer "
                "one wrote it. Run: pip install --upgrade homeroom",
                code="database-newer",
            )
        return revision == migrations.HEAD


def _create_private(path: Path) -> None:
    """SQLite would create the file readable by others; its companions inherit the mode.

    One that is there is never opened here: closing it would drop every lock that this process holds on it through SQLite, and
    another process would then take itself for the last one and delete the log that is still written to (sqlite.org/howtocorrupt).
    """
    if path.parent.is_dir():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600))


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_MODE, "read")
    if mode != "watch":  # within a transaction a watcher would see one state for ever
        connection.exec_driver_sql("PRAGMA query_only=" + ("OFF" if mode == "write" else "ON"))
        connection.exec_driver_sql("BEGIN IMMEDIATE" if mode == "write" else "BEGIN")
