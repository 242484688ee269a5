"""What ``homeroom tune`` does for the method ``openai``: choosing its runs, and asking before money is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import plural
from homeroom.errors import ConfigError

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.jobs import Job
    from homeroom.schema.tuning import Plan
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


def agree(home: Homeroom, dataset: str, run: Run, *, again: bool, yes: bool, as_json: bool) -> None:
    """Show what a run costs and ask before it is spent; a script, which cannot be asked, has to have agreed.

    Nobody is asked for a run that was made or is under way, unless it is to be made ``again``.

    Raises:
        ConfigError: ``needs-yes``.
        click.Abort: the person said no.
    """
    from homeroom.app.openai_plan import is_agreed, plan_cost
    from homeroom.tuning.openai.recipe import OpenAIRecipe

    if not isinstance(run, OpenAIRecipe) or (not again and is_agreed(home, home.datasets.get(dataset), run)):
        return
    plan = plan_cost(home, dataset, run)
    if not as_json:
        click.echo(f"{run.name}: {told(plan)}", err=True)
        for warning in plan.warnings:
            click.echo(f"warning: {run.name}: {warning}", err=True)
    if yes or not plan.details["counted"]:
        return
    if as_json:
        raise ConfigError(f"{run.name!r} would cost {_money(plan)}. Agree to it: --yes", code="needs-yes")
    click.confirm("Send the examples and pay for it?", abort=True, err=True)


def told(plan: Plan) -> str:
    """``300 examples, 2 jobs, about 90,000 tokens (72,000 to 120,000): $0.45 ($0.36 to $0.60; at most $1.62)``."""
    tokens = plan.details["tokens"]
    count = plural(len(plan.details["jobs"]), "job")
    between = f" ({tokens['low']:,} to {tokens['high']:,})" if tokens["low"] < tokens["high"] else ""
    cost = f": {_money(plan)}" if plan.details["counted"] else ", on this machine"
    return f"{plural(plan.examples, 'example')}, {count}, about {tokens['expected']:,} tokens{between}{cost}"


def _money(plan: Plan) -> str:
    if not plan.details["priced"]:
        return "an amount that is not known"
    low, high = plan.details["cost_low_usd"], plan.details["cost_usual_high_usd"]
    return f"${plan.cost_usd:.2f} (${low:.2f} to ${high:.2f}; held: ${plan.cost_high_usd:.2f}, the most that it can be)"
