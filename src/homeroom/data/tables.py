"""Spreadsheets (CSV, TSV, XLSX) to examples: one row is one question and its reply."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from homeroom.errors import DataError, NotFoundError
from homeroom.schema.examples import Json

# Field of an example -> the headings it is known by (lower case, letters only).
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "user": ("user", "question", "prompt", "input", "learner", "student", "instruction"),
    "assistant": ("assistant", "answer", "reply", "response", "completion", "output", "tutor", "teacher"),
    "system": ("system", "systemprompt"),
    "context": ("context", "passage"),
}
METADATA = (
    "task", "subject", "grade", "grade_band", "topic", "difficulty", "question_type", "scenario", "language", "source",
    "author", "licence", "consent",
)  # fmt: skip
REFERENCE = ("claim", "claim_is_correct", "solution", "key")
TRUTH = {"yes": True, "true": True, "1": True, "right": True, "no": False, "false": False, "0": False, "wrong": False}


MAX_ROWS = 100_000
MAX_COLUMNS = 256
MAX_UNPACKED_BYTES = 64_000_000
MAX_PARTS = 2_000


def table_records(path: Path | str, columns: Mapping[str, str] | None = None) -> list[Json]:
    """The records of a table, one for each row that is not empty.

    Args:
        path: A ``.csv``, ``.tsv`` or ``.xlsx`` file whose first row holds headings.
        columns: Field (``user``, ``assistant``, ``system``, ``context``) to heading, where the headings are not the usual ones.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is not such a table (``wrong-file``), is empty (``empty-file``), or no column holds questions or replies
            (``columns-unknown``, naming the headings found).
    """
    path = Path(path)
    if not path.exists():
        raise NotFoundError(f"There is no file {str(path)!r}. Check the path.", code="file-not-found")
    if not path.is_file():
        raise DataError(f"{path.name!r} is a folder, a pipe or a device; name a file.", code="wrong-file")
    rows: list[list[str]] = []
    for row in _rows(path):
        cells = [cell.strip() for cell in row]
        if any(cells):
            rows.append(cells)
        if len(rows) > MAX_ROWS:
            raise DataError(f"{path.name!r} has more than {MAX_ROWS:,} rows. Save it as several files.", code="wrong-file")
    if len(rows) < 2:
        raise DataError(f"{path.name!r} has no rows below its headings.", code="empty-file")
    headings = rows[0]
    places = _places(headings, columns or {}, path.name)
    return [_record(row + [""] * (len(headings) - len(row)), headings, places) for row in rows[1:]]


def _rows(path: Path) -> Iterator[Sequence[str]]:
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        yield from _xlsx(path)
        return
    if suffix not in (".csv", ".tsv"):
        raise DataError(f"{path.name!r} is not a .csv, .tsv, .xlsx or .jsonl file.", code="wrong-file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name!r} is not UTF-8 text. In a spreadsheet choose 'Save as: CSV UTF-8'.", code="wrong-file"
        ) from error
    delimiter = "\t" if suffix == ".tsv" else _delimiter(text)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise DataError(
            f"{path.name!r} cannot be read as a table: {error}. Save it again as CSV UTF-8.", code="wrong-file"
        ) from error


def _delimiter(text: str) -> str:
    """Comma or semicolon (what spreadsheets write in half of the world), whichever the first line holds more of."""
    first = text.split("\n", 1)[0]
    return ";" if first.count(";") > first.count(",") else ","


def _xlsx(path: Path) -> Iterator[Sequence[str]]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    unreadable = (
        InvalidFileException,
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        EOFError,
        AttributeError,
        NotImplementedError,
        SyntaxError,
        OSError,
        RuntimeError,
    )
    try:
        _check_zip(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            # Where a cell stands is what the file says: without the limit, one cell in the last corner is a row of 16,384.
            for row in book.worksheets[0].iter_rows(values_only=True, max_col=MAX_COLUMNS, max_row=2 * MAX_ROWS):
                if row.count(None) < len(row):
                    yield ["" if cell is None else _cell(cell) for cell in row]
        finally:
            book.close()
    except unreadable as error:  # what zipfile, the XML parser and openpyxl raise for a damaged workbook
        raise DataError(f"{path.name!r} cannot be read as an Excel workbook: {str(error)[:120]}", code="wrong-file") from error


def _check_zip(path: Path) -> None:
    """Refuse a workbook that unpacks to more than any honest one: it is a zip, and zips can be bombs.

    Raises:
        DataError: ``wrong-file``.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
    if size > MAX_UNPACKED_BYTES or len(entries) > MAX_PARTS:
        raise DataError(
            f"{path.name!r} unpacks to {size / 1e6:,.0f} MB in {len(entries):,} parts, which is more than is read. "
            "Save the table as CSV UTF-8.",
            code="wrong-file",
        )


def _cell(value: object) -> str:
    """Excel keeps whole numbers as floats: ``4.0`` in a grade column means 4."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _places(headings: Sequence[str], columns: Mapping[str, str], file: str) -> dict[str, int]:
    plain = ["".join(c for c in h.lower() if c.isalpha()) for h in headings]
    places: dict[str, int] = {}
    for field, names in HEADINGS.items():
        if field in columns:
            if columns[field] not in headings:
                raise DataError(
                    f"{file!r} has no column {columns[field]!r}. It has: {', '.join(headings)}.", code="columns-unknown"
                )
            places[field] = list(headings).index(columns[field])
        else:
            found = next((plain.index(n) for n in names if n in plain), None)
            if found is not None:
                places[field] = found
    missing = [f for f in ("user", "assistant") if f not in places]
    if missing:
        options = " ".join(f"--column {f}=HEADING" for f in missing)
        raise DataError(
            f"{file!r} has no column for {' and '.join(missing)}; its headings are {', '.join(map(repr, headings))}. "
            f"Name them: {options}",
            code="columns-unknown",
        )
    return places


def _reference_value(key: str, text: str) -> str | bool:
    """``claim_is_correct`` as true or false; other keys as they are. A word that is neither stays a text and is reported."""
    return TRUTH.get(text.strip().lower(), text) if key == "claim_is_correct" else text


def _record(row: Sequence[str], headings: Sequence[str], places: Mapping[str, int]) -> Json:
    messages = [
        {"role": role, "content": row[places[role]]}
        for role in ("system", "user", "assistant")
        if role in places and (role != "system" or row[places[role]])
    ]
    record: dict[str, Any] = {"messages": messages}
    metadata: Json = {}
    reference: Json = {}
    for index, heading in enumerate(headings):
        key = heading.strip().lower().replace(" ", "_").replace("-", "_")
        if index in places.values() or not key or not row[index]:
            continue
        if key in REFERENCE:
            reference["answer" if key == "key" else key] = _reference_value(key, row[index])
        else:
            metadata[key] = row[index]
    if metadata:
        record["metadata"] = metadata
    if reference:
        record["reference"] = reference
    if "context" in places and row[places["context"]]:
        record["context"] = [row[places["context"]]]
    return record
