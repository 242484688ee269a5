"""``homeroom tune``: plan and run tuning."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from homeroom.cli import (
    compare,
    sweep,
    tune_batch,
    tune_files,
    tune_openai,
    tune_programs,
    tune_prompt,
    tune_resume,
    tune_traces,
    unsolved,
)
from homeroom.cli.common import emit, json_option, open_home, size, table
from homeroom.cli.recommend import command as recommend
from homeroom.cli.spending import agree
from homeroom.cli.values import MOST_MINUTES, MOST_PRIORITY, FiniteRange, LocalTime

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.several import Batch
    from homeroom.app.work import When
    from homeroom.schema.jobs import Job
    from homeroom.tuning.dspy.recipe import DspyRecipe
    from homeroom.tuning.recipe import Recipe
    from homeroom.tuning.recipe_file import Run


@click.group(name="tune")
def command() -> None:
    """Plan and run tuning."""


command.add_command(tune_prompt.command)
command.add_command(tune_traces.command)

command.add_command(tune_programs.ask)
command.add_command(tune_programs.score)

command.add_command(recommend)

command.add_command(sweep.command)

command.add_command(unsolved.command)

command.add_command(compare.command)

command.add_command(tune_files.command)

command.add_command(tune_resume.command)

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
    """The runs of a recipe file that trains weights, with ``--base`` and ``--task`` applied."""
    from homeroom.tuning.recipe_file import load_recipes

    return _applied(path, load_recipes(path), base, task)


def _applied(path: Path, recipes: list[Recipe], base: str | None, task: str | None) -> list[Recipe]:
    from homeroom.errors import ConfigError

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


@dataclasses.dataclass(frozen=True, slots=True)
class Method:
    """How to tune: the method, and what only the method ``dspy`` knows."""

    name: str | None = None
    program: str | None = None
    prompt_model: str | None = None
    teacher_model: str | None = None
    max_calls: int | None = None

    @property
    def prompts(self) -> dict[str, object]:
        """The keys of a recipe of the method ``dspy`` that were given."""
        given = {name: getattr(self, name) for name in ("program", "prompt_model", "teacher_model", "max_calls")}
        return {key: value for key, value in given.items() if value is not None}


def method_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """The options of `Method`, handed over as one value ``method``."""

    @click.option(
        "--method",
        "name",
        type=click.Choice(["dspy", "openai", "huggingface", "local"]),
        help="How to tune, in place of the recipe's method; local is huggingface.",
    )
    @click.option("--program", help="With dspy: a shipped program, my_module:MySignature or my_file.py:MySignature.")
    @click.option("--prompt-model", metavar="ENDPOINT/MODEL", help="With dspy: a strong model that writes instructions.")
    @click.option("--teacher-model", metavar="ENDPOINT/MODEL", help="With dspy: a stronger model whose replies are shown.")
    @click.option("--max-calls", type=click.IntRange(1, 1_000_000), help="With dspy: most calls of a model, in all.")
    @functools.wraps(function)
    def wrapped(
        *args: Any,
        name: str | None,
        program: str | None,
        prompt_model: str | None,
        teacher_model: str | None,
        max_calls: int | None,
        **rest: Any,
    ) -> int | None:  # click's own arguments
        name = "huggingface" if name == "local" else name  # another name of it
        return function(*args, method=Method(name, program, prompt_model, teacher_model, max_calls), **rest)

    return wrapped


def chosen_runs(
    home: Homeroom, dataset: str, path: Path, base: str | None, task: str | None, method: Method, *, quiet: bool
) -> list[Run]:
    """The runs of a recipe file that ``dataset`` has examples for, each of its own method or all of the one that is asked for."""
    from homeroom.errors import ConfigError
    from homeroom.tuning.dspy.recipe import DspyRecipe
    from homeroom.tuning.openai.recipe import OpenAIRecipe
    from homeroom.tuning.recipe import Recipe
    from homeroom.tuning.recipe_file import load_recipes, load_runs

    runs = load_runs(path)
    if method.name == "huggingface":
        load_recipes(path)  # says that one is for another method
    here = [run for run in runs if isinstance(run, Recipe) and method.name in (None, "huggingface")]
    there = [run for run in runs if isinstance(run, OpenAIRecipe) or method.name == "openai"]
    prompts = [run for run in runs if isinstance(run, DspyRecipe) or method.name == "dspy"]
    if method.prompts and (not prompts or method.name == "openai"):
        raise ConfigError(
            f"--{next(iter(method.prompts)).replace('_', '-')} belongs to the method 'dspy'. Add: --method dspy",
            code="recipe-method",
        )
    found: list[Run] = []
    if here:
        named = [run.model_copy(update={"method": method.name}) for run in here] if method.name else here
        found += with_examples(home, dataset, _applied(path, named, base, task), quiet=quiet)
    if there and method.name != "dspy":
        found += tune_openai.openai_runs(home, dataset, there, base, task, quiet=quiet)
    if prompts and method.name != "openai":
        found += _prompt_runs(home, dataset, prompts, base, task, method, quiet=quiet)
    return found


def _prompt_runs(
    home: Homeroom, dataset: str, runs: list[Run], base: str | None, task: str | None, method: Method, *, quiet: bool
) -> list[DspyRecipe]:
    """The runs as searches for a prompt.

    Raises:
        ConfigError: ``recipe-method``: one is for an endpoint that trains.
    """
    from homeroom.errors import ConfigError
    from homeroom.tuning.dspy.recipe import DspyRecipe
    from homeroom.tuning.recipe import Recipe

    prompts: list[DspyRecipe] = []
    for run in runs:
        if isinstance(run, DspyRecipe):
            prompts.append(run)
        elif isinstance(run, Recipe):
            prompts += [DspyRecipe.of(run.for_task(part) if run.task == "any" else run) for part in run.tasks]
        else:
            raise ConfigError(
                f"The run {run.name!r} has the method {run.method!r}, which is not turned into a search for a prompt. Leave "
                "--method out, or name a recipe of prompts: --recipe recipes/prompt.yaml",
                code="recipe-method",
            )
    wanted = [r for r in prompts if task in (None, *r.tasks)]
    if method.program is not None and task is None:
        wanted = [r for r in wanted if r.task == ("learner" if method.program == "learner" else "tutor")][:1]
    changed = {**method.prompts, **({"base": base} if base else {})}
    return [_of_program(r, method.program).model_copy(update=changed) for r in _of_dataset(home, dataset, wanted, quiet=quiet)]


def _of_program(recipe: DspyRecipe, program: str | None) -> DspyRecipe:
    """Without the visible prompt that was written for another program, where a signature of one's own brings its instructions."""
    own = program is not None and ":" in program and program != recipe.program
    return recipe.model_copy(update={"system_prompt": ""}) if own else recipe


