"""``{"prompt": ..., "completion": ...}``: one question and one reply."""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.formats.base import RecordFormat
from homeroom.schema.examples import Json


def _matches(record: Json) -> bool:
    return "prompt" in record and "completion" in record


def _read(record: Json) -> Iterable[Json]:
    messages = [{"role": "user", "content": record["prompt"]}, {"role": "assistant", "content": record["completion"]}]
    return ({"messages": messages, **{k: v for k, v in record.items() if k not in ("prompt", "completion")}},)


FORMAT = RecordFormat("prompt-completion", "prompt and completion", _matches, _read)
