"""What records are kept in: one module for each kind of file, each with a way to stream them out and, mostly, in."""

from __future__ import annotations

import datetime
import decimal
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.data.lines import MAX_DEPTH, MAX_LINE_BYTES, SURROGATE
from homeroom.errors import Problem
from homeroom.schema.examples import Json


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file: its line (or row), and the record or what kept it from being read."""

    line: int
    record: Json | None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file.

    Attributes:
        name: ``jsonl``, ``csv`` ...
        about: One line for the documentation.
        suffixes: Of its files, lower case.
        rows: Streams the records of a file.
        write: Writes records, which it may ask for twice, and counts what it could not hold by name.
        flat: Its records are headings with one value each.
    """

    name: str
    about: str
    suffixes: tuple[str, ...]
    rows: Callable[[Path], Iterator[Row]]
    write: Callable[[Path, Callable[[], Iterable[Json]]], Counter[str]]
    flat: bool = False


class NotJson(ValueError):
    """A value that a file may hold and an example may not; carries the rule that says so."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def plain_row(record: Any, file: str, line: int, room: list[int] | None = None) -> Row:  # whatever a library read
    """A record that did not come from JSON, as JSON would hold it, or what keeps it from that.

    ``room``: one number, how many characters it may have; what it has is taken from it.
    """
    try:
        value = plain(record, 0, room)
    except NotJson as error:
        return Row(line, None, Problem(file, line, error.rule, str(error)))
    if not isinstance(value, dict):
        return Row(line, None, Problem(file, line, "record-not-object", f"the row holds a {type(value).__name__}."))
    return Row(line, value)


def plain(value: Any, depth: int = 0, room: list[int] | None = None) -> Any:  # in and out: whatever a cell may hold
    """``value`` with what JSON has: dates as texts, and nothing that cannot be kept.

    Raises:
        NotJson: NaN, bytes, half characters, lists in lists without end, or more than 8 MB in one record.
    """
    room = [MAX_LINE_BYTES] if room is None else room
    if depth > MAX_DEPTH:
        raise NotJson("nesting-too-deep", f"lists and objects are nested more than {MAX_DEPTH} deep.")
    room[0] -= len(value) if isinstance(value, str) else 1
    if room[0] < 0:
        raise NotJson("line-too-long", f"the record has more than {MAX_LINE_BYTES >> 20} MB. Split the conversation.")
    if isinstance(value, dict):
        return {str(key): plain(item, depth + 1, room) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1, room) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:  # as above
    if isinstance(value, str):
        if "\0" in value or SURROGATE.search(value):
            raise NotJson("character-invalid", "a text holds NUL or half a character. Write it again.")
        return value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson("number-not-finite", f"the value {value!r} is no number. Leave the cell empty.")
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    raise NotJson("content-missing", f"a cell holds {type(value).__name__}, which is neither text nor number.")
