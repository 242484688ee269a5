"""Checking a training file of the fine-tuning API: chat or preference lines, every problem with its line number.

Read in bounded pieces, whatever the file's size. What is checked: https://platform.openai.com/docs/guides/supervised-fine-tuning
and, for preferences, https://platform.openai.com/docs/guides/direct-preference-optimization.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from homeroom.app.fine_tuning.errors import FieldError
from homeroom.data.formats.chat import FORMAT as CHAT
from homeroom.data.formats.preference import FORMAT as PREFERENCE
from homeroom.data.lines import block_lines, blocks, parse_line
from homeroom.data.rules import RECORD_KEYS, RULES, check_record
from homeroom.errors import Problem
from homeroom.schema.examples import Example, Json

Kind = Literal["chat", "preference"]
MIN_EXAMPLES = 10
PROBLEMS_SHOWN = 50
# OpenAI trains on turns in any order; so does this server. What a chat template refuses shows when the job begins.
_FREE = frozenset({"role-order"})
# A warning elsewhere, because OpenAI's tuning takes such a line.
_TEXTS_ONLY = frozenset({"beyond-text"})
_MESSAGE_KEYS = frozenset({"role", "content", "weight", "name", "tool_calls", "tool_call_id", "function_call", "refusal"})
_PREFERENCE_KEYS = frozenset({"input", "preferred_output", "non_preferred_output", "metadata"})
_INPUT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a training file holds: examples of one kind, and how long they are, in characters of text."""

    kind: Kind
    examples: int
    characters: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> FileFacts:
        """The inverse of `to_dict`."""
        return cls(**record)


def check_training_file(path: Path, name: str, *, texts_only: bool = True) -> FileFacts:
    """Read the whole file once.

    Args:
        path: Where it is.
        name: How its uploader calls it.
        texts_only: It is for this machine, which trains no calls of tools and no images.

    Raises:
        FieldError: ``file-invalid`` with all problems (the first fifty of a kind of file that is broken throughout).
    """
    problems: list[Problem] = []
    kinds: Counter[Kind] = Counter()
    found = characters = 0
    refused = _TEXTS_ONLY if texts_only else frozenset[str]()
    for line, record in _records(path, name, problems, counted := Counter[str]()):
        kind: Kind = "preference" if "preferred_output" in record or "input" in record else "chat"
        kinds[kind] += 1
        found += 1
        if len(kinds) == 2 and kinds[kind] == 1:
            _add(problems, counted, Problem(name, line, "format-mixed", f"a {kind} line among others: a file holds one kind."))
        for problem in _problems(record, kind, name, line, refused):
            _add(problems, counted, problem)
        characters += _characters(record)
    if found < MIN_EXAMPLES and not counted:
        told = f"the file has {found} example(s), but must have at least {MIN_EXAMPLES}."
        _add(problems, counted, Problem(name, 0, "too-few-examples", told))
    if counted:
        raise _invalid(name, problems, counted.total())
    return FileFacts("preference" if kinds["preference"] else "chat", found, characters)


def read_training_file(path: Path) -> Iterator[Example]:
    """The examples of a file that was checked, in its order."""
    for _, record in _records(path, path.name, [], Counter()):
        yield Example.from_dict(_normal(record))


def _records(path: Path, name: str, problems: list[Problem], counted: Counter[str]) -> Iterator[tuple[int, Json]]:
    for block in blocks(path):
        if block.too_long:
            _add(problems, counted, Problem(name, block.first_line, "line-too-long", RULES["line-too-long"]))
            continue
        for line, raw in block_lines(path, block):
            record = parse_line(raw, name, line)
            if isinstance(record, Problem):
                _add(problems, counted, record)
            else:
                yield line, record


def _add(problems: list[Problem], counted: Counter[str], problem: Problem) -> None:
    counted[problem.rule] += 1
    if len(problems) < PROBLEMS_SHOWN:
        problems.append(problem)


def _problems(record: Json, kind: Kind, name: str, line: int, refused: frozenset[str]) -> Iterator[Problem]:
    def problem(rule: str, message: str) -> Problem:
        return Problem(name, line, rule, message)

    known = _PREFERENCE_KEYS if kind == "preference" else frozenset(RECORD_KEYS) - {"rejected", "fields"}
    for key in record.keys() - known:
        hint = ' Write the dialogue as {"messages": [...]}.' if key in ("prompt", "completion") else ""
        yield problem("key-unknown", f"{key!r} is no key of a {kind} line.{hint}")
    if kind == "preference":
        yield from (problem(rule, text) for rule, text in _preference(record))
        if not isinstance(record.get("input"), dict) or not isinstance(record.get("preferred_output"), list):
            return
    normal = _normal(record)
    for found in check_record(normal, name, line):
        if found.rule in refused or (found.severity == "error" and found.rule not in _FREE):
            yield found
    for message in _messages(normal):
        for key in message.keys() - _MESSAGE_KEYS:
            yield problem("key-unknown", f"{key!r} is no key of a message.")


def _preference(record: Json) -> Iterator[tuple[str, str]]:
    given = record.get("input")
    if not isinstance(given, dict) or not isinstance(given.get("messages"), list):
        yield "messages-missing", '"input" must be an object with "messages".'
    else:
        yield from (("key-unknown", f'{key!r} is no key of "input".') for key in given.keys() - _INPUT_KEYS)
    for key in ("preferred_output", "non_preferred_output"):
        turns = record.get(key)
        if not isinstance(turns, list) or not turns:
            yield "messages-missing", f"{key!r} must be a list of messages."
        elif not all(isinstance(turn, dict) and turn.get("role") == "assistant" for turn in turns):
            yield "role-unknown", f"{key!r} holds messages of the assistant only."


def _normal(record: Json) -> Json:
    """The record as Homeroom writes it."""
    found = PREFERENCE if "preferred_output" in record else CHAT
    return next(iter(found.read(record)))


def _messages(record: Json) -> list[Json]:
    messages = record.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _characters(record: Json) -> int:
    given = record.get("input")
    lists = [record.get("messages"), record.get("preferred_output"), record.get("non_preferred_output")]
    lists.append(given.get("messages") if isinstance(given, dict) else None)
    return sum(
        len(content)
        for turns in lists
        if isinstance(turns, list)
        for turn in turns
        if isinstance(turn, dict) and isinstance(content := turn.get("content"), str)
    )


def _invalid(name: str, problems: list[Problem], count: int) -> FieldError:
    lines = "\n".join(f"line {p.line}: {p.rule}: {p.message}" if p.line else f"{p.rule}: {p.message}" for p in problems)
    more = f"\nand {count - len(problems)} more" if count > len(problems) else ""
    return FieldError(
        f"The file {name!r} cannot train a model; it has {count} problem{'s' if count != 1 else ''}:\n{lines}{more}\n"
        "Mend them and upload it again; on this machine they are found by: homeroom data check FILE",
        param="file",
        code="file-invalid",
    )
