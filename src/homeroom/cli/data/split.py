"""``homeroom data split``: an immutable version with held-out topics."""

from __future__ import annotations

from collections.abc import Mapping

import click

from homeroom.cli.common import emit, json_option, open_home
from homeroom.cli.data.sources import column_option, format_option, info_dict, material
from homeroom.cli.values import COUNT
from homeroom.data.split import DEFAULT_RATIOS
from homeroom.errors import ConfigError
from homeroom.schema.examples import SPLITS, Split

USUAL = ",".join(f"{DEFAULT_RATIOS[split]:.0%}".rstrip("%") for split in SPLITS)


def _ratios(shares: str) -> Mapping[Split, float]:
    """Shares of training, validation and test: parts of any total, ``62,8,30`` or ``3,0,1``."""
    try:
        parts = [float(part) for part in shares.split(",")]
    except ValueError:
        parts = []
    if len(parts) != len(SPLITS) or not all(0 <= part < 1e9 for part in parts) or not (parts[0] and parts[-1]):
        raise ConfigError(
            f"--shares takes three numbers, for training, validation and test, not {shares!r}; only that for validation may "
            f"be 0. For example: --shares {USUAL}",
            code="split-ratios",
        )
    return {split: part / sum(parts) for split, part in zip(SPLITS, parts, strict=True)}


@click.command(name="split")
@click.argument("source", required=False)
@click.option("--name", help="Name of the dataset; the file's name when omitted.")
@click.option("--parent", help="Version whose split is inherited: id, name or name@version.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, COUNT), help="Seed of the split.")
@click.option(
    "--shares",
    default=USUAL,
    show_default=True,
    help="Shares of training, validation and test; topics stay whole.",
)
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
    shares: str,
    note: str,
    format_: str | None,
    columns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make an immutable dataset version of a file (or the bundled course), with whole topics held out.

    Examples for programs are bundled as homeroom-scenarios, homeroom-feedback-teacher and homeroom-feedback-learner.
    Examples of one topic, with one opening or with nearly the same problem go to one part. Words of learners without consent are
    refused.
    """
    from homeroom.data.bundled import NAMES, NOTE, PROGRAM_DATA

    ratios = _ratios(shares)
    found = material(ctx, source, format_, columns)
    home = open_home(ctx)
    note = note or (NOTE if not found.splits and source in NAMES else "")
    dataset = home.datasets.create(
        name or found.name.split("@")[0], found.examples, seed=seed, ratios=ratios, parent=parent, note=note
    )
    info = dataset.info
    counts = info.counts["splits"]

    def text() -> None:
        click.echo(f"{info.name}@{info.version}  {info.id[:12]}")
        click.echo(f"train {counts['train']} · validation {counts['validation']} · test {counts['test']} examples")
        if info.counts.get("changes"):
            told = ", ".join(f"{count} {what}" for what, count in info.counts["changes"].items() if count)
            click.echo(f"From {info.parent}: {told}")
        program = next((program for program, name in PROGRAM_DATA.items() if name == info.name), "")
        how = f"--recipe recipes/feedback.yaml --program {program} " if program else ""
        click.echo(f"Tune on it with: homeroom tune run {how}--dataset {info.name}@{info.version}")

    emit(info_dict(info), as_json, text)
