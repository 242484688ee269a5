"""When a base or an adapter was last asked for: the times of empty files in ``<home>/run/use``, set by whoever asks.

Every process of a home may answer questions, and only one of them decides what stays loaded: a file's time is the cheapest thing
that they can share.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from homeroom.models.prepared import slug


def mark_use(home: Path, *names: str) -> None:
    """Say that ``names`` (identities of bases, names of tuned models) are asked for now."""
    for name in names:
        path = _path(home, name)
        with suppress(OSError):  # a full disk: it is a hint, and what is asked for can be answered without
            try:
                os.utime(path)
            except FileNotFoundError:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.touch(mode=0o600)


def last_use(home: Path, name: str) -> float:
    """Unix seconds; 0 for what was never asked for."""
    try:
        return _path(home, name).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _path(home: Path, name: str) -> Path:
    return home / "run" / "use" / slug(name)
