"""``homeroom data split``: an immutable version with held-out topics."""

from __future__ import annotations

import click

from homeroom.cli.common import emit, json_option, open_home
from homeroom.cli.data.sources import column_option, format_option, info_dict, material


@click.command(name="split")
@click.argument("source", required=False)
@click.option("--name", help="Name of the dataset; the file's name when omitted.")
@click.option("--parent", help="Version whose split is inherited: id, name or name@version.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split.")
@click.option("--note", default="", help="One sentence for the data card.")
@format_option
@column_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: str | None,
    name: str | None,
    parent: str | None,
    seed: int,
    note: str,
    format_: str | None,
    columns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an immutable dataset version of a file (or the bundled course), with whole topics held out.

    Examples of one topic, with one opening or with nearly the same problem go to one part. Words of learners without consent are
    refused.
    """
    found = material(ctx, source, format_, columns)
    home = open_home(ctx)
    dataset = home.datasets.create(name or found.name.split("@")[0], found.examples, seed=seed, parent=parent, note=note)
    info = dataset.info
    counts = info.counts["splits"]

    def text() -> None:
        click.echo(f"{info.name}@{info.version}  {info.id[:12]}")
        click.echo(f"train {counts['train']} · validation {counts['validation']} · test {counts['test']} examples")
        if info.counts.get("changes"):
            told = ", ".join(f"{count} {what}" for what, count in info.counts["changes"].items() if count)
            click.echo(f"From {info.parent}: {told}")
        click.echo(f"Tune on it with: homeroom tune run --dataset {info.name}@{info.version}")

    emit(info_dict(info), as_json, text)
