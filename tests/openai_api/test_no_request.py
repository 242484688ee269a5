"""What the application never meets, because it is no HTTP request, or too much of one."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.openai_api.conftest import Server


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /v1/models?after=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, "headers-too-large"),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nno header <b>at all\r\n\r\n", 400, "http"),
        (b"<script>alert(1)</script>\r\n\r\n", 400, "http"),
    ],
)
def test_it_is_refused_with_openai_s_object_and_not_repeated(server: Server, sent: bytes, status: int, code: str) -> None:
    where = urlsplit(server.address)
    assert where.hostname is not None
    with socket.create_connection((where.hostname, where.port or 80), timeout=60) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"application/json" in head
    error = json.loads(body)["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert b"script" not in body and b"xxx" not in body and b"<b>" not in body
