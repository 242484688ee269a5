"""What the catalogue says about a base model that is on this machine, where it says anything."""

from __future__ import annotations

from homeroom.errors import NotFoundError
from homeroom.models.catalogue import BaseModel, load_catalogue


def listed_base(name: str) -> BaseModel | None:
    """The catalogue's entry of ``name``; None for a base that was prepared here from a folder of one's own."""
    try:
        entry = load_catalogue().find(name)
    except NotFoundError:
        return None
    return entry if isinstance(entry, BaseModel) else None
