"""API keys: made once, shown once, kept as a hash.

A key is 32 random bytes, so its SHA-256 needs no salt and no slow function: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from sqlalchemy import select

from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.storage import LOCAL, Database, Scope
from homeroom.storage.tables import ApiKeyRow, new_id

Scopes = Literal["chat", "tune", "admin"]
SCOPES: tuple[Scopes, ...] = get_args(Scopes)
PREFIX = "sk-homeroom-"
SHOWN = len(PREFIX) + 4
DEFAULT_REQUESTS_PER_MINUTE = 600
MOST_REQUESTS_PER_MINUTE = 1_000_000
LONGEST_S = 36_600 * 86_400.0  # a hundred years; whoever wants a key without an end gives none
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        shown: The key's beginning, to tell keys apart.
        scopes: ``chat`` answers and lists models; ``tune`` also takes files and fine-tuning jobs; ``admin`` everything.
        requests_per_minute: Most requests in any minute.
        expires_at, revoked_at: Unix time; None while it holds.
    """

    id: str
    name: str
    shown: str
    scopes: frozenset[Scopes]
    requests_per_minute: int
    owner: Scope
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def may(self, scope: Scopes) -> bool:
        """Whether the key allows what needs ``scope``: admin allows all, tune allows chat."""
        return bool(self.scopes & {scope, "admin"}) or (scope == "chat" and "tune" in self.scopes)

    def holds(self, now: float) -> bool:
        """Whether it is neither revoked nor expired at Unix time ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyStore:
    """The keys of a home. Thread-safe.

    Args:
        database: Where they are.
        scope: Whose keys are made and listed. `authenticate` serves every scope: the key itself says whose it is.
    """

    def __init__(self, database: Database, *, scope: Scope = LOCAL) -> None:
        self._database, self._scope = database, scope
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._known: dict[str, ApiKey] = {}  # by hash, while nothing was committed

    def create(
        self,
        name: str,
        scopes: Iterable[str] = ("chat",),
        *,
        expires_at: float | None = None,
        requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is told here and never again.

        Raises:
            ConfigError: ``key-name``, ``key-scope``, ``key-limit``, ``key-expired``: an argument is wrong.
        """
        wanted = sorted(set(scopes))
        unknown = [scope for scope in wanted if scope not in SCOPES]
        if unknown or not wanted:
            raise ConfigError(f"The scope {unknown[:1] or wanted!r} is none of: {', '.join(SCOPES)}", code="key-scope")
        if not _NAME.fullmatch(name) or not name.strip():
            raise ConfigError(f"{name!r} cannot name a key. Say who uses it, in up to 80 characters", code="key-name")
        if not 1 <= requests_per_minute <= MOST_REQUESTS_PER_MINUTE:
            raise ConfigError(
                f"A key takes from 1 to {MOST_REQUESTS_PER_MINUTE:,} requests per minute, not {requests_per_minute!r}",
                code="key-limit",
            )
        if expires_at is not None and not time.time() < expires_at < time.time() + LONGEST_S:
            told = (
                "would have expired already. Name a later" if expires_at <= time.time() else "would never expire. Name an earlier"
            )
            raise ConfigError(
                f"The key {told} day than {expires_at!r} (Unix time): homeroom users key create NAME --days 30",
                code="key-expired",
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        with self._database.write() as session:
            row = ApiKeyRow(
                id=new_id("key"),
                name=name.strip(),
                shown=secret[:SHOWN],
                digest=digest_of(secret),
                scopes=wanted,
                requests_per_minute=requests_per_minute,
                created_at=time.time(),
                expires_at=expires_at,
                **self._scope.columns(),
            )
            session.add(row)
            session.flush()
            return key_of_row(row), secret

    def list(self) -> tuple[ApiKey, ...]:
        """Every key of the scope, newest first, revoked ones too."""
        query = select(ApiKeyRow).filter_by(**self._scope.columns()).order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.id)
        with self._database.read() as session:
            return tuple(key_of_row(row) for row in session.scalars(query))

    def any_active(self) -> bool:
        """Whether any key of any scope holds now: then the API asks for one."""
        now = time.time()
        with self._database.read() as session:
            rows = session.scalars(select(ApiKeyRow).where(ApiKeyRow.revoked_at.is_(None)))
            return any(key_of_row(row).holds(now) for row in rows)

    def any_ever(self) -> bool:
        """Whether a key was ever made. Once one was, the API stays closed to callers without, also when all are revoked."""
        with self._database.read() as session:
            return session.scalars(select(ApiKeyRow.id).limit(1)).first() is not None

    def authenticate(self, secret: str) -> ApiKey | None:
        """The key with that secret, if it holds; None otherwise, in about the same time.

        The lookup is by hash: how long it takes tells nothing about a key. What was found is kept until anything is committed
        to the database, here or elsewhere: a key that was revoked is refused by the next call.
        """
        digest, seen = digest_of(secret), self._database.data_version()  # seen before it is read: a later commit counts as news
        with self._lock:
            if seen != self._seen:
                self._seen, self._known = seen, {}
            key = self._known.get(digest)
        if key is None:
            with self._database.read() as session:
                row = session.scalars(select(ApiKeyRow).where(ApiKeyRow.digest == digest)).first()
                key = None if row is None else key_of_row(row)
            if key is not None:
                with self._lock:
                    if self._seen == seen:
                        self._known[digest] = key
        return key if key is not None and key.holds(time.time()) else None

    def revoke(self, reference: str) -> ApiKey:
        """End a key at once, by id, shown beginning or name.

        Raises:
            NotFoundError: ``key-not-found``.
            ConflictError: ``key-ambiguous``: several keys that hold have that name.
        """
        with self._database.write() as session:
            rows = list(session.scalars(select(ApiKeyRow).filter_by(**self._scope.columns())))
            found = [row for row in rows if row.id == reference] or [
                row for row in rows if row.revoked_at is None and reference in (row.name, row.shown)
            ]
            if not found:
                raise NotFoundError(f"There is no key {reference!r}. List them: homeroom users key list", code="key-not-found")
            if len(found) > 1:
                ids = ", ".join(row.id for row in found)
                raise ConflictError(
                    f"{len(found)} keys are called {reference!r}: name one by its id: {ids}", code="key-ambiguous"
                )
            found[0].revoked_at = found[0].revoked_at or time.time()
            session.flush()
            return key_of_row(found[0])


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", errors="surrogatepass")).hexdigest()


def key_of_row(row: ApiKeyRow) -> ApiKey:
    """The key that a row holds."""
    return ApiKey(
        id=row.id,
        name=row.name,
        shown=row.shown,
        scopes=cast(frozenset[Scopes], frozenset(row.scopes)),
        requests_per_minute=row.requests_per_minute,
        owner=Scope(row.workspace_id, row.owner_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
