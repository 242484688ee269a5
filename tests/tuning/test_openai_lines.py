"""How many tokens a line of a training file is taken for: never fewer than it has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from homeroom.tuning.openai.lines import TURN_TOKENS, tokens_of

ASKED = {"role": "user", "content": "Shall we play?"}
REPLY = {"role": "assistant", "content": "Which part do you like?"}
ROLE = {"type": "string", "description": "Whose part the learner plays. " * 40}
NUMBERS = {f"a_rather_long_name_of_a_number_{n}": {"type": "number"} for n in range(40)}
PLAY = {"name": "play", "parameters": {"type": "object", "properties": {**NUMBERS, "role": ROLE}}}
TOOL = {"type": "function", "function": PLAY}


def words(text: str) -> int:
    return len(text.split())


def size(text: str) -> int:
    return len(text.encode())


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(
    ("record", "tool"),
    [
        ({"messages": [ASKED, REPLY], "tools": [TOOL]}, TOOL),
        ({"messages": [ASKED, REPLY], "functions": [PLAY]}, PLAY),
        ({"input": {"messages": [ASKED], "tools": [TOOL]}, "preferred_output": [REPLY], "non_preferred_output": [REPLY]}, TOOL),
    ],
)
def test_what_a_tool_is_told_to_take_counts_also_where_it_is_called_role(
    record: dict[str, Any], tool: dict[str, Any], counted: bool
) -> None:
    count = words if counted else size
    found = tokens_of(json.dumps(record), words if counted else None)
    replies = 2 if "input" in record else 1
    messages = count(ASKED["content"]) + replies * count(REPLY["content"]) + (1 + replies) * TURN_TOKENS
    assert found.most >= messages + count(json.dumps(tool, indent=4)), "the longest form in which a template shows it"
    assert found.low <= found.expected <= found.high <= found.most
    assert found.expected >= count(json.dumps(tool)) / (1 if counted else 4)


def test_a_message_counts_without_its_role_and_with_what_it_calls() -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "play", "arguments": '{"role": "the wolf"}'}}
    record = {"messages": [ASKED, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "done"}]}
    texts = [ASKED["content"], "call-1", "function", "play", '{"role": "the wolf"}', "done"]
    assert tokens_of(json.dumps(record)).most == sum(map(size, texts)) + TURN_TOKENS * len(texts)