def _of_dataset(home: Homeroom, dataset: str, recipes: list[DspyRecipe], *, quiet: bool) -> list[DspyRecipe]:
    """Those that the dataset has examples for; the others are named and left out. All of them when it has none for any."""
    tasks = {key.partition("/")[2] for key in home.datasets.info(dataset).counts.get("tasks", {})}
    kept = [recipe for recipe in recipes if recipe.task in tasks]
    for recipe in recipes if kept and not quiet else ():
        if recipe not in kept:
            click.echo(f"{recipe.name}: left out, the dataset has no {recipe.task} examples", err=True)
    return kept or recipes


@command.command()
@dataset_option
@recipe_option
@base_option
@task_option
@method_options
@click.option("--gpu", default="", metavar="SIZE", help="Plan for a GPU with so much memory, such as 24GB; it need not be here.")
@click.option("--history", is_flag=True, help="Show the runs that were made here: forecast beside actual.")
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    dataset: str,
    recipe_path: Path,
    base: str | None,
    task: str | None,
    method: Method,
    gpu: str,
    history: bool,
    as_json: bool,
) -> int:
    """Say what a run will need: time, memory, disk and money. Nothing is started.

    The time comes from a few seconds of measuring this machine, done once, and from the runs that it made. For a GPU that is
    not here no time is told, but which GPUs would hold the run. Exit code 1: it will not fit.
    """
    from homeroom.app.tuning import is_unmeasured, plan_tuning
    from homeroom.cli import plans as view
    from homeroom.cli import plans_dspy

    home = open_home(ctx)
    if history:
        view.history(home, as_json=as_json)
        return 0
    recipes = chosen_runs(home, dataset, recipe_path, base, task, method, quiet=as_json)
    if not gpu and is_unmeasured(home, recipes):
        click.echo("measuring this machine, once; that takes up to a minute ...", err=True)
    plans = [(recipe, plan_tuning(home, dataset, recipe, gpu=gpu)) for recipe in recipes]

    def text() -> None:
        rows = []
        for r, p in plans:
            needs = (view.time_of(p), view.memory_of(p), size(p.disk_bytes), view.money_of(p))
            steps = p.steps if r.method == "huggingface" else "-"
            rows.append((r.name, r.base or home.settings.default_base, p.examples, f"{p.trained_tokens:,}", steps, *needs))
        table(("run", "base", "examples", "tokens", "steps", "time", "memory", "disk", "money"), rows)
        for recipe, one in plans:
            for warning in one.warnings:
                click.echo(f"warning: {recipe.name}: {warning}")
            for change in one.advice:
                click.echo(f"it would fit with: {recipe.name}: {change}")
            for told in view.jobs_of(one):
                click.echo(f"{recipe.name}: {told}")
            view.gpus(recipe.name, one)
            plans_dspy.asks(recipe.name, one)

    emit([{"recipe": r.name, **dataclasses.asdict(p)} for r, p in plans], as_json, text)
    return 0 if all(p.fits for _, p in plans) else 1


