"""Files of examples as a stream: what each is kept in, which format its records have, and where each record stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from homeroom.data.files import CONTAINERS, Row
from homeroom.data.files.arrow_folder import check_folder
from homeroom.data.files.jsonl import block_rows
from homeroom.data.formats import detect, named
from homeroom.data.formats.base import Unreadable
from homeroom.data.formats.table import HEADINGS, JSON, MESSAGES, places
from homeroom.data.lines import UTF8_BOM, Block, blocks
from homeroom.data.metadata import grade_band, parse_grade
from homeroom.data.rules import check_record
from homeroom.errors import DataError, NotFoundError, Problem
from homeroom.schema.examples import Example, Json

_HEAD_BYTES = 4096
_LOOKED_AT = 20  # records that are looked at to detect a format: the first ones may be broken


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose format is known. Cheap to send to another process.

    Attributes:
        path: The file, or the folder of a dataset.
        format: Name in `homeroom.data.formats.FORMATS`.
        container: Name in `homeroom.data.files.CONTAINERS`.
        columns: Heading in the file to the heading that the table format knows.
    """

    path: Path
    format: str
    container: str = "jsonl"
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name that problems carry."""
        return self.path.name

    @property
    def size_bytes(self) -> int:
        """Of the file, or of all files of the folder."""
        if self.path.is_dir():
            return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())
        return self.path.stat().st_size

    def blocks(self) -> Iterator[Block]:
        """Pieces that can be read apart from each other; only of JSONL."""
        return blocks(self.path)

    def block_rows(self, block: Block) -> Iterator[Row]:
        """The records of one block."""
        return block_rows(self.path, block)

    def rows(self) -> Iterator[Row]:
        """Every record in file order."""
        return CONTAINERS[self.container].rows(self.path)

    def examples(self, row: Row, problems: list[Problem]) -> Iterator[Example]:
        """The examples of one row that are free of errors; everything that is wrong goes to ``problems``."""
        for record in self.records(row, problems):
            found = check_record(record, self.file, row.line)
            problems += found
            if not any(p.severity == "error" for p in found):
                yield Example.from_dict(normalised(record))

    def records(self, row: Row, problems: list[Problem]) -> Iterator[Json]:
        """One row as records of Homeroom, unchecked."""
        if row.record is None:
            problems += [row.problem] if row.problem else []
            return
        record = {self.columns.get(key, key): value for key, value in row.record.items()} if self.columns else row.record
        format = named(self.format)
        if format.name in ("chat", "openai", "table") or format.matches(record):
            read = False
            try:
                for read_record in format.read(record):
                    read = True
                    yield read_record
            except Unreadable as error:
                problems.append(Problem(self.file, row.line, error.rule, str(error)))
            else:
                if not read:
                    told = f"the record holds no dialogue with a reply, as {format.name!r} writes one."
                    problems.append(Problem(self.file, row.line, "messages-missing", told))
            return
        text = f"the record is not in the format {format.name!r} of the first one. Keys found: {', '.join(map(repr, record))}."
        problems.append(Problem(self.file, row.line, "messages-missing", text))


def open_source(path: Path | str, *, format: str | None = None, columns: Mapping[str, str] | None = None) -> Source:
    """Look at the beginning of a file and say what it is.

    Args:
        path: A file, or a folder of Hugging Face's `datasets`.
        format: A name of `homeroom.data.formats.FORMATS`; detected when None.
        columns: For tables: field (``user``, ``assistant``, ``system``, ``context``) to heading, where the headings are not the
            usual ones.

    Raises:
        NotFoundError: there is no such file (``file-not-found``).
        DataError: it cannot hold examples, or is empty (``wrong-file``, ``empty-file``), or a table has no column for questions
            or replies (``columns-unknown``, naming the headings found).
        ConfigError: ``format`` is unknown.
    """
    path = Path(path)
    if not path.exists():
        raise NotFoundError(f"There is no file {str(path)!r}. Check the path, or run: homeroom init", code="file-not-found")
    if format is not None:
        named(format)
    source = Source(path, format or "chat", _container(path))
    if CONTAINERS[source.container].flat:
        headings = _headings(source)
        renamed = _renamed(headings, columns or {}, path.name)
        return Source(path, "table", source.container, renamed)
    renamed = {heading: HEADINGS[name][0] for name, heading in (columns or {}).items()}
    return Source(path, format or ("table" if renamed else _detected(source)), source.container, renamed)


def _container(path: Path) -> str:
    if path.is_dir():
        check_folder(path)
        return "datasets"
    if not path.is_file():
        raise DataError(f"{str(path)!r} is a pipe or a device; save what it gives into a file.", code="wrong-file")
    suffix = path.suffix.lower()
    found = next((c.name for c in CONTAINERS.values() if suffix in c.suffixes and c.name not in ("json", "jsonl")), None)
    if found is not None:
        return found
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    bare = head.removeprefix(UTF8_BOM).lstrip()
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path.name!r} is UTF-16 text. Save it as UTF-8 JSONL: one JSON object on each line.", code="wrong-file")
    if head[:4] in (b"PK\x03\x04", b"PAR1"):
        kind = "an Excel workbook or another zip" if head[:2] == b"PK" else "a Parquet file"
        raise DataError(f"{path.name!r} is {kind}. Give it the ending .xlsx or .parquet.", code="wrong-file")
    if bare[:1] == b"[":
        return "json"
    if bare[:1] != b"{":
        _check_text(head, path)
    elif suffix == ".json" and bare.split(b"\n", 1)[0].strip() == b"{":
        raise DataError(
            f"{path.name!r} is one JSON object over several lines. Write each example on a line of its own, or all of them as "
            "a list: [ ... ].",
            code="wrong-file",
        )
    return "jsonl"


def _check_text(head: bytes, path: Path) -> None:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 or len(head) < _HEAD_BYTES:
            raise DataError(
                f"{path.name!r} is not UTF-8 text (byte {error.start}). Save it as UTF-8 JSONL: one JSON object on each line.",
                code="wrong-file",
            ) from error


def _headings(source: Source) -> list[str]:
    """All headings that the first rows use: an empty cell has none."""
    rows = source.rows()
    found = dict.fromkeys(key for row in islice(rows, _LOOKED_AT) for key in row.record or ())
    return list(found)


def _renamed(headings: list[str], columns: Mapping[str, str], file: str) -> dict[str, str]:
    """Heading of the file to the table format's own, where a column was named.

    Raises:
        DataError: a column is not there, or none holds questions or replies (``columns-unknown``).
    """
    if not headings:  # every row that was looked at is broken, and will be told so
        return {heading: HEADINGS[name][0] for name, heading in columns.items()}
    for heading in columns.values():
        if heading not in headings:
            raise DataError(f"{file!r} has no column {heading!r}. It has: {', '.join(headings)}.", code="columns-unknown")
    found = places(heading.removesuffix(JSON) for heading in headings)
    missing = [name for name in ("user", "assistant") if name not in found and name not in columns]
    if missing and MESSAGES + JSON not in headings:
        options = " ".join(f"--column {name}=HEADING" for name in missing)
        raise DataError(
            f"{file!r} has no column for {' and '.join(missing)}; its headings are {', '.join(map(repr, headings))}. "
            f"Name them: homeroom data convert {file} examples.jsonl {options}",
            code="columns-unknown",
        )
    renamed = {heading: HEADINGS[name][0] for name, heading in columns.items()}
    for name, heading in found.items():  # a usual heading whose place was given to another is metadata
        if name in columns and columns[name] != heading:
            renamed.setdefault(heading, f"metadata.{heading}")
    return renamed


def _detected(source: Source) -> str:
    """The format of the first record that can be read."""
    seen = False
    for row in source.rows():
        seen = True
        if row.record is not None:
            return detect(row.record).name
    if not seen:
        raise DataError(f"{source.file!r} is empty. Each line must hold one example; see: homeroom data show", code="empty-file")
    return "chat"


def normalised(record: Json) -> Json:
    """Grade as a number and its band beside it, so that every later reader can rely on both."""
    meta: dict[str, Any] = dict(record.get("metadata") or {})
    grade = parse_grade(meta["grade"]) if meta.get("grade") is not None else None
    if grade is not None:
        meta["grade"] = grade
        meta.setdefault("grade_band", grade_band(grade))
    return {**record, "metadata": meta}
