"""A file of examples as a stream: what it is kept in, which format its records have, and where each one stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homeroom.data.formats import detect, named
from homeroom.data.lines import MAX_LINE_BYTES, UTF8_BOM, Block, block_lines, blocks, parse_line
from homeroom.data.metadata import grade_band, parse_grade
from homeroom.data.rules import check_record
from homeroom.data.tables import table_records
from homeroom.errors import DataError, NotFoundError, Problem
from homeroom.schema.examples import Example, Json

TABLES = (".csv", ".tsv", ".xlsx")
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file: its line (or row), and the record or what kept it from being read."""

    line: int
    record: Json | None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose format is known. Cheap to send to another process."""

    path: Path
    format: str
    container: str = "jsonl"
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name that problems carry."""
        return self.path.name

    def blocks(self) -> Iterator[Block]:
        """Pieces that can be read apart from each other; only of JSONL."""
        return blocks(self.path)

    def block_rows(self, block: Block) -> Iterator[Row]:
        """The records of one block."""
        if block.too_long:
            size = f"{block.size / 1024 / 1024:,.0f} MB"
            yield Row(block.first_line, None, Problem(self.file, block.first_line, "line-too-long", f"the line has {size}; "
                      f"{MAX_LINE_BYTES >> 20} MB is the limit, and it was not read. Split the conversation."))  # fmt: skip
            return
        for number, raw in block_lines(self.path, block):
            record = parse_line(raw, self.file, number)
            yield Row(number, None, record) if isinstance(record, Problem) else Row(number, record)

    def rows(self) -> Iterator[Row]:
        """Every record in file order."""
        if self.container == "table":
            for number, record in enumerate(table_records(self.path, self.columns), start=2):
                yield Row(number, record)
            return
        for block in self.blocks():
            yield from self.block_rows(block)

    def examples(self, row: Row, problems: list[Problem]) -> Iterator[Example]:
        """The examples of one row that are free of errors; everything that is wrong goes to ``problems``."""
        if row.record is None:
            problems += [row.problem] if row.problem else []
            return
        format = named(self.format)
        if format.name != "chat" and not format.matches(row.record):
            problems.append(
                Problem(
                    self.file, row.line, "messages-missing", f"the record is not in the format {format.name!r} of the first one."
                )
            )
            return
        for record in format.read(row.record):
            found = check_record(record, self.file, row.line)
            problems += found
            if not any(p.severity == "error" for p in found):
                yield Example.from_dict(normalised(record))


def open_source(path: Path | str, *, format: str | None = None, columns: Mapping[str, str] | None = None) -> Source:
    """Look at the beginning of a file and say what it is.

    Raises:
        NotFoundError: there is no such file (``file-not-found``).
        DataError: it is not a text file of JSON lines at all, or is empty (``wrong-file``, ``empty-file``).
        ConfigError: ``format`` is unknown.
    """
    path = Path(path)
    if not path.exists():
        raise NotFoundError(f"There is no file {str(path)!r}. Check the path, or run: homeroom init", code="file-not-found")
    if format is not None:
        named(format)
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; name one JSONL file in it.", code="wrong-file")
    if not path.is_file():
        raise DataError(f"{str(path)!r} is a pipe or a device; save what it gives into a file.", code="wrong-file")
    if path.suffix.lower() in TABLES:
        return Source(path, "chat", "table", dict(columns or {}))
    _check_head(path)
    return Source(path, format or _detected(path))


def _check_head(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path.name!r} is UTF-16 text. Save it as UTF-8 JSONL: one JSON object on each line.", code="wrong-file")
    begins = head.removeprefix(UTF8_BOM).lstrip()[:1]
    if begins in (b"{", b"["):
        return
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            raise DataError(
                f"{path.name!r} is not UTF-8 text (byte {error.start}). Save it as UTF-8 JSONL: one JSON object on each line.",
                code="wrong-file",
            ) from error


def _detected(path: Path) -> str:
    """The format of the first record that can be read."""
    seen = False
    for block in blocks(path):
        if block.too_long:
            seen = True
            continue
        for number, raw in block_lines(path, block):
            seen = True
            record = parse_line(raw, path.name, number)
            if not isinstance(record, Problem):
                return detect(record).name
    if not seen:
        raise DataError(f"{path.name!r} is empty. Each line must hold one example; see: homeroom data show", code="empty-file")
    return "chat"


def normalised(record: Json) -> Json:
    """Grade as a number and its band beside it, so that every later reader can rely on both."""
    meta: dict[str, Any] = dict(record.get("metadata") or {})
    grade = parse_grade(meta["grade"]) if meta.get("grade") is not None else None
    if grade is not None:
        meta["grade"] = grade
        meta.setdefault("grade_band", grade_band(grade))
    return {**record, "metadata": meta}
