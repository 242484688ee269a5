"""ShareGPT: ``{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]}``.

There is no specification. Turns keep further keys, as Axolotl's ``weight``; tools follow LLaMA-Factory's ``function_call`` and
``observation`` when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from homeroom.data.formats.base import RecordFormat, Written, beside, parts
from homeroom.schema.examples import Example, Json

_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bing": "assistant",
    "bard": "assistant", "model": "assistant", "bot": "assistant", "system": "system", "tool": "tool", "observation": "tool",
    "function_response": "tool",
}  # fmt: skip
_NAMES = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


def _matches(record: Json) -> bool:
    return "conversations" in record


def _read(record: Json) -> Iterable[Json]:
    turns = record["conversations"]
    if not isinstance(turns, list):
        return ({"messages": None},)
    messages = [_message(turn) for turn in turns]
    rest = beside(record, "conversations")
    system = rest.get("system")
    if isinstance(system, str) and not any(isinstance(m, dict) and m.get("role") == "system" for m in messages):
        del rest["system"]
        messages[:0] = [{"role": "system", "content": system}] if system else []
    tools = rest.get("tools")
    if isinstance(tools, str):
        rest["tools"] = _json(tools) if tools.strip() else None
        rest = {key: value for key, value in rest.items() if key != "tools" or value is not None}
    return ({"messages": messages, **rest},)


def _message(turn: object) -> Any:  # what is no turn is passed on, to be reported
    if not isinstance(turn, dict):
        return turn
    speaker = turn.get("from", turn.get("role"))
    text = turn.get("value", turn.get("content", turn.get("text")))
    rest = beside(turn, "from", "role", "value", "content", "text")
    if speaker == "function_call":
        call = _json(text)
        call = {**call, "arguments": json.dumps(call["arguments"])} if isinstance(call, dict) and "arguments" in call else call
        return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": call}], **rest}
    role = _ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
    return {"role": role, "content": text, **rest}


def _json(text: object) -> Any:  # whatever the text holds
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def _write(example: Example) -> Written:
    turns = []
    for message in example.messages:
        whole = message.to_dict()
        turns.append({"from": _NAMES[message.role], "value": whole["content"], **beside(whole, "role", "content")})
    return Written({"conversations": turns, **parts(example)})


FORMAT = RecordFormat("sharegpt", "ShareGPT conversations", _matches, _read, _write)
