"""A chat request of OpenAI's API, checked field by field.

Source: the API reference of "Create chat completion". What this server cannot do is refused with 400 and the field's name: a
client that asked for three choices must not be given one in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message, Role
from homeroom.server.failures import RequestError

# JSON of a client: every value is checked here.
Json = Mapping[str, Any]

# Say nothing about the reply, so they are taken and left.
IGNORED = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls", "verbosity"}
)
# Fine as long as they ask for nothing: the values that mean "off".
OFF: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None, "none"),
}
KNOWN = frozenset(
    {
        "model", "messages", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "stream",
        "stream_options", "response_format", "repeat_penalty",
    }
)  # fmt: skip
ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MAX_MESSAGES = 500


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. ``overrides`` are the generation settings that it names."""

    model: str
    messages: tuple[Message, ...]
    overrides: Mapping[str, Any]
    stream: bool
    include_usage: bool

    def settings(self, saved: GenerationSettings) -> GenerationSettings:
        """The model's saved settings with what the request names in their place."""
        return GenerationSettings.from_dict({**saved.to_dict(), **self.overrides})

    def prompt(self, system_prompt: str) -> list[Message]:
        """The messages; the model's own system prompt stands first unless the client sends one."""
        if not system_prompt or any(m.role == "system" for m in self.messages):
            return list(self.messages)
        return [Message("system", system_prompt), *self.messages]


def parse(body: Json) -> ChatRequest:
    """Check a request.

    Raises:
        RequestError: the first thing that is wrong, with ``param`` naming the field.
    """
    for name, value in body.items():
        if name in OFF:
            if value not in OFF[name]:
                raise RequestError(
                    f"{name!r} is not supported here; leave it out (got {_short(value)})",
                    param=name,
                    code="unsupported-parameter",
                )
        elif name not in KNOWN and name not in IGNORED:
            raise RequestError(f"unrecognized request argument supplied: {name}", param=name, code="unknown-parameter")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RequestError("you must provide a model parameter", param="model", code="missing-model")
    stream = _boolean(body, "stream")
    options = body.get("stream_options")
    if options is not None and not (stream and isinstance(options, dict)):
        raise RequestError("'stream_options' is an object, and only allowed with 'stream': true", param="stream_options")
    return ChatRequest(
        model=model,
        messages=_messages(body.get("messages")),
        overrides=_overrides(body),
        stream=stream,
        include_usage=_boolean(options or {}, "include_usage"),
    )


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise RequestError("'messages' must be a list with at least one message", param="messages", code="missing-messages")
    if len(value) > MAX_MESSAGES:
        raise RequestError(f"'messages' has {len(value)} entries; {MAX_MESSAGES} is the limit", param="messages")
    return tuple(_message(entry, f"messages[{index}]") for index, entry in enumerate(value))


def _message(entry: object, where: str) -> Message:
    if not isinstance(entry, dict):
        raise RequestError(f"'{where}' must be an object, not {_short(entry)}", param=where)
    role = entry.get("role")
    if role in {"tool", "function"} or entry.get("tool_calls") or entry.get("function_call"):
        raise RequestError(f"'{where}' is about tools, which are not supported here", param=where, code="unsupported-parameter")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"'{where}.role' must be one of {', '.join(sorted(ROLES))}, not {_short(role)}", param=f"{where}.role")
    return Message(ROLES[role], _content(entry.get("content"), where))


def _content(value: object, where: str) -> str:
    """The text of a message: a string, or a list of text parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = []
        for index, part in enumerate(value):
            if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
                raise RequestError(
                    f"'{where}.content[{index}]' must be a part of type 'text'; images and audio are not supported here",
                    param=f"{where}.content[{index}]",
                    code="unsupported-content",
                )
            texts.append(cast(str, part["text"]))
        return "".join(texts)
    raise RequestError(f"'{where}.content' must be a text or a list of text parts, not {_short(value)}", param=f"{where}.content")


def _overrides(body: Json) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, low, high in (("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0), ("repeat_penalty", 0.5, 2.0)):
        if body.get(name) is not None:
            found[name] = _number(body[name], name, low, high)
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            found["max_tokens"] = _whole(body[name], name, 1, 1_000_000)
    if body.get("seed") is not None:
        found["seed"] = _whole(body["seed"], "seed", -(2**63), 2**63 - 1)
    if body.get("stop") is not None:
        found["stop"] = _stop(body["stop"])
    schema = _schema(body.get("response_format"))
    if schema is not None:
        found["json_schema"] = schema
    return found


def _stop(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > 4 or not all(isinstance(text, str) and text for text in texts):
        raise RequestError(f"'stop' must be a text or a list of up to 4 texts, not {_short(value)}", param="stop")
    return tuple(texts)


def _schema(value: object) -> dict[str, Any] | None:
    """The JSON Schema that ``response_format`` asks for; None for plain text."""
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    wanted = value.get("json_schema") if isinstance(value, dict) else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise RequestError(
            "'response_format' must be of type 'text', 'json_object', or 'json_schema' with a 'json_schema.schema' object",
            param="response_format",
        )
    return schema


def _boolean(body: Json, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"{name!r} must be true or false, not {_short(value)}", param=name)
    return bool(value)


def _number(value: object, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RequestError(f"{name!r} must be a number from {low:g} to {high:g}, not {_short(value)}", param=name)
    return float(value)


def _whole(value: object, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"{name!r} must be a whole number from {low} to {high}, not {_short(value)}", param=name)
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
