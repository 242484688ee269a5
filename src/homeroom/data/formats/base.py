"""What a format is: how one record of a file becomes records of Homeroom, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from homeroom.schema.examples import Example, Json


@dataclass(frozen=True, slots=True)
class Written:
    """A record in another format, and the names of what it cannot hold: ``metadata.grade``, ``messages.weight``."""

    record: Json
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """One way to write an example as a JSON object.

    Attributes:
        name: As ``--format`` and ``--to`` take it.
        about: One line for the documentation.
        matches: Whether a record looks like it.
        read: A record to Homeroom's records, still unchecked: none, one, or several.
        write: An example to a record; None where the format can only be read.
    """

    name: str
    about: str
    matches: Callable[[Json], bool]
    read: Callable[[Json], Iterable[Json]]
    write: Callable[[Example], Written] | None = None
