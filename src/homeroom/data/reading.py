"""A whole file of examples at once, with every problem reported together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from homeroom.data.source import open_source
from homeroom.errors import DataError, Problem
from homeroom.schema.examples import Example


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a file held: examples in file order, all problems, and the format that was read."""

    examples: tuple[Example, ...]
    problems: tuple[Problem, ...]
    format: str

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop the file from being used."""
        return tuple(p for p in self.problems if p.severity == "error")


def read_examples(path: Path | str, *, format: str | None = None, columns: Mapping[str, str] | None = None) -> ReadResult:
    """Read a whole file; problems are collected, not raised. `homeroom.data.source` reads one piece by piece.

    Args:
        path: The file.
        format: A name of `homeroom.data.formats.FORMATS`; detected when None.
        columns: For tables: field to heading, where the headings are not the usual ones.

    Raises:
        NotFoundError: there is no such file (code ``file-not-found``).
        DataError: it is not a file of examples at all, or is empty (``wrong-file``, ``empty-file``).
        ConfigError: ``format`` is unknown.
    """
    source = open_source(path, format=format, columns=columns)
    problems: list[Problem] = []
    examples = [example for row in source.rows() for example in source.examples(row, problems)]
    return ReadResult(tuple(examples), tuple(problems), source.format)


def load_examples(path: Path | str, *, format: str | None = None, columns: Mapping[str, str] | None = None) -> list[Example]:
    """Read a file that must be free of errors.

    Raises:
        DataError: with every problem, where there is at least one error (code ``data-invalid``).
    """
    result = read_examples(path, format=format, columns=columns)
    if result.errors:
        raise data_error(Path(path), result.errors)
    return list(result.examples)


def data_error(path: Path, errors: Sequence[Problem]) -> DataError:
    """One error for all of a file's problems."""
    shown = "; ".join(str(p) for p in errors[:1])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return DataError(
        f"{path.name} has {len(errors)} problem{'s' if len(errors) > 1 else ''}: {shown}{more}. "
        f"See them all with: homeroom data check {path}",
        errors,
        code="data-invalid",
    )
