"""``homeroom tune sweep``: which learning rate, rank and alpha suit the data."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import duration, emit, json_option, open_home, require_place, table
from homeroom.cli.unsolved import offer
from homeroom.cli.values import COUNT, MOST_MINUTES, FiniteRange

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


@click.command(name="sweep")
@click.option("--dataset", default="homeroom-course", show_default=True, help="Dataset: id, name or name@version.")
@click.option(
    "--recipe",
    "recipe_path",
    default="recipes/demo.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Recipe file; its part `sweep` holds the ranges.",
)
@click.option("--base", help="Base model in place of the recipe's.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="Only the recipe's run for this task.")
@click.option("--trials", type=click.IntRange(1, 1000), help="Most trials of the study, in place of the recipe's.")
@click.option(
    "--minutes", type=FiniteRange(0, MOST_MINUTES, min_open=True), help="Most minutes of the study, in place of the recipe's."
)
@click.option("--seed", type=click.IntRange(0, COUNT), help="Of the search, in place of the recipe's.")
@click.option("--study", default="", metavar="NAME", help="Name of the study: the same name goes on with it.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write the report and the winner's recipe to this folder.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the job.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    dataset: str,
    recipe_path: Path,
    base: str | None,
    task: str | None,
    trials: int | None,
    minutes: float | None,
    seed: int | None,
    study: str,
    output: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Try learning rates, ranks and alphas; stop what does badly early; keep and register the best.

    The first trial is the recipe as it is. A sweep that was interrupted goes on with the same command, and with more --trials or
    --minutes it adds to its study.
    """
    from homeroom.app.sweep import submit_sweep
    from homeroom.cli import progress
    from homeroom.cli.tune import chosen_recipes, with_examples
    from homeroom.errors import ConfigError
    from homeroom.tuning.recipe_file import load_sweep

    if output is not None and not wait:
        raise click.UsageError("--output takes the report of a sweep that has ended. Leave --no-wait out.", ctx)
    if output is not None:
        require_place(next(p for p in (output, *output.absolute().parents) if p.exists()) / "report.html", "--output")
    home = open_home(ctx)
    recipes = with_examples(home, dataset, chosen_recipes(recipe_path, base, task), quiet=as_json)
    if len(recipes) != 1:
        names = " and ".join(recipe.name for recipe in recipes)
        raise ConfigError(
            f"A sweep varies one run, and {str(recipe_path)!r} has {names}. Choose one: --task {recipes[0].task}",
            code="sweep-one-run",
        )
    given = {"trials": trials, "minutes": minutes, "seed": seed}
    spec = load_sweep(recipe_path).model_copy(update={key: value for key, value in given.items() if value is not None})
    job = submit_sweep(home, dataset, recipes[0], spec, study=study)
    name = str(job.payload["study"])
    if not as_json:
        limit = f", {spec.minutes:g} minutes" if spec.minutes is not None else ""
        click.echo(f"study {name}: job {job.id}, up to {spec.trials} trials{limit}", err=True)
    if not wait:
        emit(
            dataclasses.asdict(job),
            as_json,
            lambda: click.echo(f"Queued. Follow it: homeroom jobs follow {job.id}"),
        )
        return
    job = progress.wait(home, job, quiet=as_json, tell=_told)
    result = job.result or {}
    folder = home.artifacts.path(str(result["report"]))
    if output is not None:
        folder = _copied(folder, output)
    files = {"report": str(folder / "report.html"), "recipe": str(folder / "recipe.yaml")}
    emit({**result, **files}, as_json, lambda: _text(home, result, files, dataset))


def _told(event: Any) -> str:  # a JobEvent: what each trial gave, and warnings
    from homeroom.cli.progress import worth_seeing

    return event.message if "trial" in event.data else worth_seeing(event)


def _copied(folder: Path, output: Path) -> Path:
    output.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "recipe.yaml", "sweep.json"):
        shutil.copyfile(folder / name, output / name)
    return output


def _text(home: Homeroom, result: Mapping[str, Any], files: Mapping[str, str], dataset: str) -> None:
    found = result["sweep"]
    rows = [
        (
            row["number"] + 1,
            row["origin"],
            f"{row['learning_rate']:.3g}",
            row["rank"],
            f"{row['alpha']:g}",
            "" if row["loss"] is None else f"{row['loss']:.4f}",
            row["best_step"] or "",
            duration(row["seconds"]),
            "winner" if row["number"] == found["best"] else row["state"],
        )
        for row in found["trials"]
    ]
    table(("trial", "from", "learning rate", "rank", "alpha", "valid. loss", "best step", "time", ""), rows)
    for span in found["ranges"]:
        best = "no whole trial" if span["best_loss"] is None else f"best {span['best_loss']:.4f}"
        click.echo(f"learning rate {span['low']:g} to {span['high']:g}: {best}, {span['whole']} of {span['trials']} trials whole")
    if found["base_loss"] is not None:
        click.echo(f"base model: {found['base_loss']:.4f}")
    for name in result["models"]:
        click.echo(f"Registered {name}")
    click.echo(f"Plots: {files['report']}")
    click.echo(f"The winner's recipe: homeroom tune run --recipe {files['recipe']} --dataset {dataset}")
    click.echo("The validation loss chose it, so it flatters. How it teaches says: homeroom eval run")
    offer(home, result["models"])
