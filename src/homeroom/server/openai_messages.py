"""The messages of a chat request of OpenAI's API, and the tools that they may be about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from homeroom.schema.examples import Message, Role
from homeroom.server.failures import RequestError
from homeroom.server.openai_fields import Json, boolean, label, mapping, one_of, short, text, unsupported

ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
MAX_MESSAGES = 500
MAX_TOOLS = 128
_CHOICES = ("none", "auto", "required")


def read_messages(value: object) -> tuple[Message, ...]:
    """The field ``messages``.

    Raises:
        RequestError: what is wrong, with ``param`` naming the place.
    """
    if not isinstance(value, list) or not value:
        raise RequestError("'messages' must be a list with at least one message", param="messages", code="missing-messages")
    if len(value) > MAX_MESSAGES:
        raise RequestError(f"'messages' has {len(value)} entries; {MAX_MESSAGES} is the limit", param="messages")
    return tuple(_message(entry, f"messages[{index}]") for index, entry in enumerate(value))


def read_tools(body: Json) -> tuple[tuple[Json, ...], str | Json | None, bool | None]:
    """The fields ``tools``, ``tool_choice`` and ``parallel_tool_calls``.

    Raises:
        RequestError: what is wrong, or not done here, with ``param`` naming the place.
    """
    given = body.get("tools")
    if given is not None and not isinstance(given, list):
        raise RequestError(f"'tools' must be a list, not {short(given)}", param="tools")
    if len(given or ()) > MAX_TOOLS:
        raise RequestError(f"'tools' has {len(given or ())} entries; {MAX_TOOLS} is the limit", param="tools")
    tools = tuple(_tool(entry, f"tools[{index}]") for index, entry in enumerate(given or ()))
    choice = _choice(body.get("tool_choice"), {tool["function"]["name"] for tool in tools})
    if not tools and choice not in (None, "none", "auto"):
        raise RequestError("'tool_choice' is only allowed with 'tools'", param="tool_choice")
    parallel = boolean(body, "parallel_tool_calls") if body.get("parallel_tool_calls") is not None else None
    return tools, choice if tools else None, parallel


def _tool(entry: object, where: str) -> Json:
    tool = mapping(entry, where)
    if tool.get("type") != "function":
        raise unsupported(where, f"'{where}' must be of type 'function', not {short(tool.get('type'))}")
    function = mapping(tool.get("function"), f"{where}.function")
    label(function.get("name"), f"{where}.function.name")
    if function.get("description") is not None:
        text(function["description"], f"{where}.function.description")
    if function.get("parameters") is not None:
        mapping(function["parameters"], f"{where}.function.parameters")
    boolean(function, "strict", f"{where}.function.")
    return tool


def _choice(value: object, names: set[str]) -> str | Json | None:
    if value is None or isinstance(value, str):
        return None if value is None else one_of(value, "tool_choice", _CHOICES)
    choice = mapping(value, "tool_choice")
    if choice.get("type") != "function":
        raise unsupported("tool_choice", f"'tool_choice' must be of type 'function', not {short(choice.get('type'))}")
    name = mapping(choice.get("function"), "tool_choice.function").get("name")
    if not isinstance(name, str) or name not in names:
        raise RequestError(f"'tool_choice' names {short(name)}, which 'tools' does not have", param="tool_choice")
    return choice


def _message(entry: object, where: str) -> Message:
    record = mapping(entry, where)
    role = record.get("role")
    if role == "function" or record.get("function_call"):
        raise unsupported(where, f"'{where}' is about functions in their old form; write 'tool' and 'tool_calls'")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"'{where}.role' must be one of {', '.join(sorted(ROLES))}, not {short(role)}", param=f"{where}.role")
    extra: dict[str, Any] = {}
    if record.get("name") is not None:
        extra["name"] = text(record["name"], f"{where}.name", 64)
    if role == "tool":
        extra["tool_call_id"] = text(record.get("tool_call_id"), f"{where}.tool_call_id")
    calls = record.get("tool_calls")
    if calls is None:
        return Message(ROLES[role], _content(_or_refusal(record, role), where), extra=extra)
    if role != "assistant" or not isinstance(calls, list) or not calls:
        raise RequestError(f"'{where}.tool_calls' must be a list of calls of an assistant", param=f"{where}.tool_calls")
    extra["tool_calls"] = [_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
    content = "" if record.get("content") is None else _content(record["content"], where)
    return Message("assistant", content, extra=extra)


def _or_refusal(record: Json, role: str) -> object:
    """An assistant that refused has no other content."""
    content = record.get("content")
    return record.get("refusal") if role == "assistant" and content is None else content


def _call(entry: object, where: str) -> Json:
    call = mapping(entry, where)
    if call.get("type") != "function":
        raise unsupported(where, f"'{where}' must be of type 'function', not {short(call.get('type'))}")
    function = mapping(call.get("function"), f"{where}.function")
    text(call.get("id"), f"{where}.id")
    label(function.get("name"), f"{where}.function.name")
    text(function.get("arguments"), f"{where}.function.arguments")
    return call


def _content(value: object, where: str) -> str:
    """The text of a message: a string, or a list of text parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return "".join(_part(part, f"{where}.content[{index}]") for index, part in enumerate(value))
    raise RequestError(f"'{where}.content' must be a text or a list of text parts, not {short(value)}", param=f"{where}.content")


def _part(part: object, where: str) -> str:
    for kind, name in (("text", "text"), ("refusal", "refusal")):
        if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(name), str):
            return cast(str, part[name])
    raise RequestError(
        f"'{where}' must be a part of type 'text'; images and audio are not supported here",
        param=where,
        code="unsupported-content",
    )
