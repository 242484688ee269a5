"""OpenAI's chat API: any client of theirs works with this server's address as its ``base_url``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify

from homeroom.chat.pump import Drawn
from homeroom.schema.chat import Completion, Usage
from homeroom.server.context import services
from homeroom.server.openai_models import model_card
from homeroom.server.openai_replies import chat_ask, streamed, together, usage_record, whole_replies
from homeroom.server.openai_request import parse
from homeroom.server.requests import json_object

blueprint = Blueprint("openai", __name__, url_prefix="/v1")

Record = dict[str, Any]  # JSON


@blueprint.post("/chat/completions")
def chat_completions() -> Response:
    """A reply, or several, whole or streamed."""
    asked = parse(json_object())
    card = model_card(asked.model)
    model = services().models.chat_model(card.name)
    messages = asked.prompt(card.system_prompt)
    asks = [chat_ask(model, messages, asked.settings(card.generation, choice), asked.options) for choice in range(asked.choices)]
    answer = Answer(card.name, logprobs=asked.options.top_logprobs is not None)
    if asked.stream:
        return streamed(asks, answer, include_usage=asked.include_usage)
    return jsonify(answer.whole(whole_replies(asks)))


@dataclass(frozen=True, slots=True)
class Answer:
    """The objects of one answer, which share their head. Implements `homeroom.server.openai_replies.Shape`.

    ``logprobs`` says whether log-probabilities were asked for.
    """

    model: str
    logprobs: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, completions: Sequence[Completion]) -> Record:
        """The object ``chat.completion``."""
        choices = [
            {
                "index": index,
                "message": _message(completion),
                "logprobs": self._logprobs(completion.logprobs),
                "finish_reason": completion.finish_reason,
            }
            for index, completion in enumerate(completions)
        ]
        usage = together([completion.usage for completion in completions])
        return {**self._head("chat.completion"), "choices": choices, "usage": usage_record(usage or Usage())}

    def begin(self, index: int) -> Iterable[Record]:
        """Who speaks."""
        yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})

    def piece(self, index: int, drawn: Drawn) -> Iterator[Record]:
        """Text, then pieces of calls one by one: clients put those together by their order."""
        if drawn.text or drawn.logprobs:
            yield self._chunk(index, {"content": drawn.text}, logprobs=self._logprobs(drawn.logprobs))
        for call in drawn.tool_calls:
            yield self._chunk(index, {"tool_calls": [call]})

    def end(self, index: int, finish_reason: str) -> Iterable[Record]:
        """Why it ended."""
        yield self._chunk(index, {}, finish_reason)

    def usage(self, usage: Usage | None) -> Record:
        """The last chunk when the usage was asked for; null when the provider does not tell."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage_record(usage) if usage else None}

    def _chunk(self, index: int, delta: Record, finish_reason: str | None = None, *, logprobs: Record | None = None) -> Record:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _logprobs(self, tokens: Sequence[Mapping[str, Any]]) -> Record | None:
        return {"content": list(tokens), "refusal": None} if self.logprobs else None

    def _head(self, kind: str) -> Record:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _message(completion: Completion) -> Record:
    message: Record = {"role": "assistant", "content": completion.text, "refusal": None}
    if completion.fields:  # of a tuned prompt whose reply has several
        message["fields"] = dict(completion.fields)
    if completion.tool_calls:
        message["content"] = completion.text or None
        message["tool_calls"] = [
            {**call, "type": "function", "id": call.get("id") or f"call_{uuid.uuid4().hex}"} for call in completion.tool_calls
        ]
    return message
