"""A project folder: the user's own examples as JSONL, a recipe for them, and the commands to go on with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from homeroom.data.convert import Converted, checked_examples, write_examples
from homeroom.data.formats.table import HEADINGS
from homeroom.data.source import open_source
from homeroom.errors import ConfigError, ConflictError
from homeroom.schema.examples import Json
from homeroom.tuning.recipe_file import RECIPES


def parse_columns(options: Sequence[str]) -> dict[str, str]:
    """``["user=Frage"]`` to ``{"user": "Frage"}``.

    Raises:
        ConfigError: an option is not ``FIELD=HEADING`` or names an unknown field.
    """
    columns: dict[str, str] = {}
    for option in options:
        field, equals, heading = option.partition("=")
        if not equals or field not in HEADINGS:
            raise ConfigError(
                f"--column {option!r} is not FIELD=HEADING with FIELD one of {', '.join(HEADINGS)}.", code="columns-unknown"
            )
        columns[field] = heading
    return columns


def read_any(source: Path, columns: Mapping[str, str] | None = None, *, format: str | None = None) -> list[Json]:
    """Records of a file of any kind, checked.

    Raises:
        DataError: with every problem.
    """
    return [example.to_dict() for example in checked_examples(open_source(source, format=format, columns=columns))]


def convert_file(
    source: Path | str,
    target: Path | str,
    columns: Mapping[str, str] | None = None,
    *,
    to: str | None = None,
    format: str | None = None,
    force: bool = False,
) -> Converted:
    """Write the examples of ``source`` to ``target``, whose ending says what it is kept in.

    Args:
        source: A file of any kind.
        target: ``.jsonl``, ``.json``, ``.csv``, ``.tsv``, ``.xlsx``, ``.parquet``, or without an ending a `datasets` folder.
        columns: For tables: field to heading, where the headings are not the usual ones.
        to: Format of the target: ``chat`` when None, for tables ``table``.
        format: Format of the source; detected when None.
        force: Replace the target.

    Raises:
        DataError: the source has errors; nothing was written.
        ConflictError: the target exists.
        ConfigError: a format is not known.
    """
    opened = open_source(source, format=format, columns=columns)
    return write_examples(lambda: checked_examples(opened), Path(target), to=to, force=force)


def create_project(folder: Path, source: Path, columns: Mapping[str, str]) -> int:
    """Make ``folder`` with ``data/examples.jsonl``, ``recipe.yaml`` and ``README.md``; returns the number of examples.

    Raises:
        ConflictError: the folder exists and is not empty.
        DataError: the source is not usable; nothing was made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(f"{str(folder)!r} exists and is not empty. Choose another folder name.", code="file-exists")
    records = read_any(source, columns)
    tasks = sorted({str((r.get("metadata") or {}).get("task", "tutor")) for r in records})
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    (folder / "data" / "examples.jsonl").write_text(lines, "utf-8")
    (folder / "recipe.yaml").write_text((RECIPES / "demo.yaml").read_text("utf-8"), "utf-8")
    (folder / "README.md").write_text(_readme(folder.name, len(records), tasks), "utf-8")
    return len(records)


def _readme(name: str, count: int, tasks: Sequence[str]) -> str:
    version = f"--dataset {shlex.quote(name)} --recipe recipe.yaml"
    only = f" --task {tasks[0]}" if len(tasks) == 1 else ""  # the recipe has a run for each task
    return f"""# {name}

{count} examples ({", ".join(tasks)}) in `data/examples.jsonl`. From this folder:

    homeroom data check data/examples.jsonl     # every problem with file, line and rule
    homeroom data show data/examples.jsonl      # read a few
    homeroom demo --data data/examples.jsonl    # tune, compare, judge and chat

Or step by step:

    homeroom data split data/examples.jsonl --name {shlex.quote(name)}
    homeroom tune plan {version}{only}
    homeroom tune run {version}{only}
    homeroom eval run
    homeroom serve
"""
