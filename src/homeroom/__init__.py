"""Homeroom: educational chatbots that are tuned, grounded and proven.

``import homeroom`` loads nothing else. The public names of `homeroom.app` are re-exported lazily, so
``homeroom.open()`` works without further imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Homeroom", "__version__", "open"]


def __getattr__(name: str) -> Any:  # whatever the public name is
    if name in ("Homeroom", "open"):
        return getattr(import_module("homeroom.app"), name)
    raise AttributeError(f"module 'homeroom' has no attribute {name!r}")
