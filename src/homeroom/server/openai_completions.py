"""OpenAI's older API: going on with a text. For scripts that were written for it; a chat model is better asked as one.

Source: the API reference of "Create completion". The text is given to the model as it is: no chat template, no system prompt.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, jsonify

from homeroom.chat.pump import Drawn
from homeroom.models.prompt_program import chats_only
from homeroom.schema.chat import ChatModel, Completion, GenerationSettings, ReplyOptions, Usage, is_full
from homeroom.server.context import services
from homeroom.server.failures import RequestError
from homeroom.server.openai_fields import (
    Json,
    boolean,
    check_fields,
    check_ignored,
    model_name,
    optional_whole,
    sampling,
    short,
    stream_options,
    unsupported,
)
from homeroom.server.openai_models import model_card
from homeroom.server.openai_replies import Ask, streamed, together, usage_record, whole_replies
from homeroom.server.openai_request import MAX_CHOICES, penalties, with_overrides
from homeroom.server.requests import json_object

blueprint = Blueprint("openai_completions", __name__, url_prefix="/v1")

DEFAULT_TOKENS = 16
"""OpenAI's, for this operation alone."""

OFF: Mapping[str, tuple[Any, ...]] = {"suffix": (None, "")}
KNOWN = frozenset(
    {
        "model", "prompt", "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n",
        "presence_penalty", "seed", "stop", "stream", "stream_options", "temperature", "top_p", "user", "repeat_penalty",
    }
)  # fmt: skip

Record = dict[str, Any]  # JSON


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A checked request. ``choices`` is how many continuations of each prompt it wants, ``tokens`` how long they may be."""

    model: str
    prompts: tuple[str, ...]
    overrides: Mapping[str, Any]
    tokens: int
    choices: int
    echo: bool
    stream: bool
    include_usage: bool
    options: ReplyOptions

    def settings(self, saved: GenerationSettings, choice: int) -> GenerationSettings:
        """The model's saved settings with what the request names in their place."""
        return with_overrides(saved, {**self.overrides, "max_tokens": max(1, self.tokens), "json_schema": None}, choice)


@blueprint.post("/completions")
def completions() -> Response:
    """What follows each prompt, whole or streamed."""
    asked = parse(json_object())
    card = model_card(asked.model)
    model = services().models.chat_model(card.name)
    saved = card.generation
    asks = [
        text_ask(model, prompt, asked.settings(saved, choice), asked.options)
        for prompt in asked.prompts
        for choice in range(asked.choices)
    ]
    answer = TextAnswer(card.name, asked)
    if asked.stream:
        return streamed(asks, answer, include_usage=asked.include_usage, prompts=len(asked.prompts))
    return jsonify(answer.whole(whole_replies(asks)))


def parse(body: Json) -> TextRequest:
    """Check a request.

    Raises:
        RequestError: the first thing that is wrong, with ``param`` naming the field.
    """
    check_fields(body, KNOWN, OFF)
    model = model_name(body)
    stream, include_usage = stream_options(body)
    check_ignored(body, ("user",))
    prompts = _prompts(body.get("prompt"))
    choices = optional_whole(body, "n", 1, 128) or 1
    if choices * len(prompts) > MAX_CHOICES:
        raise unsupported("n", f"that asks for {choices * len(prompts)} replies; this server gives up to {MAX_CHOICES}")
    best_of = optional_whole(body, "best_of", 0, 20)
    if best_of is not None and best_of > choices:
        raise unsupported("best_of", "'best_of' above 'n' is not supported here; leave it out")
    echo = boolean(body, "echo")
    logprobs = optional_whole(body, "logprobs", 0, 5)
    if echo and logprobs is not None:
        raise unsupported("logprobs", "'logprobs' of an echoed prompt are not known here; leave 'echo' or 'logprobs' out")
    tokens = optional_whole(body, "max_tokens", 0, 1_000_000)
    return TextRequest(
        model=model,
        prompts=prompts,
        overrides=sampling(body),
        tokens=DEFAULT_TOKENS if tokens is None else tokens,
        choices=choices,
        echo=echo,
        stream=stream,
        include_usage=include_usage,
        options=ReplyOptions(top_logprobs=logprobs, **penalties(body)),
    )


