"""OpenAI's chat API: any client of theirs works with this server's address as its ``base_url``."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify

from homeroom.chat.directory import ModelCard, find_card
from homeroom.chat.pump import Drawn, Pump
from homeroom.chat.replies import PING_S
from homeroom.schema.chat import ChatModel, GenerationSettings, Usage
from homeroom.schema.examples import Message
from homeroom.server.context import context, services
from homeroom.server.errors import as_openai
from homeroom.server.openai_request import parse
from homeroom.server.requests import json_object
from homeroom.server.streams import SSE_PING, event_stream

blueprint = Blueprint("openai", __name__, url_prefix="/v1")


@blueprint.get("/models")
def list_models() -> Response:
    """Every model, the default first."""
    return jsonify({"object": "list", "data": [_model(card) for card in services().models.list()]})


@blueprint.get("/models/<path:name>")
def get_model(name: str) -> Response:
    """One model."""
    return jsonify(_model(find_card(services().models, name)))


@blueprint.post("/chat/completions")
def chat_completions() -> Response:
    """A reply, whole or streamed."""
    asked = parse(json_object())
    card = find_card(services().models, asked.model)
    model = services().models.chat_model(card.name)
    messages, settings = asked.prompt(card.system_prompt), asked.settings(card.generation)
    answer = _Answer(card.name)
    with ExitStack() as undo:
        leave = context().replies.enter()
        undo.callback(leave)
        if not asked.stream:
            completion = model.complete(messages, settings)
            return jsonify(answer.whole(completion.text, completion.finish_reason, completion.usage))
        pump, first = _open(model, messages, settings)
        undo.pop_all()
    return event_stream(_chunks(pump, first, answer, include_usage=asked.include_usage), pump.stop, leave)


def _open(model: ChatModel, messages: list[Message], settings: GenerationSettings) -> tuple[Pump, Drawn]:
    """The stream and its first piece: what fails before any text still gets a status of its own."""
    pump = Pump(lambda: model.stream(messages, settings), name="api-reply")
    first = pump.take(PING_S)
    if first.error is not None and not first.text:
        raise first.error
    return pump, first


@dataclass(frozen=True, slots=True)
class _Answer:
    """The parts that all objects of one answer share."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """The object ``chat.completion``."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(usage)}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """The object ``chat.completion.chunk``."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: Usage | None) -> dict[str, Any]:
        """The last chunk when usage was asked for; its usage is null when the provider does not tell."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(usage) if usage else None}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "system_fingerprint": None}


def _chunks(pump: Pump, first: Drawn, answer: _Answer, *, include_usage: bool) -> Iterator[bytes]:
    extra: dict[str, Any] = {"usage": None} if include_usage else {}
    yield _data({**answer.chunk({"role": "assistant", "content": "", "refusal": None}), **extra})
    drawn = first
    while True:
        if drawn.text:
            yield _data({**answer.chunk({"content": drawn.text}), **extra})
        if drawn.ended:
            break
        drawn = pump.take(PING_S)
        if not (drawn.text or drawn.ended):
            yield SSE_PING
    if drawn.error is not None:
        yield _data(as_openai(drawn.error))
        return
    yield _data({**answer.chunk({}, drawn.finish_reason), **extra})
    if include_usage:
        yield _data(answer.usage_chunk(drawn.usage))
    yield b"data: [DONE]\n\n"


def _data(record: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _model(card: ModelCard) -> dict[str, Any]:
    owner = "endpoint" if card.kind == "endpoint" else "homeroom"
    return {"id": card.name, "object": "model", "created": int(card.created_at), "owned_by": owner}
