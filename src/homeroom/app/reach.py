"""Who can reach the server of a home: this machine alone, or others, who then need keys."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.errors import ConfigError
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
