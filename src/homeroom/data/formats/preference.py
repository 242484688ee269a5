"""OpenAI's preference format (DPO): ``{"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}``.

The preferred reply becomes the last turns of the messages, the other one the record's ``rejected``.
Source: platform.openai.com/docs/guides/direct-preference-optimization
"""

from __future__ import annotations

from collections.abc import Iterable

from homeroom.data.formats.base import RecordFormat, Written, beside, developer_as_system
from homeroom.schema.examples import Example, Json

_OWN = ("input", "preferred_output", "non_preferred_output")
_SETTINGS = ("tools", "parallel_tool_calls")


def _matches(record: Json) -> bool:
    given = record.get("input")
    return "preferred_output" in record and isinstance(given, dict) and "messages" in given


def _read(record: Json) -> Iterable[Json]:
    given, preferred = record["input"], record["preferred_output"]
    if not isinstance(given["messages"], list) or not isinstance(preferred, list):
        return ({"messages": None},)
    # Keys of the input go beside the messages; where such a key is there already, the record's own wins.
    read: Json = {
        "messages": developer_as_system([*given["messages"], *preferred]),
        **beside(given, "messages"),
        **beside(record, *_OWN),
    }
    if "non_preferred_output" in record:
        read["rejected"] = record["non_preferred_output"]
    return (read,)


def _write(example: Example) -> Written:
    whole = example.to_dict()
    rejected = whole.get("rejected")
    if not isinstance(rejected, list):
        return Written(None, ("examples without a rejected reply",))
    messages = whole["messages"]
    cut = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=-1) + 1
    dropped = [key for key in whole if key not in ("messages", "rejected", *_SETTINGS)]
    for message in messages:
        if message.pop("weight", None) is not None:
            dropped.append("messages.weight")
    given = {"messages": messages[:cut], **{key: whole[key] for key in _SETTINGS if key in whole}}
    record = {"input": given, "preferred_output": messages[cut:], "non_preferred_output": rejected}
    return Written(record, tuple(dropped))


FORMAT = RecordFormat("preference", "OpenAI's preference JSONL", _matches, _read, _write,
                      "metadata, context, reference, weights; examples without a rejected reply")  # fmt: skip
