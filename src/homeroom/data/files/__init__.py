"""Kinds of files: one module each, one line here."""

from __future__ import annotations

from pathlib import Path

from homeroom.data.files import arrow_folder, csv_table, json_array, jsonl, parquet, xlsx
from homeroom.data.files.base import Container, Row
from homeroom.errors import ConfigError

__all__ = ["CONTAINERS", "Container", "Row", "by_suffix"]

CONTAINERS: dict[str, Container] = {
    container.name: container
    for container in (
        jsonl.CONTAINER,
        json_array.CONTAINER,
        csv_table.CSV,
        csv_table.TSV,
        xlsx.CONTAINER,
        parquet.CONTAINER,
        arrow_folder.CONTAINER,
    )
}


def by_suffix(path: Path) -> Container:
    """The kind of file that a new path asks for; a path without a suffix is a folder of `datasets`.

    Raises:
        ConfigError: no kind has this suffix (``format-unknown``).
    """
    suffix = path.suffix.lower()
    if not suffix:
        return arrow_folder.CONTAINER
    found = next((container for container in CONTAINERS.values() if suffix in container.suffixes), None)
    if found is None:
        known = ", ".join(s for container in CONTAINERS.values() for s in container.suffixes)
        raise ConfigError(
            f"Nothing is known of files that end in {suffix!r} ({path.name!r}). Use one of {known}, or a name without an ending "
            "for a folder of Hugging Face's datasets.",
            code="format-unknown",
        )
    return found
