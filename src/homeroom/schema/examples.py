"""Examples: one training or evaluation record each, and the turns of one that a model is asked to answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Task = Literal["tutor", "learner"]

PARTS = ("messages", "metadata", "context", "reference")  # of a record that Homeroom reads; other keys are kept as they are

# JSON values of users' files: their keys and types are theirs, so `Any` is what they are.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``weight`` 0 keeps an assistant turn out of the loss (OpenAI's meaning); None means 1.

    ``extra`` holds what OpenAI's format has besides (``name``, ``tool_calls``, ``tool_call_id``), passed through as it is; a
    ``content`` in it is the original of one that is not a plain text: null, or a list of parts.
    """

    role: Role
    content: str
    weight: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_dict(self) -> Json:
        """As OpenAI's chat format writes it: ``weight`` only where it was given."""
        record: Json = {"role": self.role, "content": self.content}
        if self.weight is not None:
            record["weight"] = self.weight
        if self.extra:
            record.update(self.extra)
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Message:
        """The inverse of `to_dict`; the record must have been checked before (`homeroom.data.check`)."""
        content = record.get("content")
        extra = {key: value for key, value in record.items() if key not in ("role", "content", "weight")}
        if not isinstance(content, str):
            extra["content"], content = content, plain_text(content)
        return cls(cast(Role, record["role"]), content, record.get("weight"), extra)


def plain_text(content: object) -> str:
    """The text of a turn's content as OpenAI's format allows it: a text, null, or a list of parts of which some are texts."""
    if isinstance(content, list):
        texts = (part for part in content if isinstance(part, Mapping) and part.get("type") == "text")
        return "\n".join(str(part.get("text", "")) for part in texts)
    return content if isinstance(content, str) else ""


def beyond_text(message: Mapping[str, Any]) -> str:
    """What a turn in OpenAI's format holds that its text does not say; empty when the text is all of it.

    Training writes role and text of a turn: what this tells would be trained as if it were not there, a call as an empty reply.
    """
    if message.get("role") == "tool":
        return "the answer of a tool"
    if message.get("tool_calls") or message.get("function_call"):
        return "a call of a tool"
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    other = next((p.get("type") for p in parts if isinstance(p, Mapping) and p.get("type") != "text"), None)
    if other is not None:
        return f"a part of type {other!r}"
    return "a refusal in place of a text" if message.get("refusal") and not plain_text(content).strip() else ""


@dataclass(frozen=True, slots=True)
class Example:
    """One record: ``messages`` + ``metadata`` (+ optional ``context``, ``reference``).

    Attributes:
        messages: System turn first if any, then user and assistant in turn; ends with an assistant turn.
        metadata: subject, grade, grade_band, topic, difficulty, question_type, source, consent, task, and what else is kept.
        context: Passages that the reply refers to.
        reference: The key: ``answer``, ``accepted``, ``claim``, ``claim_is_correct``, ``solution``, ``misconception``, or none.
        extra: What else the record holds, kept as it is: ``tools``, the ``rejected`` reply of a preference ...
    """

    messages: tuple[Message, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    context: tuple[str, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> Json:
        """A record of Homeroom's JSONL; empty optional parts are left out."""
        record: Json = {"messages": [m.to_dict() for m in self.messages]}
        if self.metadata:
            record["metadata"] = dict(self.metadata)
        if self.context:
            record["context"] = list(self.context)
        if self.reference:
            record["reference"] = dict(self.reference)
        if self.extra:
            record.update(self.extra)
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Example:
        """The inverse of `to_dict`; the record must have been checked before."""
        return cls(
            messages=tuple(Message.from_dict(m) for m in record["messages"]),
            metadata=dict(record.get("metadata") or {}),
            context=tuple(record.get("context") or ()),
            reference=dict(record.get("reference") or {}),
            extra={key: value for key, value in record.items() if key not in PARTS},
        )

    @property
    def id(self) -> str:
        """Content hash, 16 hex digits: equal records have equal ids."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def task(self) -> Task:
        """Who the model plays: ``"learner"`` when the metadata says so, otherwise ``"tutor"``."""
        return "learner" if self.metadata.get("task") == "learner" else "tutor"

    def with_system(self, text: str) -> Example:
        """This example with ``text`` as its system turn, unless it has one of its own."""
        if not text or (self.messages and self.messages[0].role == "system"):
            return self
        return replace(self, messages=(Message("system", text), *self.messages))

    def items(self) -> Iterator[Item]:
        """One `Item` for each assistant turn that carries loss, with everything before it as the prompt."""
        turn = 0
        for index, message in enumerate(self.messages):
            if message.role == "assistant":
                if message.weight != 0:
                    yield Item(example=self, prompt=self.messages[:index], gold=message.content, turn=turn)
                turn += 1


@dataclass(frozen=True, slots=True)
class Item:
    """One reply to be generated and judged: prompt messages, the authored reply, and the example it comes from.

    ``turn`` is the index of the assistant turn in its example, from 0.
    """

    example: Example
    prompt: tuple[Message, ...]
    gold: str
    turn: int

    @property
    def id(self) -> str:
        """Example id and turn: ``"0f3a…-1"``."""
        return f"{self.example.id}-{self.turn}"

    @property
    def last_user(self) -> str:
        """The message that is answered; empty when the prompt has no user turn."""
        return next((m.content for m in reversed(self.prompt) if m.role == "user"), "")
