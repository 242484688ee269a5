"""``homeroom data merge``: files and what people said in chats, into the next version."""

from __future__ import annotations

from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, plural
from homeroom.cli.data.sources import info_dict
from homeroom.cli.values import COUNT

REFUSED_SHOWN = 5


@click.command(name="merge")
@click.argument("dataset")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--feedback", is_flag=True, help="Better answers and praised replies of this home's chats, where consent was granted."
)
@click.option(
    "--teacher", is_flag=True, help="The better answers in this home's chats are a teacher's own: only a refusal counts."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, COUNT), help="Seed of the split of what is new.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, dataset: str, files: tuple[Path, ...], feedback: bool, teacher: bool, seed: int, as_json: bool
) -> None:
    """Add examples to DATASET and make its next version. Each remembers where it came from.

    What is known already is added once. Words of learners get in with granted consent only. The split of DATASET stays; a new
    example that would join training and test is an error.
    """
    from homeroom.app.chats import merge_into

    home = open_home(ctx)
    merged, made = merge_into(home, dataset, files, feedback=feedback, teacher=teacher, seed=seed)
    data = {
        "added": merged.added,
        "known": merged.known,
        "refused": list(merged.refused),
        "from": merged.by_origin,
        "version": info_dict(made.info) if made else None,
    }

    def text() -> None:
        for name, count in merged.by_origin.items():
            click.echo(f"{plural(count, 'example')} from {name}")
        if merged.known:
            click.echo(f"{plural(merged.known, 'example')} known already")
        for line in merged.refused[:REFUSED_SHOWN]:
            click.echo(f"left out: {line}")
        if len(merged.refused) > REFUSED_SHOWN:
            click.echo(f"… and {len(merged.refused) - REFUSED_SHOWN} more left out for want of consent (--json has all)")
        if made is None:
            click.echo("Nothing new: no version was made.")
        else:
            click.echo(f"{made.info.name}@{made.info.version}  {made.info.id[:12]}  {plural(len(made.examples), 'example')}")

    emit(data, as_json, text)
