"""A key is asked for before any work: the head of a request is enough to be refused, and nothing has changed after it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.server.policy import ROUTES
from tests.openai_api.conftest import Server, start
from tests.openai_api.helpers import chat_lines, upload
from tests.openai_api.oracle import assert_is

API = {route: policy for route, policy in ROUTES.items() if policy.family == "api"}
LENGTH = 50_000
SILENCE_S = 20


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("locked") / "home", cache)
    try:
        yield server
        server.stop()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def keys(locked: Server) -> dict[str, str]:
    def made(scope: str) -> str:
        return str(json.loads(locked.command("users", "key", "create", "tests", "--scope", scope, "--json"))["secret"])

    return {scope: made(scope) for scope in ("chat", "admin")}


@pytest.fixture(scope="module")
def file_id(locked: Server, keys: dict[str, str]) -> str:
    return upload(locked.client(keys["admin"]), chat_lines())


def refusal(server: Server, route: str, file_id: str, *headers: str) -> tuple[int, dict[str, object]]:
    """The answer to a request whose body is announced and never sent: it came before the body could be asked for."""
    method, rule = route.split(" ", 1)
    address = re.sub(r"<[^>]+>", file_id, rule)
    host, port = server.address.removeprefix("http://").split(":")
    body = () if method == "GET" else ("Content-Type: application/json", f"Content-Length: {LENGTH}")
    head = "\r\n".join((f"{method} {address} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", *headers, *body))
    with socket.create_connection((host, int(port)), timeout=SILENCE_S) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    first, _, rest = answer.partition(b"\r\n")
    return int(first.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("route", API)
@pytest.mark.parametrize("header", [(), ("Authorization: Bearer sk-homeroom-wrong",), ("Authorization: Basic eDp5",)])
def test_without_a_key_nothing_is_read(
    locked: Server, keys: dict[str, str], file_id: str, route: str, header: tuple[str, ...]
) -> None:
    status, answer = refusal(locked, route, file_id, *header)
    assert_is(answer, "ErrorResponse")
    error = answer["error"]
    assert isinstance(error, dict)
    assert (status, error["type"], error["code"]) == (401, "authentication_error", "invalid_api_key")


@pytest.mark.parametrize("route", [route for route, policy in API.items() if policy.scope == "tune"])
def test_a_key_for_chats_tunes_nothing(locked: Server, keys: dict[str, str], file_id: str, route: str) -> None:
    status, answer = refusal(locked, route, file_id, f"Authorization: Bearer {keys['chat']}")
    error = answer["error"]
    assert isinstance(error, dict)
    assert (status, error["type"], error["code"]) == (403, "permission_error", "insufficient_permissions")


def test_nothing_was_done_for_whoever_had_no_key(locked: Server, keys: dict[str, str], file_id: str) -> None:
    for route in API:
        refusal(locked, route, file_id)
    client = locked.client(keys["admin"])
    assert [file.id for file in client.files.list()] == [file_id]
    assert list(client.fine_tuning.jobs.list()) == []
