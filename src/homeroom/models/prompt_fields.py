"""The fields of a prompt program: what a message is made of, and what a reply holds. Plain data, read with no optimiser.

A conversation carries them as text: a message of several fields is a JSON object of them, or the text of the first one alone; a
reply of several fields is a JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeroom.errors import ProviderError

# Values of fields are any JSON.
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """One field of a message: its name, and the label that stands above its text where there are several."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class OutputFields:
    """What a reply of several fields is.

    Attributes:
        schema: JSON Schema of the object.
        main: The field that a person reads as the reply.
    """

    schema: Mapping[str, Any]
    main: str

    def read(self, text: str) -> dict[str, Any]:
        """The fields of a reply.

        Raises:
            ProviderError: ``reply-fields``: it is no JSON object, or a field is missing.
        """
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        missing = [name for name in self.schema["required"] if not isinstance(record, dict) or name not in record]
        if not isinstance(record, dict) or missing:
            raise ProviderError(
                f"The model did not answer with the fields {', '.join(map(repr, missing))} ({text[:80]!r}). Raise max_tokens, or "
                "choose a model that follows a schema: homeroom models list",
                code="reply-fields",
            )
        return record


def fill(slots: Sequence[Slot], values: Values) -> str:
    """The text of a message: its only field as it is, or each field that has a value below its label."""
    if len(slots) == 1:
        return field_text(values.get(slots[0].name))
    texts = [(slot.label, field_text(values.get(slot.name))) for slot in slots]
    return "\n\n".join(f"{label}:\n{text}" for label, text in texts if text)


def fill_text(slots: Sequence[Slot], main: str, text: str) -> str:
    """The text of a message that somebody wrote: the fields of a JSON object, otherwise the field ``main`` alone."""
    if len(slots) < 2:
        return text
    try:
        record = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        record = None
    named = isinstance(record, dict) and main in record and set(record) <= {slot.name for slot in slots}
    return fill(slots, record if named and isinstance(record, dict) else {main: text})


def field_text(value: object) -> str:
    """A field's value as a model reads it: a text as it is, passages numbered, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return "\n".join(f"[{number}] {part}" for number, part in enumerate(value, start=1))
    return json.dumps(value, ensure_ascii=False)
