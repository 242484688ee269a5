"""OpenAI's chat format, which is also Homeroom's own: ``{"messages": [...]}`` with metadata, context and reference beside it."""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.formats.base import RecordFormat, Written
from homeroom.schema.examples import Example, Json


def _matches(record: Json) -> bool:
    return "messages" in record


def _read(record: Json) -> Iterable[Json]:
    return (record,)


def _write(example: Example) -> Written:
    return Written(example.to_dict())


FORMAT = RecordFormat("chat", "OpenAI's chat JSONL, and Homeroom's own", _matches, _read, _write)
