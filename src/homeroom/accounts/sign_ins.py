"""Browsers that signed in with a key. A sign-in ends by itself, when its person signs out, and with its key."""

from __future__ import annotations

import secrets
import time

from sqlalchemy import delete, select

from homeroom.accounts.keys import ApiKey, digest_of, key_of_row
from homeroom.storage import Database
from homeroom.storage.tables import ApiKeyRow, SignInRow

LIFETIME_S = 12 * 3600
"""A school day: long enough not to be asked twice, short enough for a computer that others use tomorrow."""


class SignInStore:
    """The sign-ins of a home. Thread-safe.

    Args:
        database: Where they are.
        lifetime_s: Seconds after which a person signs in again.
    """

    def __init__(self, database: Database, *, lifetime_s: float = LIFETIME_S) -> None:
        self._database, self._lifetime_s = database, lifetime_s

    def begin(self, key: ApiKey) -> str:
        """Sign in with ``key``. What is returned goes into the browser's cookie and is kept nowhere else."""
        token, now = secrets.token_urlsafe(32), time.time()
        with self._database.write() as session:
            session.execute(delete(SignInRow).where(SignInRow.expires_at <= now))
            ends = now + self._lifetime_s
            session.add(SignInRow(digest=digest_of(token), key_id=key.id, created_at=now, expires_at=ends, **key.owner.columns()))
        return token

    def key_of(self, token: str) -> ApiKey | None:
        """The key behind a cookie; None when the sign-in or its key ended. Looked up by hash: its time tells nothing."""
        query = select(ApiKeyRow, SignInRow.expires_at).join(SignInRow, SignInRow.key_id == ApiKeyRow.id)
        now = time.time()
        with self._database.read() as session:
            found = session.execute(query.where(SignInRow.digest == digest_of(token))).first()
            if found is None or found[1] <= now:
                return None
            key = key_of_row(found[0])
        return key if key.holds(now) else None

    def end(self, token: str) -> None:
        """Sign out. Whoever kept a copy of the cookie is out as well."""
        with self._database.write() as session:
            session.execute(delete(SignInRow).where(SignInRow.digest == digest_of(token)))
