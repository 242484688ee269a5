"""Composition root: binds job kinds to handlers and builds objects from settings. The public names are re-exported lazily."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Homeroom", "open"]


def __getattr__(name: str) -> Any:  # whatever the public name is
    if name in __all__:
        # By name: `from homeroom.app import home` would ask this very function for "home".
        home = import_module("homeroom.app.home").Homeroom
        return home if name == "Homeroom" else home.open
    raise AttributeError(f"module 'homeroom.app' has no attribute {name!r}")
