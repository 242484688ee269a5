"""``homeroom tune``: plan and run tuning."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from homeroom.cli.common import duration, emit, json_option, open_home, size, table

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.tuning.recipe import Recipe


@click.group(name="tune")
def command() -> None:
    """Plan and run tuning."""


dataset_option = click.option(
    "--dataset", default="homeroom-course", show_default=True, help="Dataset: id, name or name@version."
)
recipe_option = click.option(
    "--recipe",
    "recipe_path",
    default="recipes/demo.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Recipe file.",
)
base_option = click.option("--base", help="Base model in place of the recipe's.")
task_option = click.option("--task", type=click.Choice(["tutor", "learner"]), help="Only the recipe's run for this task.")


def chosen_recipes(path: Path, base: str | None, task: str | None) -> list[Recipe]:
    """The runs of a recipe file with ``--base`` and ``--task`` applied."""
    from homeroom.errors import ConfigError
    from homeroom.tuning.recipe_file import load_recipes

    recipes = load_recipes(path)
    if task is not None:
        part: Literal["tutor", "learner"] = "tutor" if task == "tutor" else "learner"
        recipes = [r.for_task(part) if r.task == "any" else r for r in recipes if part in r.tasks]
    if not recipes:
        raise ConfigError(f"{str(path)!r} has no run for the task {task!r}.", code="recipe-invalid")
    return [r.model_copy(update={"base": base}) if base else r for r in recipes]


def with_examples(home: Homeroom, dataset: str, recipes: list[Recipe], *, quiet: bool) -> list[Recipe]:
    """The runs that ``dataset`` has examples for; the others are named and left out. All of them when none has any."""
    from homeroom.app.tuning import runs_for

    tasks = {key.partition("/")[2] for key in home.datasets.info(dataset).counts.get("tasks", {})}
    kept = runs_for(home, recipes, tasks)
    for recipe in recipes if kept and not quiet else ():
        for task in recipe.tasks:
            if task not in tasks:
                click.echo(f"{recipe.name}: left out, the dataset has no {task} examples", err=True)
    return kept or recipes


@command.command()
@dataset_option
@recipe_option
@base_option
@task_option
@json_option
@click.pass_context
def plan(ctx: click.Context, dataset: str, recipe_path: Path, base: str | None, task: str | None, as_json: bool) -> None:
    """Say what a run will need: time, memory, disk and money. Nothing is started."""
    from homeroom.app.tuning import plan_tuning

    home = open_home(ctx)
    recipes = with_examples(home, dataset, chosen_recipes(recipe_path, base, task), quiet=as_json)
    plans = [(recipe, plan_tuning(home, dataset, recipe)) for recipe in recipes]

    def text() -> None:
        rows = []
        for r, p in plans:
            needs = (duration(p.time_s), size(p.memory_bytes), size(p.disk_bytes), f"${p.cost_usd:.2f}")
            rows.append((r.name, r.base or home.settings.default_base, p.examples, f"{p.trained_tokens:,}", p.steps, *needs))
        table(("run", "base", "examples", "tokens", "steps", "time", "memory", "disk", "money"), rows)
        for recipe, one in plans:
            for warning in one.warnings:
                click.echo(f"warning: {recipe.name}: {warning}")

    emit([{"recipe": r.name, **dataclasses.asdict(p)} for r, p in plans], as_json, text)


@command.command()
@dataset_option
@recipe_option
@base_option
@task_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the job.")
@click.option("--again", is_flag=True, help="Tune anew even if this very run was made before.")
@click.option("--priority", default=0, show_default=True, type=click.INT, help="Higher ones run first.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]), help="Do not run before this local time.")
@click.option("--after", multiple=True, metavar="JOB", help="Run when this job has succeeded; may be given several times.")
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    dataset: str,
    recipe_path: Path,
    base: str | None,
    task: str | None,
    wait: bool,
    again: bool,
    priority: int,
    at: datetime | None,
    after: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tune: each run of the recipe becomes a job and, at its end, a registered model."""
    from homeroom.app.tuning import submit_tuning
    from homeroom.app.work import When
    from homeroom.cli import progress

    home = open_home(ctx)
    results = []
    for recipe in with_examples(home, dataset, chosen_recipes(recipe_path, base, task), quiet=as_json):
        job = submit_tuning(home, dataset, recipe, again=again, when=When(priority, at.timestamp() if at else None, after))
        if not as_json:
            before = "; done before, --again repeats it" if job.done else ""
            click.echo(f"{recipe.name}: job {job.id}{before}", err=True)
        if wait:
            job = progress.wait(home, job, quiet=as_json)
            if not as_json:
                for name in (job.result or {}).get("models", ()):
                    click.echo(f"Registered {name}")
        results.append(dataclasses.asdict(job))

    def text() -> None:
        if wait:
            click.echo("Compare it with its base: homeroom eval run    Chat with it: homeroom chat")
        else:
            for job in results:
                click.echo(f"Queued. Follow it: homeroom jobs follow {job['id']}")

    emit(results, as_json, text)
