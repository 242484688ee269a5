"""Word lists: plain text files with their source and licence in the head; read once, when a rule first asks."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def lines(name: str) -> tuple[str, ...]:
    """The entries of the list ``name``: no comments, no empty lines."""
    text = resources.files("homeroom.data.lint.words").joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def word_set(text: str) -> frozenset[str]:
    """The words of ``text``, which stand between spaces."""
    return frozenset(text.split())
