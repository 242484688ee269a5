"""What a format is: how one record of a file becomes records of Homeroom, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from homeroom.schema.examples import Example, Json, Message


class Unreadable(ValueError):
    """Why a record of a format cannot be taken apart; ``rule`` names it. Raised by ``read``, reported with the line."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Written:
    """A record in another format, and the names of what it cannot hold: ``metadata``, ``messages.weight``.

    ``record`` is None where nothing would be left of the example.
    """

    record: Json | None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """One way to write an example as a JSON object.

    Attributes:
        name: As ``--format`` and ``--to`` take it.
        about: One line for the documentation.
        matches: Whether a record looks like it.
        read: A record to Homeroom's records, still unchecked: none, one, or several. Called with records that match only.
        write: An example to a record; None where the format can only be read.
        lost: What it cannot hold, for the documentation.
    """

    name: str
    about: str
    matches: Callable[[Json], bool]
    read: Callable[[Json], Iterable[Json]]
    write: Callable[[Example], Written] | None = None
    lost: str = ""


def developer_as_system(messages: object) -> Any:  # turns of a user's file, of whatever kind they are
    """A developer's turn is the system's by the name that OpenAI gave it later; what is no list of turns stays as it is."""
    if not isinstance(messages, list):
        return messages
    return [
        {**turn, "role": "system"} if isinstance(turn, dict) and turn.get("role") == "developer" else turn for turn in messages
    ]


def beside(record: Json, *own: str) -> Json:
    """The keys of ``record`` other than the format's own."""
    return {key: value for key, value in record.items() if key not in own}


def parts(example: Example) -> Json:
    """Everything of an example except its messages."""
    record = example.to_dict()
    del record["messages"]
    return record


def dialogue(messages: Sequence[Message]) -> tuple[str | None, list[Message], list[str]]:
    """System text, turns of user and assistant alone, and what was left out to get there (calls of tools, their results)."""
    system = messages[0].content if messages and messages[0].role == "system" else None
    dropped: list[str] = []
    turns: list[Message] = []
    for message in messages[0 if system is None else 1 :]:
        if message.role == "tool":
            dropped.append("messages.tool")
            continue
        if message.extra:
            dropped += [f"messages.{key}" for key in message.extra if key != "content" or isinstance(message.extra[key], list)]
        if not message.content:  # it called a tool and said nothing
            continue
        if message.weight is not None:
            dropped.append("messages.weight")
        turns.append(message)
    if messages and messages[0].role == "system" and messages[0].extra:
        dropped += [f"messages.{key}" for key in messages[0].extra]
    return system, turns, dropped


def alternates(turns: Sequence[Message]) -> bool:
    """Whether user and assistant take turns, the user first and the assistant last."""
    return bool(turns) and len(turns) % 2 == 0 and all(m.role == ("user", "assistant")[i % 2] for i, m in enumerate(turns))
