"""Formats of examples: one module each, one line here."""

from __future__ import annotations

from homeroom.data.formats import alpaca, chat, chat_export, dspy, mathdial, preference, prompt_completion, sharegpt, table
from homeroom.data.formats.base import RecordFormat, Written
from homeroom.errors import ConfigError
from homeroom.schema.examples import Json

__all__ = ["FORMATS", "RecordFormat", "Written", "detect", "named"]

# The first one that a record looks like is taken.
FORMATS: dict[str, RecordFormat] = {
    format.name: format
    for format in (
        chat.FORMAT,
        chat.OPENAI,
        preference.FORMAT,
        sharegpt.FORMAT,
        mathdial.FORMAT,
        chat_export.FORMAT,
        prompt_completion.FORMAT,
        alpaca.FORMAT,
        dspy.FORMAT,
        table.FORMAT,
    )
}


def named(name: str, *, to_write: bool = False) -> RecordFormat:
    """The format of that name.

    Raises:
        ConfigError: there is none, or it can only be read (``format-unknown``).
    """
    format = FORMATS.get(name)
    if format is None or (to_write and format.write is None):
        known = ", ".join(name for name, one in FORMATS.items() if one.write or not to_write)
        raise ConfigError(f"Unknown format {name!r}. Use one of: {known}.", code="format-unknown")
    return format


def detect(record: Json) -> RecordFormat:
    """The format that ``record`` looks like; chat where it looks like none."""
    return next((format for format in FORMATS.values() if format.matches(record)), FORMATS["chat"])
