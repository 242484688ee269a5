"""A request of OpenAI's responses API, checked field by field: text in, text or JSON out, nothing kept.

Source: the API reference of "Create a model response". What this server does not do is refused with 400 and the field's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeroom.schema.chat import GenerationSettings, ReplyOptions
from homeroom.schema.examples import Message, Role
from homeroom.server.failures import RequestError
from homeroom.server.openai_fields import (
    Json,
    boolean,
    check_fields,
    check_ignored,
    label,
    mapping,
    model_name,
    number,
    optional_whole,
    short,
    text,
    unsupported,
)

MAX_ITEMS = 500
MAX_TOKENS = 1_000_000
IGNORED = ("metadata", "user", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
KNOWN = frozenset(
    {"model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "text", "stream", "stream_options", *IGNORED}
)
# Fine as long as they ask for nothing: the values that mean "off".
OFF: Mapping[str, tuple[Any, ...]] = {
    "access_programs": (None,),
    "background": (None, False),
    "background_options": (None,),
    "context_management": (None, []),
    "conversation": (None,),
    "image": (None,),
    "include": (None, []),
    "max_tool_calls": (None,),
    "moderation": (None,),
    "parallel_tool_calls": (None, True, False),
    "previous_response_id": (None,),
    "prompt": (None,),
    "prompt_cache_options": (None, {}),
    "reasoning": (None, {}, {"effort": None}, {"effort": "none"}),
    "store": (None, False),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
    "truncation": (None, "disabled"),
}
# Why, for those that people will miss: what to do in their place.
WHY: Mapping[str, str] = {
    "background": "the answer comes with the request here; leave 'background' out",
    "conversation": "no conversation is kept here; send the earlier turns in 'input'",
    "previous_response_id": "no response is kept here; send the earlier turns in 'input'",
    "store": "no response is kept here; leave 'store' out or send false",
    "tools": "responses here are text; ask for tools at /v1/chat/completions, of a model that was taught to call them",
    "truncation": "nothing is cut out of a conversation here; send fewer turns",
}
ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_ITEM_KEYS = frozenset({"type", "role", "content", "id", "status", "phase"})


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """A checked request.

    Attributes:
        model: Name of the model.
        messages: The conversation, instructions first.
        overrides: Generation settings that it names.
        options: What it asks for besides text.
        stream: Whether events are wanted.
        told: Fields that the answer repeats.
    """

    model: str
    messages: tuple[Message, ...]
    overrides: Mapping[str, Any]
    options: ReplyOptions
    stream: bool
    told: Mapping[str, Any]

    def settings(self, saved: GenerationSettings) -> GenerationSettings:
        """The model's saved settings with what the request names in their place."""
        return GenerationSettings.from_dict({**saved.to_dict(), **self.overrides})

    def prompt(self, system_prompt: str) -> list[Message]:
        """The messages; the model's own system prompt stands first unless the client gives instructions."""
        if not system_prompt or any(m.role == "system" for m in self.messages):
            return list(self.messages)
        return [Message("system", system_prompt), *self.messages]


def parse(body: Json) -> ResponseRequest:
    """Check a request.

    Raises:
        RequestError: the first thing that is wrong, with ``param`` naming the field.
    """
    for name, why in WHY.items():
        if name in body and body[name] not in OFF[name]:
            raise unsupported(name, f"{name!r} is not supported: {why} (got {short(body[name])})")
    check_fields(body, KNOWN, OFF)
    check_ignored(body, IGNORED)
    instructions = body.get("instructions")
    turns = _input(body.get("input"))
    if instructions is not None:
        turns = (Message("system", text(instructions, "instructions")), *turns)
    form, overrides, options = _text_format(body.get("text"))
    for name, high in (("temperature", 2.0), ("top_p", 1.0)):
        if body.get(name) is not None:
            overrides[name] = number(body[name], name, 0.0, high)
    limit = optional_whole(body, "max_output_tokens", 1, MAX_TOKENS)
    if limit is not None:
        overrides["max_tokens"] = limit
    return ResponseRequest(
        model=model_name(body),
        messages=turns,
        overrides=overrides,
        options=options,
        stream=_stream(body),
        told={
            "instructions": instructions,
            "max_output_tokens": limit,
            "metadata": body.get("metadata") or {},
            "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
            "prompt_cache_key": body.get("prompt_cache_key"),
            "safety_identifier": body.get("safety_identifier"),
            "text": {"format": form, "verbosity": "medium"},
            "user": body.get("user"),
        },
    )


