"""Records as Arrow columns and back, for Parquet files and Hugging Face `datasets` folders.

A column whose values are of one plain kind becomes a column of that kind, conversations lists of objects. Anything else is kept
as JSON text, and the schema says so: Arrow would invent keys and change types, and an example would not come back as it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from homeroom.data.files.base import Row, plain_row
from homeroom.data.lines import MAX_LINE_BYTES
from homeroom.errors import DataError, MissingExtraError, Problem
from homeroom.schema.examples import Json

MARK = b"homeroom.json_columns"
BATCH_ROWS = 64
MAX_UNPACKED_BYTES = 4_000_000_000
MAX_TEXT_BYTES = 2_000_000_000  # what all rows of one file may hold together
MAX_RATIO, MAX_RATIO_FROM_BYTES = 200, 64_000_000  # text is seldom packed to a twentieth
_INT64 = 1 << 63
Arrow = Any  # pyarrow has no types


def arrow(feature: str) -> Arrow:
    """The package pyarrow.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(feature, "pyarrow", "data") from error
    return pyarrow


@contextmanager
def arrow_errors(path: Path) -> Iterator[None]:
    """Arrow's complaints about a file as ours."""
    pyarrow = arrow(path.name)
    try:
        yield
    except (pyarrow.ArrowException, OSError, MemoryError, OverflowError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())[:160]
        raise DataError(f"{path.name!r} cannot be read: {text}. It may be cut off or damaged.", code="wrong-file") from error


def batch_rows(batches: Iterable[Arrow], marked: frozenset[str], path: Path, first: int = 1) -> Iterator[Row]:
    """The records of Arrow batches, numbered from ``first``.

    Raises:
        DataError: they unpack to more text than any honest file (``wrong-file``).
    """
    number, packed, held = first, path.stat().st_size, 0
    for batch in batches:
        _check_size(path, held + batch.nbytes, packed)
        for offset in range(0, batch.num_rows, BATCH_ROWS):
            for record in _objects(batch.slice(offset, BATCH_ROWS)):
                room = [MAX_LINE_BYTES]
                yield _row(record, marked, path.name, number, room)
                number, held = number + 1, held + MAX_LINE_BYTES - room[0]
                _check_size(path, held, packed)


def _check_size(path: Path, held: int, packed: int) -> None:
    if held > min(MAX_TEXT_BYTES, max(MAX_RATIO_FROM_BYTES, MAX_RATIO * packed)):
        raise DataError(
            f"{path.name!r} unpacks to {held / 1e6:,.0f} MB and more from {packed / 1e6:,.1f} MB, which is more than is read. "
            "Save it as several files.",
            code="wrong-file",
        )


def _objects(part: Arrow) -> Iterator[Any]:
    try:
        yield from part.to_pylist()
    except UnicodeDecodeError:  # one text is not UTF-8: find out which row it is in
        for index in range(part.num_rows):
            try:
                yield from part.slice(index, 1).to_pylist()
            except UnicodeDecodeError:
                yield None


def _row(record: Any, marked: frozenset[str], file: str, number: int, room: list[int]) -> Row:
    if record is None:
        return Row(number, None, Problem(file, number, "encoding-invalid", "a text of the row is not UTF-8."))
    for name in marked & record.keys():
        if isinstance(record[name], str):
            try:
                record[name] = json.loads(record[name])
            except (ValueError, RecursionError) as error:
                return Row(number, None, Problem(file, number, "json-invalid", f"the column {name!r} is not JSON: {error}"))
    kept = {name: value if name in marked else _without_nulls(value) for name, value in record.items() if value is not None}
    return plain_row(kept, file, number, room)


def _without_nulls(value: Any, depth: int = 0) -> Any:  # whatever a cell holds
    """Arrow gives every object of a column every key; those that are null were not there."""
    if depth > 64:
        return value
    if isinstance(value, dict):
        return {k: _without_nulls(v, depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1) for item in value]
    return value


def marked_columns(schema: Arrow) -> frozenset[str]:
    """The columns of a schema that hold JSON."""
    try:
        return frozenset(json.loads((schema.metadata or {}).get(MARK, b"[]")))
    except (ValueError, TypeError):
        return frozenset()


class Columns:
    """What kind of column each key needs, found by looking at every record once."""

    def __init__(self, records: Callable[[], Iterable[Json]]) -> None:
        self._records = records
        kinds: dict[str, set[str]] = {}
        for record in records():
            for key, value in record.items():
                kinds.setdefault(key, set()).add(_kind(value))
        self.kinds = {key: found.pop() if len(found) == 1 else "json" for key, found in kinds.items()}

    def schema(self) -> Arrow:
        """The Arrow schema."""
        pa = arrow("Writing Parquet and Arrow")
        message = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int64())])
        types = {
            "text": pa.string(), "whole": pa.int64(), "number": pa.float64(), "truth": pa.bool_(), "json": pa.string(),
            "texts": pa.list_(pa.string()), "messages": pa.list_(message),
        }  # fmt: skip
        marked = [key for key, kind in self.kinds.items() if kind == "json"]
        metadata = {MARK: json.dumps(marked).encode()} if marked else {}
        return pa.schema([(key, types[kind]) for key, kind in self.kinds.items()], metadata=metadata)

    def batches(self) -> Iterator[Arrow]:
        """The records as Arrow batches."""
        pa = arrow("Writing Parquet and Arrow")
        schema = self.schema()
        records = iter(self._records())
        while some := list(islice(records, 1000)):
            columns = {key: [self._cell(record, key, kind) for record in some] for key, kind in self.kinds.items()}
            yield pa.RecordBatch.from_pydict(columns, schema=schema)

    @staticmethod
    def _cell(record: Json, key: str, kind: str) -> Any:  # whatever the column takes
        if key not in record:
            return None
        value = record[key]
        return json.dumps(value, ensure_ascii=False) if kind == "json" else value


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "whole" if -_INT64 <= value < _INT64 else "json"
    if isinstance(value, float):
        return "number"
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "texts"
    if isinstance(value, list) and value and all(_is_plain_message(item) for item in value):
        return "messages"
    return "json"


def _is_plain_message(item: object) -> bool:
    return (
        isinstance(item, dict)
        and set(item) <= {"role", "content", "weight"}
        and isinstance(item.get("role"), str)
        and isinstance(item.get("content"), str)
        and type(item.get("weight", 1)) is int
    )


def nothing_dropped() -> Counter[str]:
    """Columns hold everything."""
    return Counter()