@command.command()
@dataset_option
@click.argument("recipes", nargs=-1, type=click.Path(path_type=Path), metavar="[RECIPE]...")
@click.option(
    "--recipe",
    "recipe_paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recipe file; may be given several times.  [default: recipes/demo.yaml]",
)
@base_option
@task_option
@method_options
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the job.")
@click.option("--again", is_flag=True, help="Tune anew even if this very run was made before.")
@click.option(
    "--priority", default=0, show_default=True, type=click.IntRange(-MOST_PRIORITY, MOST_PRIORITY), help="Higher ones run first."
)
@click.option("--at", type=LocalTime(), help="Do not run before this local time.")
@click.option("--after", multiple=True, metavar="JOB", help="Run when this job has succeeded; may be given several times.")
@click.option(
    "--minutes", type=FiniteRange(0, MOST_MINUTES, min_open=True), help="Of several runs: begin no further one after so long."
)
@click.option(
    "--budget-usd", type=FiniteRange(0), help="Of several runs: begin no further one that could cost more than so much in all."
)
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--delete-files", is_flag=True, help="With openai: delete what was uploaded once the run is over.")
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    dataset: str,
    recipes: tuple[Path, ...],
    recipe_paths: tuple[Path, ...],
    base: str | None,
    task: str | None,
    method: Method,
    wait: bool,
    again: bool,
    priority: int,
    at: datetime | None,
    after: tuple[str, ...],
    minutes: float | None,
    budget_usd: float | None,
    yes: bool,
    delete_files: bool,
    as_json: bool,
) -> int:
    """Tune: each run of the recipe becomes a job and, at its end, a registered model.

    Several recipe files, or several runs at an endpoint, are one batch: runs on weights here share a job and the base in memory,
    what is paid is asked for once, and one table tells what came of each. Exit code 1: one of them is missing.
    """
    from homeroom.app.several import Batch, Budget
    from homeroom.app.spending import quotes_of
    from homeroom.app.work import When

    home = open_home(ctx)
    tune_files.tidy_up(home)
    paths = (*recipes, *recipe_paths) or (Path("recipes/demo.yaml"),)
    found = [(path, chosen_runs(home, dataset, path, base, task, method, quiet=as_json)) for path in paths]
    files = [(path, tune_openai.deleting(runs, delete_files)) for path, runs in tune_batch.fed(home, dataset, found)]
    moment = When(priority, at.timestamp() if at else None, after)
    labelled = tune_batch.labelled(files)
    quotes = quotes_of(home, dataset, labelled, again=again)
    budget = Budget(quotes, budget_usd)
    agree(quotes, yes=yes, as_json=as_json, note=budget.note)
    batch = Batch(home, dataset, labelled, budget, minutes, again, moment)
    if len(files) > 1 or minutes is not None or budget_usd is not None or tune_openai.several(labelled):
        return tune_batch.run_batch(batch, wait=wait, as_json=as_json)
    _run_each(batch, wait=wait, as_json=as_json)
    return 0


def _run_each(batch: Batch, *, wait: bool, as_json: bool) -> None:
    """The runs of one recipe, each a job of its own that is told of for itself; the first one that fails ends the command."""
    from homeroom.app.prompts import candidates_of
    from homeroom.app.tuning import submit_tuning
    from homeroom.cli import progress

    home, results = batch.home, []
    for _, recipe in batch.runs:
        job = submit_tuning(home, batch.dataset, recipe, again=batch.again, when=batch.when)
        if not as_json:
            _tell_begun(recipe, job, batch.when)
        if wait:
            job = progress.wait(home, job, quiet=as_json)
            if not as_json:
                for name in (job.result or {}).get("models", ()):
                    click.echo(f"Registered {name}")
                    tune_prompt.candidates(candidates_of(home, name))
        results.append(dataclasses.asdict(job))

    def text() -> None:
        if wait:
            _tell_next(home, [name for job in results for name in (job.get("result") or {}).get("models", ())])
        else:
            for job in results:
                click.echo(f"Queued. Follow it: homeroom jobs follow {job['id']}")

    emit(results, as_json, text)


def _tell_next(home: Homeroom, made: list[str]) -> None:
    """What to do with what came out; of several models, with the last one."""
    from homeroom.tuning.dspy.shipped import SHIPPED

    shipped = {spec.name for spec in SHIPPED}
    name = made[-1] if made else "MODEL"
    model = next((model for model in home.registry.list() if made and model.name == name), None)
    program = model.recipe.get("program") if model is not None else None
    if model is not None and (model.task == "program" or (program and program not in shipped)):
        click.echo(f"What it is worth on unseen examples: homeroom tune score {name}")
        click.echo(f"Ask it: homeroom tune ask {name} INPUT=VALUE")
        return
    click.echo("Compare it with its base: homeroom eval run    Chat with it: homeroom chat")
    unsolved.offer(home, made)


def _tell_begun(recipe: Run, job: Job, when: When) -> None:
    before = "; done before, --again repeats it" if job.done else ""
    click.echo(f"{recipe.name}: job {job.id}{before}", err=True)
    if told := tune_openai.files_stay(recipe, job):
        click.echo(f"warning: {told}", err=True)
    asked = any((when.priority, when.not_before, when.after))
    if asked and not job.done and (when.priority, when.not_before, when.after) != (job.priority, job.not_before, job.depends_on):
        click.echo(
            f"warning: job {job.id} was there before and keeps its own time and priority. To change them: homeroom jobs cancel "
            f"{job.id}, then this command with --again",
            err=True,
        )
