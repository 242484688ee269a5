"""``{"prompt": ..., "completion": ...}``: two texts, or where these are too little two lists of messages, as TRL has them."""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.formats.base import RecordFormat, Written, beside, parts
from homeroom.schema.examples import Example, Json


def _matches(record: Json) -> bool:
    return "prompt" in record and "completion" in record


def _read(record: Json) -> Iterable[Json]:
    prompt, completion = record["prompt"], record["completion"]
    before = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    after = completion if isinstance(completion, list) else [{"role": "assistant", "content": completion}]
    return ({"messages": [*before, *after], **beside(record, "prompt", "completion")},)


def _write(example: Example) -> Written:
    messages = [message.to_dict() for message in example.messages]
    plain = [{"role": role} for role in ("user", "assistant")]
    if [beside(m, "content") for m in messages] == plain and all(isinstance(m["content"], str) for m in messages):
        return Written({"prompt": messages[0]["content"], "completion": messages[1]["content"], **parts(example)})
    return Written({"prompt": messages[:-1], "completion": messages[-1:], **parts(example)})


FORMAT = RecordFormat("prompt-completion", "prompt and completion, as texts or as lists of messages", _matches, _read, _write)
