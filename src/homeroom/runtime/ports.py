"""Addresses and ports of this machine."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free on ``host`` a moment ago. Another process may take it first: be ready to try again."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``. A name other than ``localhost`` may lead anywhere, so it is not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int) -> str:
    """Where this machine finds what listens on ``host``: an address for all of its own is reached by loopback."""
    found = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{found}]:{port}" if ":" in found else f"http://{found}:{port}"


def has_route(root: Path = Path("/")) -> bool:
    """Whether this machine has a way to other networks, by its own tables: nobody is asked. True where they cannot be read."""
    tables = [root / "proc/net/route", root / "proc/net/ipv6_route"]
    if not any(table.exists() for table in tables):
        return True
    for table, default in zip(tables, ("00000000", "0" * 32), strict=True):
        try:
            rows = [line.split() for line in table.read_text(encoding="ascii", errors="replace").splitlines()]
        except OSError:
            continue
        # Interface and destination; in IPv6 the destination comes first, and a machine without one lists loopback.
        if any(len(r) > 7 and r[1] == default and r[0] != "lo" for r in rows if len(default) == 8):
            return True
        if any(len(r) > 9 and r[0] == default and r[1] == "00" and r[-1] != "lo" for r in rows if len(default) == 32):
            return True
    return False
