"""The names that the server answers to: whoever asks under another one was led here (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
HTTPS = "https://"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d{1,5})?", re.IGNORECASE)


class Hosts:
    """Names to answer to besides loopback's.

    Args:
        names: ``NAME``, or ``https://NAME`` for one that is reached through a proxy that speaks HTTPS. That it does is said here
            and never believed of a request.
        addresses: Whether any address in digits will do: for a server that other machines reach. Rebinding takes a name.
    """

    def __init__(self, names: Iterable[str] = (), *, addresses: bool = False) -> None:
        given = [name.lower() for name in names]
        self._https = frozenset(name.removeprefix(HTTPS) for name in given if name.startswith(HTTPS))
        self._http = LOOPBACK_HOSTS | {name for name in given if not name.startswith(HTTPS)}
        self._addresses = addresses

    def scheme(self, header: str) -> str | None:
        """``http`` or ``https`` for the Host header of a request to us; None for one that is not."""
        match = _HOST.fullmatch(header)
        if match is None:
            return None
        name = match[1].lower()
        if name in self._https:
            return "https"
        return "http" if name in self._http or (self._addresses and is_address(name)) else None


def is_address(name: str) -> bool:
    """Whether it is an address in digits."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
