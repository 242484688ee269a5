"""Conversations that were held with the server: ``{"conversation": id, "turns": [...]}``, with what people said of each reply.

A reply whose better answer may be used (``consent`` is ``granted``) becomes one example: the talk up to it, and that answer.
A reply with a thumb up that may be used becomes one as it stands. Where nobody said anything, the talk is one example with the
consent that was recorded, which stops it from training anything unless it was granted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from homeroom.data.formats.base import RecordFormat, Written, beside, parts
from homeroom.schema.examples import Example, Json

SAID = ("id", "model", "thumb", "reason", "better_answer", "consent", "by", "created_at")  # of a turn, besides role and content
_OWN = ("conversation", "turns", "title", "kind", "created_at")


def _matches(record: Json) -> bool:
    return isinstance(record.get("turns"), list) and "messages" not in record


def _read(record: Json) -> Iterable[Json]:
    turns, rest = record["turns"], beside(record, *_OWN)
    messages = [beside(turn, *SAID) if isinstance(turn, dict) else turn for turn in turns]
    if "conversation" not in record:
        return ({"messages": messages, **rest},)
    about = rest.get("metadata")
    metadata: Json = {"source": "learner", "consent": "not-asked", **(about if isinstance(about, dict) else {})}
    told = [
        index for index, turn in enumerate(turns) if isinstance(turn, dict) and (turn.get("thumb") or turn.get("better_answer"))
    ]
    if not told:
        return ({**rest, "messages": messages, "metadata": {**metadata, "origin": origin(record)}},)
    return [_example(record, messages, index, {**rest, "metadata": metadata}) for index in told if _useful(turns[index])]


def _useful(turn: Json) -> bool:
    """A better answer or praise. A thumb down alone says what not to do, which nothing can be trained on."""
    return bool(turn.get("better_answer") or turn.get("thumb") == "up")


def _example(record: Json, messages: list[Any], index: int, rest: Json) -> Json:
    turn = record["turns"][index]
    better = turn.get("better_answer")
    last = {"role": "assistant", "content": better or turn.get("content")}
    # Nobody praised the replies before this one: they are context.
    before = [{**m, "weight": 0} if isinstance(m, dict) and m.get("role") == "assistant" else m for m in messages[:index]]
    metadata = {**rest["metadata"], "consent": turn.get("consent") or "not-asked", "origin": origin(record, turn)}
    if turn.get("by") == "teacher":
        metadata |= {"source": "teacher", "consent": "refused" if turn.get("consent") == "refused" else "granted"}
    example = {**rest, "messages": [*before, last], "metadata": metadata}
    if better:
        example["rejected"] = [{"role": "assistant", "content": turn.get("content")}]
    return example


def origin(record: Json, turn: Json | None = None) -> Json:
    """Where an example came from, for its metadata."""
    found: Json = {"kind": "conversation", "conversation": record.get("conversation")}
    if turn is not None:
        found["kind"] = "correction" if turn.get("better_answer") else "praise"
        found |= {key: turn[key] for key in ("id", "model", "thumb", "reason", "created_at") if turn.get(key)}
    return found


def _write(example: Example) -> Written:
    return Written({"turns": [message.to_dict() for message in example.messages], **parts(example)})


FORMAT = RecordFormat("chat-export", "conversations with the server, with feedback", _matches, _read, _write)
