"""``homeroom data sample``: more and more of the same data."""

from __future__ import annotations

from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, plural
from homeroom.cli.data.sources import info_dict
from homeroom.cli.values import COUNT
from homeroom.errors import ConfigError


@click.command(name="sample")
@click.argument("source")
@click.option("--sizes", default="50,100,200", show_default=True, help="Examples in each sample, the smaller within the larger.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, COUNT), help="Same seed, same samples.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
@click.pass_context
def command(ctx: click.Context, source: str, sizes: str, seed: int, force: bool, as_json: bool) -> None:
    """Draw nested samples: 50 examples within 100 within 200, each looking like the whole.

    Of a dataset version the training part is sampled and the held-out parts stay whole, so that models trained on the samples
    are judged alike: NAME-50, NAME-100 ... Of a file, files are written beside it.
    """
    from homeroom.app.chats import sample_file, sample_versions

    try:
        numbers = [int(size) for size in sizes.replace(" ", "").split(",") if size]
    except ValueError as error:
        raise ConfigError(f"--sizes {sizes!r} is not a list of numbers such as 50,100,200.", code="sample-size") from error
    path = Path(source)
    if path.exists() or path.suffix:
        written = sample_file(path, numbers, seed=seed, force=force)

        def files() -> None:
            for size, target in written.items():
                click.echo(f"{plural(size, 'example')} in {target}")

        emit([{"examples": size, "file": str(target)} for size, target in written.items()], as_json, files)
        return
    made = sample_versions(open_home(ctx), source, numbers, seed=seed)

    def text() -> None:
        for dataset in made:
            counts = dataset.info.counts["splits"]
            click.echo(f"{dataset.info.name}@{dataset.info.version}  train {counts['train']} · test {counts['test']}")

    emit([info_dict(dataset.info) for dataset in made], as_json, text)
