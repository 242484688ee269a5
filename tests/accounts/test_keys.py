"""API keys: shown once, kept as a hash, ended at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from homeroom.accounts import KeyStore
from homeroom.errors import ConfigError, ConflictError, NotFoundError
from homeroom.storage import Database, Scope


def test_a_key_is_known_by_its_secret_alone(database: Database) -> None:
    keys = KeyStore(database)
    assert (keys.any_active(), keys.any_ever()) == (False, False)
    key, secret = keys.create("  script of Ana ", ("tune",))
    assert key.name == "script of Ana"
    assert keys.authenticate(secret) == key
    for wrong in ("", secret[:-1], secret + "x", secret.upper(), key.shown, key.id, "sk-homeroom-", "\x00", "ä", "\udc80"):
        assert keys.authenticate(wrong) is None
    assert (keys.any_active(), keys.any_ever()) == (True, True)


def test_the_secret_is_nowhere_on_the_disk(database: Database, home: Path) -> None:
    _, secret = KeyStore(database).create("one")
    with database.read():
        pass
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert secret.encode() not in stored
    assert secret[-20:].encode() not in stored


def test_scopes_widen_in_one_direction(database: Database) -> None:
    keys = KeyStore(database)
    may = {
        name: [s for s in ("chat", "tune", "admin") if keys.create(name, (name,))[0].may(s)] for name in ("chat", "tune", "admin")
    }
    assert may == {"chat": ["chat"], "tune": ["chat", "tune"], "admin": ["chat", "tune", "admin"]}


def test_a_revoked_or_expired_key_opens_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyStore(database)
    first, first_secret = keys.create("first")
    _, second_secret = keys.create("second", expires_at=time.time() + 100)
    assert keys.revoke("first").revoked_at is not None
    assert keys.authenticate(first_secret) is None
    assert keys.authenticate(second_secret) is not None
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    assert keys.authenticate(second_secret) is None
    assert (keys.any_active(), keys.any_ever()) == (False, True)
    again = keys.revoke(first.id)
    assert again.revoked_at == keys.list()[1].revoked_at, "revoking twice keeps the first time"


def test_revoking_needs_one_key(database: Database) -> None:
    keys = KeyStore(database)
    one, one_secret = keys.create("twin")
    keys.create("twin")
    with pytest.raises(ConflictError, match=one.id):
        keys.revoke("twin")
    keys.revoke(one.id)
    assert keys.revoke("twin").id != one.id, "the other one is the only one left with that name"
    with pytest.raises(NotFoundError):
        keys.revoke("twin")
    assert keys.authenticate(one_secret) is None


def test_another_owner_neither_sees_nor_ends_a_key(database: Database) -> None:
    mine, secret = KeyStore(database).create("mine")
    other = KeyStore(database, scope=Scope("school-b", "local"))
    assert other.list() == ()
    with pytest.raises(NotFoundError):
        other.revoke(mine.id)
    assert other.authenticate(secret) == mine, "the key itself says whose it is"


@pytest.mark.parametrize(
    ("name", "scopes", "more", "code"),
    [
        ("a", ("cook",), {}, "key-scope"),
        ("a", (), {}, "key-scope"),
        ("", ("chat",), {}, "key-name"),
        ("   ", ("chat",), {}, "key-name"),
        ("a\nb", ("chat",), {}, "key-name"),
        ("a" * 81, ("chat",), {}, "key-name"),
        ("a", ("chat",), {"requests_per_minute": 0}, "key-limit"),
        ("a", ("chat",), {"expires_at": 1.0}, "key-expired"),
    ],
)
def test_wrong_arguments_make_no_key(
    database: Database, name: str, scopes: tuple[str, ...], more: dict[str, float], code: str
) -> None:
    keys = KeyStore(database)
    with pytest.raises(ConfigError) as raised:
        keys.create(name, scopes, **more)
    assert raised.value.code == code
    assert keys.list() == ()


def test_a_key_that_was_seen_ends_with_the_next_commit_of_another_process(database: Database, home: Path) -> None:
    """What is kept of a lookup must not outlive what another process wrote since."""
    keys = KeyStore(database)
    key, secret = keys.create("one")
    assert keys.authenticate(secret) == keys.authenticate(secret) == key
    elsewhere = Database.for_home(home)
    KeyStore(elsewhere).revoke(key.id)
    elsewhere.close()
    assert keys.authenticate(secret) is None
    again, other = keys.create("two")
    assert keys.authenticate(other) == again
    assert keys.authenticate(secret) is None


def test_a_key_that_was_seen_expires_by_the_clock(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyStore(database)
    _, secret = keys.create("short", expires_at=time.time() + 60)
    assert keys.authenticate(secret) is not None
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert keys.authenticate(secret) is None
