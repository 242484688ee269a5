"""``homeroom init``: a project folder from a user's own file."""

from __future__ import annotations

from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, plural


@click.command(name="init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from", "source", required=True, type=click.Path(path_type=Path), help="A CSV, TSV, XLSX or JSONL file of examples."
)
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD=HEADING", help="Where a table's headings are not the usual ones."
)
@json_option
def command(folder: Path, source: Path, columns: tuple[str, ...], as_json: bool) -> None:
    """Make a project FOLDER from a CSV, XLSX or JSONL file.

    A table needs a column of questions and one of replies; the other columns become metadata.
    """
    from homeroom.app.project import create_project, parse_columns

    count = create_project(folder, source, parse_columns(columns))

    def text() -> None:
        click.echo(f"Made {folder} with {plural(count, 'example')}. Next:")
        click.echo(f"  cd {folder} && homeroom demo --data data/examples.jsonl")

    emit({"folder": str(folder), "examples": count}, as_json, text)
