"""``{"messages": [...]}``: Homeroom's own format, and OpenAI's, of which it holds everything."""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.formats.base import RecordFormat, Written, developer_as_system
from homeroom.schema.examples import Example, Json

OPENAI_KEYS = ("messages", "tools", "parallel_tool_calls", "functions", "function_call")
_OPENAI_MESSAGE = ("role", "content", "weight", "name", "tool_calls", "tool_call_id", "function_call", "refusal")


def _matches(record: Json) -> bool:
    return "messages" in record


def _read(record: Json) -> Iterable[Json]:
    return ({**record, "messages": developer_as_system(record["messages"])} if "messages" in record else record,)


def _write(example: Example) -> Written:
    return Written(example.to_dict())


def _write_openai(example: Example) -> Written:
    """What OpenAI's fine-tuning takes, which refuses keys that it does not know."""
    whole = example.to_dict()
    dropped = [key for key in whole if key not in OPENAI_KEYS]
    messages = []
    for message in whole["messages"]:
        dropped += [f"messages.{key}" for key in message if key not in _OPENAI_MESSAGE]
        messages.append({key: value for key, value in message.items() if key in _OPENAI_MESSAGE})
    record = {key: value for key, value in whole.items() if key in OPENAI_KEYS}
    return Written({**record, "messages": messages}, tuple(dropped))


FORMAT = RecordFormat("chat", "OpenAI's chat format with metadata, context and reference: Homeroom's own", _matches,
                      _read, _write)  # fmt: skip
OPENAI = RecordFormat("openai", "OpenAI's chat JSONL for upload, with `weight`, `name` and `tools`", _matches, _read,
                      _write_openai, "metadata, context, reference, further keys")  # fmt: skip
