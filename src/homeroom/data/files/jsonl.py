"""JSON Lines: one object on each line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from homeroom.data.files.base import Container, Row
from homeroom.data.lines import MAX_LINE_BYTES, Block, block_lines, blocks, parse_line
from homeroom.errors import Problem
from homeroom.schema.examples import Json


def block_rows(path: Path, block: Block) -> Iterator[Row]:
    """The records of one block."""
    if block.too_long:
        text = (
            f"the line has {block.size / 1024 / 1024:,.0f} MB; {MAX_LINE_BYTES >> 20} MB is the limit, and it was not read. "
            "Split the conversation."
        )
        yield Row(block.first_line, None, Problem(path.name, block.first_line, "line-too-long", text))
        return
    for number, raw in block_lines(path, block):
        record = parse_line(raw, path.name, number)
        yield Row(number, None, record) if isinstance(record, Problem) else Row(number, record)


def _rows(path: Path) -> Iterator[Row]:
    for block in blocks(path):
        yield from block_rows(path, block)


def _write(path: Path, records: Callable[[], Iterable[Json]]) -> Counter[str]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records():
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    return Counter()


CONTAINER = Container("jsonl", "JSON Lines", (".jsonl", ".ndjson"), _rows, _write)
