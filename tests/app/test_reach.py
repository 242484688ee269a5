"""A port: taken, free, and freed while it is waited for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from homeroom.app.reach import check_port
from homeroom.errors import ConflictError

HOST = "127.0.0.1"


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Another program's listening socket."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        yield listening


def test_a_taken_port_is_refused_at_once_and_after_patience(other: socket.socket) -> None:
    port = other.getsockname()[1]
    for patience_s in (0.0, 0.3):
        with pytest.raises(ConflictError) as refused:
            check_port(HOST, port, patience_s=patience_s)
        assert refused.value.code == "port-taken" and f"--port {port + 1}" in str(refused.value)


def test_a_port_that_is_freed_in_the_meantime_is_taken(other: socket.socket) -> None:
    port = other.getsockname()[1]
    freed = threading.Timer(0.5, other.close)
    freed.start()
    try:
        check_port(HOST, port, patience_s=60.0)
    finally:
        freed.join()
    check_port(HOST, port)
