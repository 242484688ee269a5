"""The bad and the good example of a rule, as text that people read on its page and that a test turns into records.

A specimen is written the way a page shows it:

    learner: I got 12 for 3 x 5.
    tutor: 3 x 5 = 12, well done!

- ``learner:`` (or ``user:``) and ``tutor:`` (or ``assistant:``) open a turn, ``system:`` and ``context:`` what they say; a line
  without such a word continues the turn above it.
- Text without any of these words is one reply to a learner's neutral question.
- ``metadata: subject=science, grade=4`` sets its record's metadata, in place of the neutral ones; ``metadata:`` alone sets none.
- A line ``---`` begins the next record. ``repeat: 12`` in a record makes twelve of it, with ``{n}`` counting from 1.
- ``roster: Amara Diallo, Tomas Reyes`` names the class for the whole specimen; ``option: CODE.name=value`` sets a threshold.
- Lines that begin with ``{`` or ``[`` are lines of the file as they stand: for records that are broken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from homeroom.data.lint.model import Options
from homeroom.schema.examples import Json

QUESTION = "I am working on my homework for today. Can you help me with the next step?"
METADATA: Json = {
    "task": "tutor",
    "subject": "mathematics",
    "grade": 4,
    "grade_band": "3-5",
    "topic": "specimen",
    "language": "en",
}
_ROLES = {"learner": "user", "user": "user", "tutor": "assistant", "assistant": "assistant", "system": "system"}
_FIELD = re.compile(r"(learner|user|tutor|assistant|system|context|metadata|repeat|roster|option): ?(.*)")


@dataclass(frozen=True, slots=True)
class Specimen:
    """Lines of a JSONL file, and the options under which a rule looks at it."""

    lines: tuple[str, ...]
    options: Options


def specimen(text: str) -> Specimen:
    """What ``text`` shows, as the lines of a file."""
    lines: list[str] = []
    roster: set[str] = set()
    thresholds: dict[str, dict[str, Any]] = {}
    for block in re.split(r"(?m)^---[ \t]*\n", text.strip("\n")):
        if block.lstrip()[:1] in ("{", "["):
            lines += [line for line in block.splitlines() if line.strip()]
            continue
        fields = list(_fields(block))
        for name, value in fields:
            if name == "roster":
                roster |= {part.strip().lower() for part in value.split(",") if part.strip()}
            elif name == "option":
                key, _, setting = value.partition("=")
                code, _, option = key.strip().partition(".")
                thresholds.setdefault(code, {})[option] = _value(setting.strip())
        repeat = next((int(value) for name, value in fields if name == "repeat"), 1)
        record = _record(fields)
        if record["messages"]:
            shown = json.dumps(record, ensure_ascii=False)
            lines += [shown.replace("{n}", str(n)) for n in range(1, repeat + 1)]
    return Specimen(tuple(lines), Options(roster=frozenset(roster), thresholds=thresholds))


def _fields(block: str) -> Iterator[tuple[str, str]]:
    """(``learner`` ..., text) in order; continued lines joined."""
    name, text = "", []
    for line in block.splitlines():
        found = _FIELD.match(line)
        if found is None:
            text.append(line)
            continue
        if "\n".join(text).strip():
            yield name or "tutor", "\n".join(text).strip()
        name, text = found[1], [found[2]]
        if name in ("metadata", "repeat", "roster", "option"):
            yield name, found[2]
            name, text = "", []
    if "\n".join(text).strip():
        yield name or "tutor", "\n".join(text).strip()


def _record(fields: list[tuple[str, str]]) -> Json:
    messages = [{"role": _ROLES[name], "content": value} for name, value in fields if name in _ROLES]
    if messages and messages[-1]["role"] == "assistant" and not any(m["role"] == "user" for m in messages):
        messages.insert(len(messages) - 1, {"role": "user", "content": QUESTION})
    record: Json = {"messages": messages}
    given = [value for name, value in fields if name == "metadata"]
    metadata = dict(METADATA) if not given else {}
    for value in given:
        for pair in filter(None, (part.strip() for part in value.split(","))):
            key, _, setting = pair.partition("=")
            metadata[key.strip()] = _value(setting.strip())
    if metadata:
        record["metadata"] = metadata
    context = [value for name, value in fields if name == "context"]
    if context:
        record["context"] = context
    return record


def _value(text: str) -> Any:  # what a person writes after "=": a number, a truth or a text
    try:
        return json.loads(text)
    except ValueError:
        return text
