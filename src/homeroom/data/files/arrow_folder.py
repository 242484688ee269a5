"""A folder as Hugging Face's `datasets` saves it: Arrow files, one folder for each split where there are several.

Folders as they are downloaded (``data/train-00000-of-00001.parquet``, or JSONL files) are read too. Layout: ``save_to_disk`` of
the package `datasets`, which is not needed here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from homeroom.data.files import jsonl, parquet
from homeroom.data.files.base import Container, Row
from homeroom.data.files.columns import Columns, arrow, arrow_errors, batch_rows, marked_columns, nothing_dropped
from homeroom.errors import DataError
from homeroom.schema.examples import Json

_SPLIT = re.compile(r"(train|validation|valid|dev|test)(?![a-z])", re.IGNORECASE)
_SPLITS = {"valid": "validation", "dev": "validation"}
DATA_FILE = "data-00000-of-00001.arrow"


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds data in one of the layouts."""
    return bool(_files(folder))


def _files(folder: Path) -> list[Path]:
    """The files with data, splits in their order of use; Arrow's own caches left out."""
    found = [
        path
        for pattern in ("*.arrow", "*/*.arrow", "*.parquet", "*/*.parquet", "*.jsonl", "*/*.jsonl")
        for path in sorted(folder.glob(pattern))
        if not path.name.startswith(("cache-", ".")) and path.is_file()
    ]
    kinds = {path.suffix for path in found}
    suffix = next((kind for kind in (".arrow", ".parquet", ".jsonl") if kind in kinds), "")
    order = {"train": 0, "validation": 1, "test": 2, "": 3}
    return sorted((path for path in found if path.suffix == suffix), key=lambda path: (order[_split_of(folder, path)], str(path)))


def _split_of(folder: Path, path: Path) -> str:
    found = _SPLIT.match(path.name) or (_SPLIT.fullmatch(path.parent.name) if path.parent != folder else None)
    return _SPLITS.get(found[1].lower(), found[1].lower()) if found else ""


def _rows(folder: Path) -> Iterator[Row]:
    number = 0
    for path in _files(folder):
        split = _split_of(folder, path)
        for row in _file_rows(path):
            number += 1
            yield Row(number, _with_split(row.record, split), row.problem)


def _file_rows(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        yield from parquet.CONTAINER.rows(path)
    elif path.suffix == ".jsonl":
        yield from jsonl.CONTAINER.rows(path)
    else:
        yield from _arrow_rows(path)


def _arrow_rows(path: Path) -> Iterator[Row]:
    pyarrow = arrow("Reading a datasets folder")
    with arrow_errors(path), pyarrow.OSFile(str(path), "rb") as source:
        try:
            reader = pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            reader = pyarrow.ipc.open_file(source)
            batches: Iterable[Any] = (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            batches = reader
        yield from batch_rows(batches, marked_columns(reader.schema), path)


def _with_split(record: Json | None, split: str) -> Json | None:
    if record is None or not split:
        return record
    metadata = record.get("metadata", {})
    return {**record, "metadata": {"split": split, **metadata}} if isinstance(metadata, dict) else record


def _write(folder: Path, records: Callable[[], Iterable[Json]]) -> Counter[str]:
    pyarrow = arrow("Writing a datasets folder")
    columns = Columns(records)
    schema = columns.schema()
    folder.mkdir(parents=True, exist_ok=True)
    with pyarrow.OSFile(str(folder / DATA_FILE), "wb") as sink, pyarrow.ipc.new_stream(sink, schema) as writer:
        for batch in columns.batches():
            writer.write_batch(batch)
    features = {name: _feature(kind) for name, kind in columns.kinds.items()}
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    state: Json = {
        "_data_files": [{"filename": DATA_FILE}], "_fingerprint": "homeroom", "_format_columns": None, "_format_kwargs": {},
        "_format_type": None, "_output_all_columns": False, "_split": None,
    }  # fmt: skip
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2), "utf-8")
    (folder / "state.json").write_text(json.dumps(state, indent=2), "utf-8")
    return nothing_dropped()


def _feature(kind: str) -> Any:  # as `datasets` writes its Features
    names = {"whole": "int64", "number": "float64", "truth": "bool"}
    if kind == "texts":
        return {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}
    if kind == "messages":
        fields = {"role": "string", "content": "string", "weight": "int64"}
        return {"feature": {name: {"dtype": dtype, "_type": "Value"} for name, dtype in fields.items()}, "_type": "List"}
    return {"dtype": names.get(kind, "string"), "_type": "Value"}


def check_folder(folder: Path) -> None:
    """Raise where a folder holds no data.

    Raises:
        DataError: ``wrong-file``.
    """
    if not is_dataset(folder):
        raise DataError(
            f"{str(folder)!r} is a folder without .arrow, .parquet or .jsonl files; name one file of examples.", code="wrong-file"
        )


CONTAINER = Container("datasets", "a folder of Hugging Face's `datasets`, needs the extra `data`", (), _rows, _write)
