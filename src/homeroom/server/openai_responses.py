"""OpenAI's responses API for text: one answer, whole or as the events in which it comes about.

Nothing is kept: an answer cannot be retrieved, and a conversation goes on by sending its turns again.
Source: the API references of "Create a model response" and of its streaming events.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify

from homeroom.chat.pump import Drawn, Pump
from homeroom.chat.replies import PING_S
from homeroom.errors import HomeroomError, OptionError
from homeroom.schema.chat import GenerationSettings, Usage
from homeroom.server.context import context, services
from homeroom.server.errors import as_openai
from homeroom.server.openai_models import model_card
from homeroom.server.openai_replies import Ask, chat_ask, whole_replies
from homeroom.server.openai_responses_request import parse
from homeroom.server.requests import json_object
from homeroom.server.streams import SSE_PING, event_stream

blueprint = Blueprint("openai_responses", __name__, url_prefix="/v1")

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# JSON of our own making.
Json = dict[str, Any]


@blueprint.post("/responses")
def create_response() -> Response:
    """An answer, whole or streamed."""
    asked = parse(json_object())
    card = model_card(asked.model)
    model = services().models.chat_model(card.name)
    settings = asked.settings(card.generation)
    answer = _Answer(card.name, settings, asked.told)
    with _own_names():
        ask = chat_ask(model, asked.prompt(card.system_prompt), settings, asked.options)
        if asked.stream:
            return _streamed(ask, answer)
        done = whole_replies([ask])[0]
    return jsonify(answer.ended(done.text, done.finish_reason, done.usage))


def _streamed(ask: Ask, answer: _Answer) -> Response:
    """The events. What fails before any text still gets a status of its own."""
    with ExitStack() as undo:
        undo.callback(context().replies.enter())
        pump = Pump(ask.pieces, name="api-response")
        undo.callback(pump.stop)
        first = pump.take(PING_S)
        if first.error is not None and not first.text:
            raise first.error
        close = undo.pop_all().close
    return event_stream(_events(pump, first, answer), close)


@contextmanager
def _own_names() -> Iterator[None]:
    """What a model cannot do, under the name that this operation has for it."""
    try:
        yield
    except OptionError as error:
        if error.param == "response_format":
            error.param = "text.format"
        raise


@dataclass(frozen=True, slots=True)
class _Answer:
    """The parts that all states of one answer share."""

    model: str
    settings: GenerationSettings
    told: Mapping[str, Any]
    id: str = field(default_factory=lambda: f"resp_{uuid.uuid4().hex}")
    item_id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    created_at: int = field(default_factory=lambda: int(time.time()))

    def begun(self) -> Json:
        """Nothing said yet."""
        return self._response("in_progress", [])

    def ended(self, text: str, finish_reason: str, usage: Usage | None) -> Json:
        """All said: ``completed``, or ``incomplete`` with the reason."""
        reason = _INCOMPLETE.get(finish_reason)
        status = "incomplete" if reason else "completed"
        response = self._response(status, [self.item(status, text)])
        details = {"reason": reason} if reason else None
        finished = None if reason else int(time.time())
        return {**response, "incomplete_details": details, "completed_at": finished, "usage": _usage(usage) if usage else None}

    def failed(self, text: str, error: HomeroomError) -> Json:
        """Broken off in the middle; what was said is in it."""
        told = as_openai(error)["error"]
        response = self._response("failed", [self.item("incomplete", text)] if text else [])
        return {**response, "error": {"code": "server_error", "message": told["message"]}}

    def item(self, status: str, text: str | None) -> Json:
        """The one item of the output; without a part before anything is said."""
        content = [] if text is None else [part(text)]
        return {"id": self.item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _response(self, status: str, output: list[Json]) -> Json:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "max_tool_calls": None,
            "model": self.model,
            "output": output,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": self.settings.temperature,
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": self.settings.top_p,
            "truncation": "disabled",
            "usage": None,
            **self.told,
        }


def part(text: str) -> Json:
    """A part of an item's content."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _events(pump: Pump, first: Drawn, answer: _Answer) -> Iterator[bytes]:
    """The events of one message, in OpenAI's order, numbered from 0."""
    number = 0

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        record = {"type": kind, "sequence_number": number, **fields}
        number += 1
        return f"event: {kind}\ndata: {json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()

    place = {"item_id": answer.item_id, "output_index": 0, "content_index": 0}
    yield event("response.created", response=answer.begun())
    yield event("response.in_progress", response=answer.begun())
    yield event("response.output_item.added", output_index=0, item=answer.item("in_progress", None))
    yield event("response.content_part.added", **place, part=part(""))
    said: list[str] = []
    drawn = first
    while True:
        if drawn.text:
            said.append(drawn.text)
            yield event("response.output_text.delta", **place, delta=drawn.text, logprobs=[])
        if drawn.ended:
            break
        drawn = pump.take(PING_S)
        if not (drawn.text or drawn.ended):
            yield SSE_PING
    text = "".join(said)
    if drawn.error is not None:
        yield event("response.failed", response=answer.failed(text, drawn.error))
        return
    whole = answer.ended(text, drawn.finish_reason, drawn.usage)
    yield event("response.output_text.done", **place, text=text, logprobs=[])
    yield event("response.content_part.done", **place, part=part(text))
    yield event("response.output_item.done", output_index=0, item=answer.item(whole["status"], text))
    yield event(f"response.{whole['status']}", response=whole)


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }
