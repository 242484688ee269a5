"""Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from homeroom.data.files.base import Container, Row
from homeroom.data.files.columns import (
    BATCH_ROWS,
    MAX_UNPACKED_BYTES,
    Columns,
    arrow,
    arrow_errors,
    batch_rows,
    marked_columns,
    nothing_dropped,
)
from homeroom.errors import DataError
from homeroom.schema.examples import Json


def _rows(path: Path) -> Iterator[Row]:
    arrow("Reading Parquet")
    from pyarrow import parquet

    with arrow_errors(path):
        file = parquet.ParquetFile(path, memory_map=False)
        try:
            about = file.metadata
            unpacked = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
            if unpacked > MAX_UNPACKED_BYTES:
                raise DataError(
                    f"{path.name!r} unpacks to {unpacked / 1e9:,.0f} GB, which is more than is read. Save it as several files.",
                    code="wrong-file",
                )
            yield from batch_rows(file.iter_batches(batch_size=BATCH_ROWS), marked_columns(file.schema_arrow), path)
        finally:
            file.close()


def _write(path: Path, records: Callable[[], Iterable[Json]]) -> Counter[str]:
    arrow("Writing Parquet")
    from pyarrow import parquet

    columns = Columns(records)
    with parquet.ParquetWriter(path, columns.schema(), compression="zstd") as writer:
        for batch in columns.batches():
            writer.write_batch(batch)
    return nothing_dropped()


CONTAINER = Container("parquet", "Parquet, needs the extra `data`", (".parquet",), _rows, _write)
