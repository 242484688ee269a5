"""API keys at the door: every address of the API, looked at before the body is read."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest

from homeroom.accounts import KeyStore
from homeroom.server.policy import ROUTES
from homeroom.storage import Database

API = sorted(route for route, policy in ROUTES.items() if policy.family == "api")


class Door:
    """An application with keys, and a client that sends one."""

    def __init__(self, make_site, keys: KeyStore) -> None:
        self.keys = keys
        self.client = make_site(keys=keys).app.test_client()

    def ask(self, route: str, key: str | None = None, **more: object):
        method, _, rule = route.partition(" ")
        address = rule.replace("<path:name>", "base").replace("<file_id>", "file-x").replace("<job_id>", "ftjob-x")
        headers = {} if key is None else {"Authorization": key if " " in key else f"Bearer {key}"}
        kinds = {"json": "application/json", "upload": "multipart/form-data; boundary=x"}
        if (kind := kinds.get(ROUTES[route].takes)) is not None:
            more.setdefault("content_type", kind)
        return self.client.open(address, method=method, headers=headers, **more)


@pytest.fixture
def door(make_site, database: Database) -> Iterator[Door]:
    yield Door(make_site, KeyStore(database))


def test_the_api_has_addresses_of_both_scopes():
    assert {ROUTES[route].scope for route in API} == {"chat", "tune"}
    assert all(ROUTES[route].scope == "tune" for route in API if "/files" in route or "/fine_tuning" in route)


@pytest.mark.parametrize("route", API)
def test_without_any_key_nobody_is_asked_for_one(door, route):
    assert door.ask(route).status_code != 401


@pytest.mark.parametrize("route", API)
def test_from_the_first_key_on_every_address_asks_for_one(door, route):
    _, secret = door.keys.create("first", ("admin",))
    for wrong in (None, "", "sk-homeroom-wrong", secret[:-1], f"Basic {secret}", f"Bearer{secret}", "Bearer "):
        refused = door.ask(route, wrong)
        assert refused.status_code == 401, wrong
        error = refused.json["error"]
        assert (error["code"], error["type"], error["param"]) == ("invalid_api_key", "authentication_error", None)
    assert door.ask(route, secret).status_code not in (401, 403)
    assert door.ask(route, f"bearer {secret}").status_code not in (401, 403)


def test_when_the_last_key_is_revoked_the_door_stays_shut(door):
    _, secret = door.keys.create("only")
    assert door.ask("GET /v1/models", secret).status_code == 200
    door.keys.revoke("only")
    assert [door.ask("GET /v1/models", key).status_code for key in (secret, None)] == [401, 401]


@pytest.mark.parametrize("route", API)
def test_a_key_for_chat_opens_chat_alone(door, route):
    _, secret = door.keys.create("chat", ("chat",))
    answer = door.ask(route, secret)
    if ROUTES[route].scope == "chat":
        assert answer.status_code not in (401, 403)
    else:
        assert (answer.status_code, answer.json["error"]["code"]) == (403, "insufficient_permissions")


def test_nothing_of_a_body_is_read_before_the_key(door):
    door.keys.create("first")

    body = io.BytesIO(b'{"model": "base"}' + b" " * 5000)
    refused = door.ask("POST /v1/chat/completions", input_stream=body)
    assert (refused.status_code, body.tell()) == (401, 0)


def test_pages_and_health_need_no_key(door):
    door.keys.create("first")
    assert [door.client.get(address).status_code for address in ("/", "/health", "/chat")] == [200, 200, 200]


def test_each_key_has_its_own_count_and_is_told_of_it(door):
    _, small = door.keys.create("small", requests_per_minute=2)
    _, large = door.keys.create("large")
    first, second, third = (door.ask("GET /v1/models", small) for _ in range(3))
    assert [r.status_code for r in (first, second, third)] == [200, 200, 429]
    assert [r.headers["x-ratelimit-limit-requests"] for r in (first, second)] == ["2", "2"]
    assert [r.headers["x-ratelimit-remaining-requests"] for r in (first, second)] == ["1", "0"]
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert int(third.headers["Retry-After"]) >= 1
    assert door.ask("GET /v1/models", large).status_code == 200


def test_an_expired_key_opens_nothing(door, monkeypatch):
    _, secret = door.keys.create("short", expires_at=time.time() + 60)
    assert door.ask("GET /v1/models", secret).status_code == 200
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert door.ask("GET /v1/models", secret).status_code == 401
