"""`homeroom users key`."""

from __future__ import annotations

from homeroom.accounts import KeyStore
from homeroom.app.home import Homeroom


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(homeroom):
    assert "answers this machine alone" in homeroom("users", "key", "list").out
    made = homeroom("users", "key", "create", "ana", "--scope", "tune", "--days", "30")
    secret = made.out.strip()
    assert secret.startswith("sk-homeroom-") and "copy it now" in made.err
    with Homeroom.open() as home:
        assert KeyStore(home.database).authenticate(secret).name == "ana"
    listed = homeroom("users", "key", "list")
    assert secret not in listed.out and secret[:16] in listed.out
    assert homeroom("users", "key", "revoke", "ana").code == 0
    with Homeroom.open() as home:
        assert KeyStore(home.database).authenticate(secret) is None
    assert "revoked" in homeroom("users", "key", "list").out
    told = homeroom("users", "key", "revoke", "ana")
    assert (told.code, "#key-not-found" in told.error) == (2, True)


def test_json_holds_the_secret_only_when_it_is_made(homeroom):
    made = homeroom("users", "key", "create", "bo", "--json").json
    (listed,) = homeroom("users", "key", "list", "--json").json
    assert made["secret"].startswith(made["shown"])
    assert listed == {key: value for key, value in made.items() if key != "secret"}
