"""What ``homeroom tune`` does for the method ``openai``: choosing its runs, and what stays of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from homeroom.errors import ConfigError

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.jobs import Job
    from homeroom.tuning.openai.recipe import OpenAIRecipe
    from homeroom.tuning.recipe_file import Run


def openai_runs(
    home: Homeroom, dataset: str, runs: Sequence[Run], base: str | None, task: str | None, *, quiet: bool
) -> list[OpenAIRecipe]:
    """The runs as ones of this method, of the parts that ``dataset`` has examples for.

    Raises:
        ConfigError: ``recipe-method``: one is a search for a prompt.
    """
    from homeroom.tuning.openai.recipe import OpenAIRecipe
    from homeroom.tuning.recipe import Recipe

    found: list[OpenAIRecipe] = []
    for run in runs:
        if isinstance(run, OpenAIRecipe):
            found.append(run)
        elif isinstance(run, Recipe):
            found += [OpenAIRecipe.of(run.for_task(part) if run.task == "any" else run) for part in run.tasks]
        else:
            raise ConfigError(
                f"The run {run.name!r} has the method {run.method!r}, which tunes a prompt. Leave --method out, or name a recipe "
                "that trains: --recipe recipes/demo.yaml",
                code="recipe-method",
            )
    tasks = {key.partition("/")[2] for key in home.datasets.info(dataset).counts.get("tasks", {})}
    wanted = [run for run in found if task in (None, run.task)]
    kept = [run for run in wanted if run.task in tasks]
    for run in wanted if kept and not quiet else ():
        if run not in kept:
            click.echo(f"{run.name}: left out, the dataset has no {run.task} examples", err=True)
    return [run.model_copy(update={"base": base}) if base else run for run in kept or wanted]


def several(runs: Sequence[tuple[str, Run]]) -> bool:
    """Whether the runs are one experiment at an endpoint: told in one table."""
    return sum(run.method == "openai" for _, run in runs) > 1


def deleting(runs: Sequence[Run], delete_files: bool) -> list[Run]:
    """The runs, those at an endpoint deleting what they upload if that was asked for.

    Raises:
        ConfigError: ``recipe-method``: none of them uploads anything.
    """
    from homeroom.tuning.openai.recipe import OpenAIRecipe

    if delete_files and not any(isinstance(run, OpenAIRecipe) for run in runs):
        raise ConfigError(
            "--delete-files belongs to the method 'openai': nothing else uploads. Leave it out", code="recipe-method"
        )
    asked = {"delete_files": True} if delete_files else {}
    return [run.model_copy(update=asked) if isinstance(run, OpenAIRecipe) else run for run in runs]


def files_stay(run: Run, job: Job) -> str:
    """What to do where the very run was begun without deleting its files, and that is asked for now; empty otherwise."""
    begun = job.payload["recipe"].get("delete_files") if run.method == "openai" else None
    if begun is not False or not getattr(run, "delete_files", False):
        return ""
    return (
        "This run was begun without --delete-files, and is not made and paid again for it. Delete them: "
        f"homeroom tune files --delete {job.id}"
    )
