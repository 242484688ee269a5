"""Every test runs hermetically: a home of its own, no keys, and no socket outside loopback."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

# A runner that was started in the background ignores SIGINT, and so would every command that a test starts and stops with Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

_REAL_CONNECT = socket.socket.connect
_LOOPBACK = ("127.", "::1", "localhost")


def _guarded_connect(sock, address):
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_LOOPBACK):
        raise AssertionError(f"a test tried to reach {address!r}: tests stay on loopback")
    return _REAL_CONNECT(sock, address)


@pytest.fixture(autouse=True)
def _hermetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(socket.socket, "connect", _guarded_connect)
    for name in [n for n in os.environ if n.startswith("HOMEROOM_") or n.endswith("_API_KEY")]:
        if name in ("HOMEROOM_SHARED_DATA", "HOMEROOM_TEST_CACHE"):
            continue
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOMEROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOMEROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
