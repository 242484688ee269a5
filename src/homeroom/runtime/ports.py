"""Addresses and ports of this machine."""

from __future__ import annotations

import ipaddress
import socket

from homeroom.errors import ConfigError


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free on ``host`` a moment ago. Another process may take it first: be ready to try again."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def check_loopback(host: str) -> None:
    """Refuse an address that other machines can reach: there are no accounts.

    Raises:
        ConfigError: code ``public-bind``.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(
            f"The server has no accounts, so it does not open {host!r} to other machines. Use: homeroom serve --host 127.0.0.1",
            code="public-bind",
        )
