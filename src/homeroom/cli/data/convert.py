"""``homeroom data convert``: another format, or another kind of file."""

from __future__ import annotations

from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, plural
from homeroom.cli.data.sources import column_option, format_option

CHATS = "chats"


@click.command(name="convert")
@click.argument("source")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--to", help="Format of TARGET: chat, openai, preference, sharegpt, alpaca, prompt-completion, dspy, chat-export, table."
)
@format_option
@column_option
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    target: Path,
    to: str | None,
    format_: str | None,
    columns: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Write the examples of SOURCE to TARGET in another format.

    The ending of TARGET says what it is kept in: .jsonl, .json, .csv, .tsv, .xlsx, .parquet, or none for a folder of Hugging
    Face's datasets. SOURCE is a file, a dataset version (NAME@2), or the word chats: the conversations of this home with what
    people said of each reply. What the new format cannot hold is counted by name.
    """
    from homeroom.app.project import convert_file, parse_columns
    from homeroom.data.convert import write_examples

    if source == CHATS and not Path(source).exists():
        from homeroom.app.chats import export_chats

        count = export_chats(open_home(ctx), target, force=force)
        emit(
            {"conversations": count, "file": str(target)},
            as_json,
            lambda: click.echo(f"{plural(count, 'chat')} written to {target}"),
        )
        return
    if not Path(source).exists() and not Path(source).suffix:
        examples = open_home(ctx).datasets.get(source).examples
        done = write_examples(lambda: examples, target, to=to, force=force)
    else:
        done = convert_file(Path(source), target, parse_columns(columns), to=to, format=format_, force=force)

    def text() -> None:
        click.echo(f"{plural(done.examples, 'example')} written to {target}")
        if done.dropped:
            click.echo(f"The format {done.format} cannot hold, and so it is not in {target.name}:")
            for name, count in done.dropped.items():
                click.echo(f"  {name}: {count:,}")

    emit({"examples": done.examples, "file": str(target), "format": done.format, "dropped": done.dropped}, as_json, text)
