"""Where the server of a home can listen, and who can reach it: this machine alone, or others, who then need keys."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Sequence

from homeroom.errors import ConfigError, ConflictError
from homeroom.runtime import is_loopback


def is_public(host: str, names: Sequence[str]) -> bool:
    """Whether other machines may reach a server that listens on ``host`` and answers to ``names``.

    A name counts even where the server listens on loopback: it says that a proxy stands in front, whose visitors all seem to come
    from this machine.
    """
    return bool(names) or not is_loopback(host)


def check_reach(host: str, names: Sequence[str], *, has_keys: bool) -> None:
    """Refuse to open a server to others before anybody has a key.

    Raises:
        ConfigError: code ``public-bind``.
    """
    if is_public(host, names) and not has_keys:
        what = f"answer to {', '.join(names)}" if names else f"listen on {host!r}, which other machines reach,"
        raise ConfigError(
            f"Nobody has a key, so the server does not {what} yet: everybody could read every conversation. Make a key, then "
            "start it again: homeroom users key create NAME --scope admin",
            code="public-bind",
        )


FREED_IN_S = 3.0
"""How long a server waits for its port: the processes of one that was killed a moment ago hold it until they have seen that."""


def _bind(host: str, port: int, patience_s: float) -> None:
    """Take the port and give it back; one that is taken is tried again until patience ends."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def check_port(host: str, port: int, command: str = "homeroom serve", *, patience_s: float = 0.0) -> None:
    """Refuse an address that this machine does not have, and a port that another program holds for longer than ``patience_s``.

    Raises:
        ConflictError: ``port-taken``, naming the next one as an option of ``command``.
        ConfigError: ``host-unknown``: nothing here can listen on ``host``; ``port-refused``: the system keeps the port back.
    """
    try:
        _bind(host, port, patience_s)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of the network is written like that
        number = getattr(error, "errno", None)
        told = getattr(error, "strerror", None) or "no such name"
        if not isinstance(error, socket.gaierror) and number == errno.EADDRINUSE:
            raise ConflictError(
                f"Port {port} on {host} is taken by another program ({told}). Choose another: "
                f"{command} --port {port + 1 if port < 65_535 else 0}",
                code="port-taken",
            ) from error
        if not isinstance(error, socket.gaierror) and number in (errno.EACCES, errno.EPERM):
            raise ConfigError(
                f"The system does not let this account listen on port {port} ({told}). Choose one above 1023: "
                f"{command} --port 8642",
                code="port-refused",
            ) from error
        raise ConfigError(
            f"This machine has no address {host!r} to listen on ({told}). Name one of its own, 0.0.0.0 for all of them, "
            "as HOMEROOM_HOST or so: homeroom serve --host 127.0.0.1",
            code="host-unknown",
        ) from error
