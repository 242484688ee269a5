"""A chat request of OpenAI's API, checked field by field.

Source: the API reference of "Create chat completion". What this server cannot do is refused with 400 and the field's name: a
client that asked for three choices must not be given one in silence. What only some models can do is refused by the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeroom.schema.chat import NO_OPTIONS, GenerationSettings, ReplyOptions
from homeroom.schema.examples import Message
from homeroom.server.failures import RequestError
from homeroom.server.openai_fields import (
    IGNORED,
    Json,
    boolean,
    check_fields,
    check_ignored,
    label,
    logit_bias,
    mapping,
    model_name,
    number,
    one_of,
    optional_whole,
    sampling,
    stream_options,
    unsupported,
)
from homeroom.server.openai_messages import read_messages, read_tools

MAX_CHOICES = 16
"""Replies of one request: each takes a place in the engine."""

# Fine as long as they ask for nothing: the values that mean "off".
OFF: Mapping[str, tuple[Any, ...]] = {
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "moderation": (None,),
}
KNOWN = frozenset(
    {
        "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "stream",
        "stream_options", "response_format", "repeat_penalty", "n", "logprobs", "top_logprobs", "tools", "tool_choice",
        "parallel_tool_calls", "presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort", "verbosity", *IGNORED,
    }
)  # fmt: skip
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_VERBOSITIES = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. ``overrides`` are the generation settings that it names; ``choices`` how many replies it wants."""

    model: str
    messages: tuple[Message, ...]
    overrides: Mapping[str, Any]
    stream: bool
    include_usage: bool
    choices: int = 1
    options: ReplyOptions = NO_OPTIONS

    def settings(self, saved: GenerationSettings, choice: int = 0) -> GenerationSettings:
        """The model's saved settings with what the request names in their place. Each choice has a seed of its own."""
        return with_overrides(saved, self.overrides, choice)

    def prompt(self, system_prompt: str) -> list[Message]:
        """The messages; the model's own system prompt stands first unless the client sends one."""
        if not system_prompt or any(m.role == "system" for m in self.messages):
            return list(self.messages)
        return [Message("system", system_prompt), *self.messages]


def with_overrides(saved: GenerationSettings, overrides: Mapping[str, Any], choice: int = 0) -> GenerationSettings:
    """``saved`` with ``overrides`` in its place, for one of several choices: each has a seed of its own."""
    settings = {**saved.to_dict(), **overrides}
    if choice and settings["seed"] is not None:
        settings["seed"] += choice
    return GenerationSettings.from_dict(settings)


def parse(body: Json) -> ChatRequest:
    """Check a request.

    Raises:
        RequestError: the first thing that is wrong, with ``param`` naming the field.
    """
    check_fields(body, KNOWN, OFF)
    model = model_name(body)
    stream, include_usage = stream_options(body)
    check_ignored(body)
    schema, strict = read_response_format(body.get("response_format"))
    overrides = sampling(body) | _length(body)
    if schema is not None:
        overrides["json_schema"] = schema
    tools, choice, parallel = read_tools(body)
    messages = read_messages(body.get("messages"))
    if not tools:
        _check_without_tools(messages)
    return ChatRequest(
        model=model,
        messages=messages,
        overrides=overrides,
        stream=stream,
        include_usage=include_usage,
        choices=_choices(body),
        options=ReplyOptions(
            top_logprobs=_top_logprobs(body),
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            strict=strict,
            passed=_passed(body),
            **penalties(body),
        ),
    )


def penalties(body: Json) -> dict[str, Any]:
    """The fields that change how likely single tokens are, of those that the request names."""
    found: dict[str, Any] = {}
    for name in ("presence_penalty", "frequency_penalty"):
        if body.get(name) is not None:
            found[name] = number(body[name], name, -2, 2)
    if body.get("logit_bias") is not None:
        found["logit_bias"] = logit_bias(body["logit_bias"])
    return found


def read_response_format(value: object) -> tuple[dict[str, Any] | None, bool]:
    """The JSON Schema that ``response_format`` asks for, None for plain text; and whether a reply must follow every part of it.

    Raises:
        RequestError: it is none of the three kinds, or not whole.
    """
    if value is None:
        return None, False
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None, False
    if kind == "json_object":
        return {"type": "object"}, False
    wanted = value.get("json_schema") if isinstance(value, dict) else None
    schema = wanted.get("schema", {}) if isinstance(wanted, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict) or not isinstance(wanted, dict):
        raise RequestError(
            "'response_format' must be of type 'text', 'json_object', or 'json_schema' with a 'json_schema.schema' object",
            param="response_format",
        )
    label(wanted.get("name"), "response_format.json_schema.name")
    return schema, boolean(wanted, "strict", "response_format.json_schema.")


def _length(body: Json) -> dict[str, Any]:
    names = [name for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    if len(names) == 2:
        raise RequestError("'max_tokens' and 'max_completion_tokens' mean the same: send one of them", param="max_tokens")
    return {"max_tokens": optional_whole(body, names[0], 1, 1_000_000)} if names else {}


def _choices(body: Json) -> int:
    count = optional_whole(body, "n", 1, 128)
    if count is not None and count > MAX_CHOICES:
        raise unsupported("n", f"'n' is {count}; this server gives up to {MAX_CHOICES} choices")
    return count or 1


def _top_logprobs(body: Json) -> int | None:
    """How many alternatives to tell; None when no log-probabilities are asked for."""
    wanted = boolean(body, "logprobs")
    count = optional_whole(body, "top_logprobs", 0, 20)
    if count and not wanted:
        raise RequestError("'top_logprobs' is only allowed with 'logprobs': true", param="top_logprobs")
    return count or 0 if wanted else None


def _passed(body: Json) -> dict[str, Any]:
    """Fields for those who speak OpenAI's API themselves, where they ask for anything."""
    found: dict[str, Any] = {}
    given = body.get("response_format")
    if given is not None and mapping(given, "response_format").get("type") != "text":
        found["response_format"] = given
    if body.get("reasoning_effort") is not None and one_of(body["reasoning_effort"], "reasoning_effort", _EFFORTS) != "none":
        found["reasoning_effort"] = body["reasoning_effort"]
    if body.get("verbosity") is not None and one_of(body["verbosity"], "verbosity", _VERBOSITIES) != "medium":
        found["verbosity"] = body["verbosity"]
    return found


def _check_without_tools(messages: tuple[Message, ...]) -> None:
    for index, message in enumerate(messages):
        if message.role == "tool" or "tool_calls" in message.extra:
            where = f"messages[{index}]"
            raise RequestError(f"'{where}' is about tools, and the request names none in 'tools'", param=where)
