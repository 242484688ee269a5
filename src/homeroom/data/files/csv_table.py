"""CSV and TSV: a heading row, then one example in each row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO

from homeroom.data.files.base import Container, Row, plain_row
from homeroom.data.lines import MAX_LINE_BYTES
from homeroom.errors import DataError, Problem
from homeroom.schema.examples import Json

MAX_COLUMNS = 256


def _rows(path: Path) -> Iterator[Row]:
    # The one setting of the csv module; it bounds what an unclosed quotation mark can swallow.
    csv.field_size_limit(MAX_LINE_BYTES)
    with path.open("rb") as raw:
        reader = csv.reader(_lines(raw, path.name), delimiter=_delimiter(path), strict=True)
        headings: list[str] | None = None
        seen = False
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                text = f"the table cannot be read from line {line} on: {error}. Look for a quotation mark that is not closed."
                yield Row(line, None, Problem(path.name, line, "json-invalid", text.replace("JSON", "table")))
                return
            if cells is None:
                break
            if not any(cell.strip() for cell in cells):
                continue
            if headings is None:
                headings = check_headings(cells, path.name)
                continue
            seen = True
            yield table_row(headings, cells, path.name, line)
    if not seen:
        raise no_rows(path)


def _lines(raw: IO[bytes], file: str) -> Iterator[str]:
    """Decoded lines with their ends, of at most `MAX_LINE_BYTES`.

    Raises:
        DataError: ``wrong-file``, with the line.
    """
    number = 0
    while line := raw.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{file!r}, line {number}, has more than {MAX_LINE_BYTES >> 20} MB. Split it.", code="wrong-file")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file!r} is not UTF-8 text (line {number}, byte {error.start + 1}). "
                "In a spreadsheet choose 'Save as: CSV UTF-8'.",
                code="wrong-file",
            ) from error


def _delimiter(path: Path) -> str:
    """Of CSV comma or semicolon (what spreadsheets write in half of the world), whichever the first line holds more of."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open("rb") as file:
        first = file.readline(MAX_LINE_BYTES)
    return ";" if first.count(b";") > first.count(b",") else ","


def check_headings(cells: Sequence[str], file: str) -> list[str]:
    """The headings of a table.

    Raises:
        DataError: there are too many, or one stands twice (``columns-unknown``).
    """
    headings = [cell.strip() for cell in cells]
    while headings and not headings[-1]:
        headings.pop()
    if len(headings) > MAX_COLUMNS:
        raise DataError(f"{file!r} has {len(headings)} columns; {MAX_COLUMNS} is the limit.", code="wrong-file")
    twice = next((name for name in headings if name and headings.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file!r} has two columns {twice!r}. Rename one of them.", code="columns-unknown")
    return headings


def table_row(headings: Sequence[str], cells: Sequence[str], file: str, line: int) -> Row:
    """A row as a record: heading to text; an empty cell is an empty text."""
    beyond = [cell for cell in cells[len(headings) :] if cell.strip()]
    nameless = [cell for name, cell in zip(headings, cells, strict=False) if not name and cell.strip()]
    if beyond or nameless:
        text = (
            f"the row has a cell without a heading: {(beyond + nameless)[0][:40]!r}. Is a quotation mark missing around a text?"
        )
        return Row(line, None, Problem(file, line, "metadata-invalid", text))
    named = zip_longest(headings, cells[: len(headings)], fillvalue="")
    return plain_row({name: cell for name, cell in named if name}, file, line)


def no_rows(path: Path) -> DataError:
    """A table without examples."""
    return DataError(f"{path.name!r} has no rows below its headings.", code="empty-file")


def headings_of(records: Callable[[], Iterable[Json]]) -> list[str]:
    """All keys of flat records, in the order in which they first appear."""
    return list(dict.fromkeys(key for record in records() for key in record))


def _write(path: Path, records: Callable[[], Iterable[Json]]) -> Counter[str]:
    headings = headings_of(records)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\r\n")
        writer.writerow(headings)
        for record in records():
            writer.writerow([record.get(name, "") for name in headings])
    return Counter()


CSV = Container("csv", "comma- or semicolon-separated values, UTF-8", (".csv",), _rows, _write, flat=True)
TSV = Container("tsv", "tab-separated values, UTF-8", (".tsv",), _rows, _write, flat=True)
