"""The server of this very home, if one runs: where it answers, and which endpoints of the settings are nothing but it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeroom.runtime import is_loopback
from homeroom.settings import Endpoint
from homeroom.storage.lock import HomeLock

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def serving_address(home: Homeroom) -> str:
    """Where the server that holds this home says it answers; empty where none does. Asks nobody."""
    holder = HomeLock.holder(home.settings.home)
    return holder.address if holder is not None else ""


def is_this_server(home: Homeroom, endpoint: Endpoint) -> bool:
    """Whether the endpoint's address is that of this home's own server: what it offers is here already."""
    address = serving_address(home)
    return bool(address) and _place(address) == _place(endpoint.base_url)


def _place(url: str) -> tuple[str, int | None]:
    """Host and port; all names of the loopback are one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return ("localhost" if is_loopback(host) else host), parts.port or {"http": 80, "https": 443}.get(parts.scheme)