def _stream(body: Json) -> bool:
    stream = boolean(body, "stream")
    given = body.get("stream_options")
    if given is not None:
        if not stream:
            raise RequestError("'stream_options' is only allowed with 'stream': true", param="stream_options")
        options = mapping(given, "stream_options")
        check_fields(options, {"include_obfuscation"}, {})
        boolean(options, "include_obfuscation", "stream_options.")
    return stream


def _input(value: object) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("user", text(value, "input")),)
    if not isinstance(value, list) or not value:
        raise RequestError(f"'input' must be a text or a list with at least one message, not {short(value)}", param="input")
    if len(value) > MAX_ITEMS:
        raise RequestError(f"'input' has {len(value)} items; {MAX_ITEMS} is the limit", param="input")
    return tuple(_item(entry, f"input[{index}]") for index, entry in enumerate(value))


def _item(entry: object, where: str) -> Message:
    item = mapping(entry, where)
    kind = item.get("type", "message")
    if kind != "message":
        raise RequestError(
            f"'{where}' is of the type {short(kind)}; only messages are read here, and no response is kept to refer to",
            param=where,
            code="unsupported-content",
        )
    strange = sorted(item.keys() - _ITEM_KEYS)
    if strange:
        name = f"{where}.{strange[0][:80]}"
        raise RequestError(f"unrecognized request argument supplied: {name}", param=name, code="unknown-parameter")
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"'{where}.role' must be one of {', '.join(ROLES)}, not {short(role)}", param=f"{where}.role")
    return Message(ROLES[role], _content(item.get("content"), where))


def _content(value: object, where: str) -> str:
    """The text of a message: a string, or a list of text parts as a request or an earlier answer has them."""
    if isinstance(value, str):
        return text(value, f"{where}.content")
    if not isinstance(value, list):
        raise RequestError(
            f"'{where}.content' must be a text or a list of text parts, not {short(value)}", param=f"{where}.content"
        )
    texts = []
    for index, part in enumerate(value):
        place = f"{where}.content[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("input_text", "output_text"):
            raise RequestError(
                f"'{place}' must be a part of type 'input_text' or 'output_text'; images, files and audio are not supported here",
                param=place,
                code="unsupported-content",
            )
        texts.append(text(part.get("text"), f"{place}.text"))
    return "".join(texts)


def _text_format(value: object) -> tuple[Json, dict[str, Any], ReplyOptions]:
    """The format as the answer repeats it, and what it means for the settings and the model."""
    plain: Json = {"type": "text"}
    if value is None:
        return plain, {}, ReplyOptions()
    config = mapping(value, "text")
    check_fields(config, {"format", "verbosity"}, {})
    if config.get("verbosity") not in (None, "medium"):
        raise unsupported(
            "text.verbosity", f"'text.verbosity' is not supported here; leave it out (got {short(config['verbosity'])})"
        )
    if config.get("format") is None:
        return plain, {}, ReplyOptions()
    form = mapping(config["format"], "text.format")
    kind = form.get("type")
    if kind == "text":
        return plain, {}, ReplyOptions()
    if kind == "json_object":
        asked: Json = {"type": "json_object"}
        return asked, {"json_schema": {"type": "object"}}, ReplyOptions(passed={"response_format": asked})
    if kind != "json_schema":
        raise RequestError(
            f"'text.format.type' must be 'text', 'json_object' or 'json_schema', not {short(kind)}", param="text.format.type"
        )
    schema = dict(mapping(form.get("schema"), "text.format.schema"))
    named: Json = {"name": label(form.get("name"), "text.format.name")}
    if form.get("description") is not None:
        named = {**named, "description": text(form["description"], "text.format.description")}
    strict = boolean(form, "strict", "text.format.")
    named = {**named, "schema": schema, "strict": strict}
    passed = {"response_format": {"type": "json_schema", "json_schema": named}}
    told = {"type": "json_schema", "description": None, **named}
    return told, {"json_schema": schema}, ReplyOptions(strict=strict, passed=passed)
