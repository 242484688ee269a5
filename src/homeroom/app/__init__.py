"""Composition root: binds job kinds to handlers and builds objects from settings. The public names are re-exported lazily."""

from __future__ import annotations

from typing import Any

__all__ = ["Homeroom", "open"]


def __getattr__(name: str) -> Any:  # whatever the public name is
    from homeroom.app import home

    if name == "Homeroom":
        return home.Homeroom
    if name == "open":
        return home.Homeroom.open
    raise AttributeError(f"module 'homeroom.app' has no attribute {name!r}")