def _prompts(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and any(isinstance(part, int | list) for part in texts):
        raise unsupported(
            "prompt", "'prompt' as token ids is not supported here: they mean other texts to other models. Send texts"
        )
    if not isinstance(texts, list) or not texts or not all(isinstance(part, str) and part for part in texts):
        raise RequestError(f"'prompt' must be a text or a list of texts, none of them empty, not {short(value)}", param="prompt")
    return tuple(texts)


def text_ask(model: ChatModel, prompt: str, settings: GenerationSettings, options: ReplyOptions) -> Ask:
    """What ``model`` writes after ``prompt``.

    Raises:
        OptionError: it only takes part in conversations (``not-for-completions``).
    """
    if not is_full(model):
        raise chats_only(model.name)
    return Ask(lambda: model.complete_text(prompt, settings, options), lambda: model.stream_text(prompt, settings, options))


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """The objects of one answer, which share their head. Implements `homeroom.server.openai_replies.Shape`.

    Where no token was asked for, one is drawn and not shown: the engine counts those of the prompt only then.
    """

    model: str
    asked: TextRequest
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    lengths: dict[int, int] = field(default_factory=dict)  # characters sent so far, by choice

    def whole(self, completions: Sequence[Completion]) -> Record:
        """The object ``text_completion``."""
        choices = []
        for index, completion in enumerate(completions):
            text, reason = (completion.text, completion.finish_reason) if self.asked.tokens else ("", "length")
            choices.append(self._choice(index, self._echo(index) + text, self._logprobs(index, completion.logprobs), reason))
        usage = self._counted(together([completion.usage for completion in completions], len(self.asked.prompts)))
        return {**self._head(), "choices": choices, "usage": usage_record(usage or Usage())}

    def begin(self, index: int) -> Iterator[Record]:
        """The prompt, where it is echoed."""
        if self.asked.echo:
            yield self._record(self._choice(index, self._echo(index), None, None))

    def piece(self, index: int, drawn: Drawn) -> Iterator[Record]:
        """Text."""
        if self.asked.tokens and (drawn.text or drawn.logprobs):
            yield self._record(self._choice(index, drawn.text, self._logprobs(index, drawn.logprobs), None))

    def end(self, index: int, finish_reason: str) -> Iterable[Record]:
        """Why it ended."""
        yield self._record(self._choice(index, "", None, finish_reason if self.asked.tokens else "length"))

    def usage(self, usage: Usage | None) -> Record:
        """The last object when the usage was asked for; null when the provider does not tell."""
        counted = self._counted(usage)
        return {**self._head(), "choices": [], "usage": usage_record(counted) if counted else None}

    def _counted(self, usage: Usage | None) -> Usage | None:
        return Usage(usage.prompt_tokens, 0) if usage is not None and not self.asked.tokens else usage

    def _echo(self, index: int) -> str:
        return self.asked.prompts[index // self.asked.choices] if self.asked.echo else ""

    def _logprobs(self, index: int, tokens: Sequence[Mapping[str, Any]]) -> Record | None:
        """The old form: lists side by side. A token's place is counted in characters of the answer's text."""
        if self.asked.options.top_logprobs is None or not self.asked.tokens:
            return None
        offsets = []
        for entry in tokens:
            offsets.append(self.lengths.get(index, 0))
            self.lengths[index] = offsets[-1] + len(entry["token"])
        return {
            "tokens": [entry["token"] for entry in tokens],
            "token_logprobs": [entry["logprob"] for entry in tokens],
            "top_logprobs": [
                {top["token"]: top["logprob"] for top in reversed([entry, *entry["top_logprobs"]])} for entry in tokens
            ],
            "text_offset": offsets,
        }

    def _choice(self, index: int, text: str, logprobs: Record | None, finish_reason: str | None) -> Record:
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}

    def _record(self, choice: Record) -> Record:
        return {**self._head(), "choices": [choice]}

    def _head(self) -> Record:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model}
