"""One format into another: whole or not at all, saying what the new one cannot hold."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from homeroom.data.files import Container, by_suffix
from homeroom.data.formats import named
from homeroom.data.formats.base import RecordFormat
from homeroom.data.reading import data_error
from homeroom.data.source import Source
from homeroom.errors import ConfigError, ConflictError, DataError, Problem
from homeroom.schema.examples import Example, Json

Examples = Callable[[], Iterable[Example]]


@dataclass(frozen=True, slots=True)
class Converted:
    """How many examples were written, and how often each thing was dropped that the new format cannot hold."""

    examples: int
    dropped: dict[str, int]
    format: str
    container: str


def checked_examples(source: Source) -> Iterator[Example]:
    """The examples of a file that must be free of errors, as a stream.

    Raises:
        DataError: at the end, with every problem (``data-invalid``).
    """
    errors: list[Problem] = []
    for row in source.rows():
        problems: list[Problem] = []
        examples = list(source.examples(row, problems))
        errors += [problem for problem in problems if problem.severity == "error"]
        if not errors:
            yield from examples
    if errors:
        raise data_error(source.path, errors)


def write_examples(examples: Examples, target: Path, *, to: str | None = None, force: bool = False) -> Converted:
    """Write examples to a new file, whose ending says what it is kept in.

    Args:
        examples: Gives them, each time it is called: tables need to know every heading before the first row.
        target: The file, or for Hugging Face's `datasets` a folder.
        to: Name of the format; for tables ``table``, otherwise ``chat`` when None.
        force: Replace what is there.

    Raises:
        ConflictError: the target exists (``file-exists``).
        ConfigError: the format or the ending is not known, or a table cannot hold the format (``format-unknown``).
        DataError: there are no examples (``empty-file``), or none that the format can hold (``nothing-left``).
    """
    container = by_suffix(target)
    format = _format(container, to, target)
    if target.exists() and not force:
        raise ConflictError(f"{str(target)!r} exists. Choose another name or add --force.", code="file-exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    run = _Writing(examples, format)
    try:
        beyond = container.write(draft, run.records)
        _check_some(run, beyond, target, format)
        _replace(draft, target)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
    dropped = dict(sorted((run.dropped + beyond).items()))
    return Converted(run.written - sum(beyond.values()), dropped, format.name, container.name)


def _format(container: Container, to: str | None, target: Path) -> RecordFormat:
    format = named(to or ("table" if container.flat else "chat"), to_write=True)
    if container.flat and format.name != "table":
        raise ConfigError(
            f"{target.name!r} is a table, which cannot hold the format {format.name!r}. Leave --to out, or write a .jsonl file.",
            code="format-unknown",
        )
    return format


class _Writing:
    """Counts what one pass over the examples writes and drops; a second pass counts anew."""

    def __init__(self, examples: Examples, format: RecordFormat) -> None:
        self._examples, self._format = examples, format
        self.read = self.written = 0
        self.dropped: Counter[str] = Counter()

    def records(self) -> Iterator[Json]:
        """The examples in the format."""
        self.read = self.written = 0
        self.dropped = Counter()
        assert self._format.write is not None
        for example in self._examples():
            self.read += 1
            made = self._format.write(example)
            self.dropped.update(made.dropped)
            if made.record is not None:
                self.written += 1
                yield made.record


def _check_some(run: _Writing, beyond: Counter[str], target: Path, format: RecordFormat) -> None:
    if run.written > sum(beyond.values()):
        return
    if not run.read:
        raise DataError(f"There is no example to write to {target.name!r}.", code="empty-file")
    why = ", ".join(run.dropped + beyond)
    raise DataError(
        f"The format {format.name!r} can hold none of the {run.read:,} examples ({why}). Choose another: --to chat",
        code="nothing-left",
    )


def _replace(draft: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    draft.replace(target)
