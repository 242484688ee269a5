"""A project folder: the user's own examples as JSONL, a recipe for them, and the commands to go on with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from homeroom.data.reading import data_error, load_examples
from homeroom.data.rules import check_record
from homeroom.data.tables import HEADINGS, table_records
from homeroom.errors import ConfigError, ConflictError
from homeroom.schema.examples import Json
from homeroom.tuning.recipe_file import RECIPES

TABLES = (".csv", ".tsv", ".xlsx")


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


def read_any(source: Path, columns: Mapping[str, str] | None = None) -> list[Json]:
    """Records of a table or a JSONL file, checked.

    Raises:
        DataError: with every problem.
    """
    if source.suffix.lower() not in TABLES:
        return [example.to_dict() for example in load_examples(source)]
    records = table_records(source, columns)
    problems = [p for row, record in enumerate(records, start=2) for p in check_record(record, source.name, row)]
    errors = [p for p in problems if p.severity == "error"]
    if errors:
        raise data_error(source, errors)
    return records


def convert_file(source: Path, target: Path, columns: Mapping[str, str], *, force: bool = False) -> int:
    """Write ``source`` as chat JSONL and return the number of examples."""
    records = read_any(source, columns)
    if target.exists() and not force:
        raise ConflictError(f"{str(target)!r} exists. Choose another name or add --force.", code="file-exists")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "utf-8")
    return len(records)


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
