"""Where a webhook may be sent: looked up and judged once, and connected to exactly there.

A name can be looked up twice with two answers, so the address that was judged is the one that is used.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from homeroom.errors import ConfigError

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
MAX_URL = 2000
Lookup = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """What to connect to.

    Attributes:
        url: With the address in place of the name.
        host: What the receiver is called: for its ``Host`` header and its certificate.
        server_name: The name alone.
    """

    url: str
    host: str
    server_name: str


def lookup(name: str, port: int) -> list[str]:
    """Every address of a name.

    Raises:
        OSError: it has none now.
    """
    return [str(entry[4][0]) for entry in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]


def check_url(url: str, *, private: bool) -> SplitResult:
    """Refuse an address that no webhook can have.

    Raises:
        ConfigError: ``webhook-url``, or ``webhook-private`` for a literal address of this machine or a private network.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = parts.hostname or ""
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MAX_URL
    if parts.scheme not in DEFAULT_PORTS or not host or not plain or parts.username or parts.password or port == 0:
        raise ConfigError(
            f"{url[:200]!r} cannot be a webhook. Give an address such as https://example.org/hook, without user or password",
            code="webhook-url",
        )
    if not private and (host == "localhost" or host.endswith(".localhost") or _is_private(host)):
        raise _private(url, host)
    return parts


def target_of(url: str, *, private: bool, find: Lookup = lookup) -> Target:
    """Look the address up and judge it.

    Raises:
        ConfigError: ``webhook-private``: it leads to this machine or into a private network; ``webhook-url``.
        OSError: the name has no address now.
    """
    parts = check_url(url, private=private)
    name = parts.hostname or ""
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    found = find(name, port)
    if not private and any(_is_private(address) for address in found):
        raise _private(url, next(address for address in found if _is_private(address)))
    address = found[0]
    place = f"[{address}]" if ":" in address else address
    query = f"?{parts.query}" if parts.query else ""
    host = f"[{name}]" if ":" in name else name
    return Target(
        f"{parts.scheme}://{place}:{port}{parts.path or '/'}{query}",
        host if parts.port is None else f"{host}:{port}",
        name,
    )


def _is_private(address: str) -> bool:
    """Whether it is an address that is not out in the open; a name is not."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return not (mapped or found).is_global or found.is_multicast


def _private(url: str, where: str) -> ConfigError:
    return ConfigError(
        f"The webhook {url[:200]!r} leads to {where!r}, on this machine or in a private network. If that is meant, set "
        "webhook_private: true in config.yaml",
        code="webhook-private",
    )
