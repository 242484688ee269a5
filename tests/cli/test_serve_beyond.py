"""`homeroom serve` for other machines: refused without a key, and what it says with one."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import Command, kill_all

pytestmark = pytest.mark.slow  # many processes


@pytest.fixture
def home(tmp_path: Path):
    yield tmp_path / "home"
    kill_all(tmp_path / "home")


@pytest.mark.parametrize("options", [("--host", "0.0.0.0"), ("--allow-host", "https://tutor.school.example")])
def test_without_a_key_it_says_how_to_make_one_and_starts_nothing(home: Path, options: tuple[str, str]) -> None:
    told = Command(home, "serve", "--port", "0", *options).ended()
    assert told.code == 2
    assert "homeroom users key create NAME --scope admin" in told.error and "#public-bind]" in told.error
    assert options[1] in told.error


def test_with_a_key_it_says_where_others_reach_it_and_how_they_sign_in(home: Path) -> None:
    secret = Command(home, "users", "key", "create", "me", "--scope", "admin").ended().out.strip()
    server = Command(
        home, "serve", "--port", "0", "--no-worker", "--host", "0.0.0.0", "--allow-host", "https://tutor.school.example"
    )
    assert server.process.stdout is not None
    lines = [server.process.stdout.readline() for _ in range(5)]
    address = lines[0].split()[3]
    port = address.rpartition(":")[2]
    assert address.startswith("http://127.0.0.1:")
    assert f"https://tutor.school.example or http://ADDRESS-OF-THIS-MACHINE:{port}" in lines[1]
    assert "homeroom users key create" in lines[2] and "homeroom users key revoke" in lines[3]
    assert "unencrypted" in lines[4]
    assert secret not in "".join(lines)
    ask = {"Authorization": f"Bearer {secret}"}
    assert [httpx.get(f"{address}/v1/models", headers=headers).status_code for headers in ({}, ask)] == [401, 200]
    assert httpx.get(f"{address}/chat", headers={"Accept": "text/html"}).headers["Location"] == "/sign-in"
    assert json.loads(Command(home, "users", "key", "revoke", "me", "--json").ended().out)["revoked_at"]
    assert httpx.get(f"{address}/v1/models", headers=ask).status_code == 401
    kill_all(home)
    server.process.communicate()
    assert "#public-bind]" in Command(home, "serve", "--host", "0.0.0.0", "--port", "0").ended().error
