"""Formats of examples: one module each, one line here."""

from __future__ import annotations

from homeroom.data.formats import chat, mathdial, prompt_completion
from homeroom.data.formats.base import RecordFormat, Written
from homeroom.errors import ConfigError
from homeroom.schema.examples import Json

__all__ = ["FORMATS", "RecordFormat", "Written", "detect", "named"]

# The first one that a record looks like is taken.
FORMATS: dict[str, RecordFormat] = {
    format.name: format
    for format in (
        chat.FORMAT,
        mathdial.FORMAT,
        prompt_completion.FORMAT,
    )
}


def named(name: str) -> RecordFormat:
    """The format of that name.

    Raises:
        ConfigError: there is none (``format-unknown``).
    """
    if name not in FORMATS:
        raise ConfigError(f"Unknown format {name!r}. Use one of: {', '.join(FORMATS)}.", code="format-unknown")
    return FORMATS[name]


def detect(record: Json) -> RecordFormat:
    """The format that ``record`` looks like; chat where it looks like none."""
    return next((format for format in FORMATS.values() if format.matches(record)), FORMATS["chat"])
