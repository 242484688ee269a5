"""Structure, as the reader finds it: before there is an example, there is nothing else to say of a line.

The names are those of `homeroom.data.rules.RULES`; the codes count from STR001 in the order of `PAGES`.
"""

from __future__ import annotations

import json
from typing import Any

from homeroom.data.lint.model import About, ReadRule
from homeroom.data.rules import RULES as PROBLEMS

_TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "I think 6 + 3 is 8."},
    {"role": "assistant", "content": "Say 6, then count three more. Where do you stop?"},
]
_GOOD = json.dumps({"messages": _TURNS})
_BROKEN = "A broken record is left out, or teaches what nobody meant."
_LABEL = "Splits, coverage and the system prompt rely on these labels."


def _record(messages: Any = _TURNS, **more: Any) -> str:  # records that are wrong on purpose
    return json.dumps({"messages": messages, **more})


def _with(index: int, **changes: Any) -> str:
    return _record([{**turn, **changes} if place == index else turn for place, turn in enumerate(_TURNS)])


# Name, why it matters, a bad line; in brackets where no text can show it.
PAGES: tuple[tuple[str, str, str], ...] = (
    ("json-invalid", _BROKEN, _GOOD[:-30]),
    ("record-not-object", _BROKEN, json.dumps(["I think 6 + 3 is 8.", "Count on from 6."])),
    ("messages-missing", _BROKEN, json.dumps({"message": _TURNS})),
    ("message-not-object", _BROKEN, _record(["I think 6 + 3 is 8.", "Count on from 6."])),
    ("role-unknown", "A chat template does not know where such a turn belongs.", _with(1, role="teacher")),
    ("content-missing", "A turn without text teaches nothing, and a chat template may refuse it.", _with(1, content=None)),
    ("content-empty", "A model that is shown empty replies learns to say nothing.", _with(1, content=" ")),
    ("role-order", "The chat never asks twice in a row, and chat templates refuse it.", _record([_TURNS[0], *_TURNS])),
    ("assistant-missing", "There is nothing to learn.", _record(_TURNS[:1])),
    ("last-not-assistant", "What comes after the last reply is never used.", _record([*_TURNS, _TURNS[0]])),
    ("weight-invalid", "The weight says which replies are learned.", _with(1, weight=0.5)),
    ("metadata-invalid", _LABEL, _record(metadata="grade 1")),
    ("grade-invalid", _LABEL, _record(metadata={"grade": "first"})),
    ("grade-band-mismatch", _LABEL, _record(metadata={"grade": 1, "grade_band": "3-5"})),
    ("value-unknown", _LABEL, _record(metadata={"difficulty": "tricky"})),
    ("key-unknown", "What stands there is kept, but no split, prompt or judge sees it.", _record(topic="counting on")),
    ("encoding-invalid", "Letters would be lost or changed.", "(a line in another encoding, such as Latin-1)"),
    ("line-too-long", "A line of that size is a mistake in nearly every case, and would fill the memory.", "(a line of 9 MB)"),
    ("nesting-too-deep", "Other tools would fail on it.", _record(metadata={"a": json.loads("[" * 70 + "]" * 70)})),
    ("number-not-finite", "Other programs refuse such a file.", _GOOD[:-1] + ', "metadata": {"score": NaN}}'),
    ("key-duplicate", "JSON readers keep one of the two.", _GOOD[:-1] + ', "metadata": {"grade": 1, "grade": 2}}'),
    ("character-invalid", "A tokenizer would stop there.", _with(0, content="6 + 3\0 is 8")),
    ("beyond-text", "Trained as a text, a call would be an empty reply: the model would learn to say nothing.",
     _with(1, content=None, tool_calls=[{"id": "a", "type": "function", "function": {"name": "add", "arguments": "{}"}}])),
)  # fmt: skip


_WARNINGS = ("key-unknown", "beyond-text")  # such a record is read, and may serve another tool
RULES = tuple(
    ReadRule(
        About(
            code=f"STR{number:03}",
            name=name,
            family="structure",
            severity="warning" if name in _WARNINGS else "error",
            what=PROBLEMS[name],
            why=why,
            do="Mend the line, or take it out.",
            bad=bad,
            good=_GOOD,
            guideline="Structure: Metadata" if why == _LABEL else "Structure: Input-Output Pairs",
        )
    )
    for number, (name, why, bad) in enumerate(PAGES, start=1)
)
