"""Excel workbooks: the first sheet, a heading row, then one example in each row."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from homeroom.data.files.base import Container, Row
from homeroom.data.files.csv_table import MAX_COLUMNS, check_headings, headings_of, no_rows, table_row
from homeroom.errors import DataError, Problem
from homeroom.schema.examples import Json

MAX_UNPACKED_BYTES = 512_000_000
MAX_RATIO = 100  # what text unpacks to is seldom ten times its packed size
MAX_RATIO_FROM_BYTES = 64_000_000
MAX_PARTS = 2_000
MAX_CELL_CHARACTERS = 32_767  # Excel's own limit; a longer text would be cut without a word
_PIECE_BYTES = 1 << 20
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how Excel writes a character that XML cannot hold


def _rows(path: Path) -> Iterator[Row]:
    try:
        formulas = _check_zip(path)
        yield from _sheet(path, formulas)
    except _damaged() as error:  # what zipfile, the XML parser and openpyxl raise for a workbook that is not one
        raise DataError(f"{path.name!r} cannot be read as an Excel workbook: {str(error)[:120]}", code="wrong-file") from error


def _damaged() -> tuple[type[Exception], ...]:
    from openpyxl.utils.exceptions import InvalidFileException

    return (
        InvalidFileException, zipfile.BadZipFile, zlib.error, KeyError, IndexError, TypeError, ValueError, EOFError,
        AttributeError, NotImplementedError, SyntaxError, OSError, RuntimeError,
    )  # fmt: skip


def _check_zip(path: Path) -> bool:
    """Refuse a workbook that unpacks to more than any honest one (it is a zip); say whether a sheet holds formulas.

    Raises:
        DataError: ``wrong-file``.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
        bomb = size > MAX_RATIO_FROM_BYTES and size > MAX_RATIO * max(1, packed)
        if size > MAX_UNPACKED_BYTES or bomb or len(entries) > MAX_PARTS:
            raise DataError(
                f"{path.name!r} unpacks to {size / 1e6:,.0f} MB in {len(entries):,} parts, which is more than is read. "
                "Save the table as CSV UTF-8.",
                code="wrong-file",
            )
        return any(_holds_formula(archive, entry) for entry in entries if entry.filename.startswith("xl/worksheets/"))


def _holds_formula(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    before = b""
    with archive.open(entry) as part:
        while piece := part.read(_PIECE_BYTES):
            if b"<f>" in before + piece or b"<f " in before + piece or b":f>" in before + piece:
                return True
            before = piece[-3:]
    return False


def _sheet(path: Path, formulas: bool) -> Iterator[Row]:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    other = openpyxl.load_workbook(path, read_only=True, keep_links=False) if formulas else None
    try:
        # Where a cell stands is what the file says: without the limit, one cell in the last corner is a row of 16,384.
        rows = book.worksheets[0].iter_rows(max_col=MAX_COLUMNS)
        written: Iterable[Any] = other.worksheets[0].iter_rows(max_col=MAX_COLUMNS) if other else repeat(())
        headings: list[str] | None = None
        seen = False
        last: object = None
        for number, (row, typed) in enumerate(zip(rows, written, strict=False), start=1):
            if row is last:  # openpyxl fills a gap with one and the same empty row: a cell in row 1,048,576 makes a million
                continue
            last = row
            cells = ["" if cell.value is None else _text(cell.value) for cell in row]
            wrong = _wrong_cell(row, typed)
            if not any(cell.strip() for cell in cells) and not wrong:
                continue
            if headings is None:
                headings = check_headings(cells, path.name)
                continue
            seen = True
            if wrong:
                yield Row(number, None, Problem(path.name, number, "content-missing", wrong))
            else:
                yield table_row(headings, cells, path.name, number)
        if not seen:
            raise no_rows(path)
    finally:
        book.close()
        if other:
            other.close()


def _wrong_cell(row: Iterable[Any], typed: Iterable[Any]) -> str:
    """A cell that shows an error, or a formula whose result was never stored; empty when all are well."""
    for cell, formula in zip(row, chain(typed, repeat(None)), strict=False):
        if getattr(cell, "data_type", "") == "e":
            return f"the cell {cell.coordinate} shows the error {cell.value}. Mend it in the spreadsheet."
        if formula is not None and getattr(formula, "data_type", "") == "f" and cell.value is None:
            return (
                f"the cell {formula.coordinate} holds a formula whose result is not stored. "
                "Open the file in a spreadsheet program and save it, or replace the formula by its value."
            )
    return ""


def _text(value: object) -> str:
    """Excel keeps whole numbers as floats: ``4.0`` in a grade column means 4."""
    if isinstance(value, str):
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _write(path: Path, records: Callable[[], Iterable[Json]]) -> Counter[str]:
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    left_out: Counter[str] = Counter()
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("examples")

    def cell(text: str) -> Any:  # openpyxl has no types
        made = WriteOnlyCell(sheet, value=_ESCAPE.sub(r"_x005F\g<0>", text))
        made.data_type = "s"  # a text that begins with "=" is no formula
        return made

    headings = headings_of(records)
    sheet.append([cell(name) for name in headings])
    for record in records():
        if any(len(str(value)) > MAX_CELL_CHARACTERS for value in record.values()):
            left_out["examples with a text of more than 32,767 characters"] += 1
            continue
        sheet.append([cell(str(record[name])) if record.get(name) else None for name in headings])
    book.save(path)
    book.close()
    return left_out


CONTAINER = Container("xlsx", "Excel workbooks, first sheet", (".xlsx",), _rows, _write, flat=True)
