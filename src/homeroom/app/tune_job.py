"""The job that tunes: a dataset version and a recipe in, a registered model out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from homeroom import __version__
from homeroom.app.bases import listed_base
from homeroom.app.dspy_job import tune_program
from homeroom.app.engines import engine
from homeroom.app.fine_tuning import jobs as fine_tuning
from homeroom.app.fine_tuning.run import JobMilestones, finish, prepare
from homeroom.app.forecasts import calibrations, record, told
from homeroom.app.prompt_job import tune_prompt
from homeroom.app.tuning import training_data
from homeroom.data.datasets import Dataset
from homeroom.errors import ConflictError
from homeroom.models.engine_chat import engine_render_ids
from homeroom.models.engine_info import find_running
from homeroom.registry.names import new_model_name
from homeroom.schema.examples import Message
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the tuning of ``context.job``, continuing what its folder holds, and register the model."""
    known = [m for m in home.registry.list() if m.job_id == context.job.id]
    if fine_tuning.ORDER in context.job.payload:
        return _ordered(context, home, known)
    if context.job.payload["recipe"].get("method") == "dspy":
        tune = tune_program if "program" in context.job.payload else tune_prompt
        return _told(context, known or [_registered(home, tune(context, home))])
    recipe = parse_recipe(dict(context.job.payload["recipe"]))
    dataset = home.datasets.get(str(context.job.payload["dataset"]))
    roles = [task for task in recipe.roles if task in dataset.tasks]
    if len(known) == max(1, len(roles)):  # an earlier attempt registered it and died before it could say so
        return _told(context, sorted(known, key=lambda m: roles.index(m.task) if m.task in roles else 0))
    model = _tuned(context, home, dataset, recipe)
    return _told(context, [_registered(home, entry) for entry in _entries(model, recipe, roles)])


def _ordered(context: JobContext, home: Homeroom, known: Sequence[TunedModel]) -> Mapping[str, Any]:
    """As `handle`, for a job that was ordered through the fine-tuning API."""
    if known:
        model = known[0]
    else:
        order = prepare(context, home)
        milestones = JobMilestones(context, home)
        model = _registered(home, _tuned(context, home, order.dataset, order.recipe, milestones))
    return {**_told(context, [model]), **finish(context, home, model)}


def _tuned(
    context: JobContext, home: Homeroom, dataset: Dataset, recipe: Recipe, milestones: JobMilestones | None = None
) -> TunedModel:
    """The model of the run in the job's folder, not yet registered."""
    base = home.base_files(recipe.base)
    listed = listed_base(base.name)
    tuner = HuggingFaceTuner(
        base,
        context.work_dir,
        home.artifacts,
        suitability=listed.suitability if listed else "practice",
        licence=listed.licence if listed else "",
        new_name=new_model_name,
        renderer=lambda: _renderer(home, base),
        calibrations=calibrations(home),
        record=record(home),
        milestones=milestones,
        job_id=context.job.id,
        code_version=__version__,
    )
    model = tuner.run(training_data(dataset, recipe), _with_threads(home, recipe), context)
    if line := told(model.metrics):
        context.event(line)
    return model


def _entries(model: TunedModel, recipe: Recipe, roles: Sequence[Literal["tutor", "learner"]]) -> list[TunedModel]:
    """The model as it will be registered: as it is, or once for each role, with the same weights.

    The names follow from the model's own, so that another attempt finds what this one registered.
    """
    if not roles:
        return [model]
    entries = []
    for task in roles:
        role = recipe.roles[task]
        # A learner's dialogue brings its own system turn: the one that says who the learner is.
        prompt = recipe.system_prompt if task == "tutor" else ""
        settings = {**role.generation.settings().to_dict(), "system_prompt": prompt}
        name = recipe.role_names(model.name)[task]
        entries.append(replace(model, name=name, task=task, suffix=role.suffix or task, settings=settings))
    return entries


def _registered(home: Homeroom, model: TunedModel) -> TunedModel:
    """The model, registered once: an attempt that was thought dead may have been quicker."""
    try:
        # The registry gives the time: one that is later than all others', whatever the clock says.
        return home.registry.register(replace(model, created_at=0.0))
    except ConflictError as error:
        if error.code != "model-exists":
            raise
        known = home.registry.get(model.name)
        if known.job_id != model.job_id:
            raise
        return known


def _told(context: JobContext, models: Sequence[TunedModel]) -> Mapping[str, Any]:  # the job's result
    shutil.rmtree(context.work_dir / "checkpoints", ignore_errors=True)  # the artifact holds the best step: nothing is to resume
    return {"model": models[0].name, "models": [model.name for model in models], "metrics": dict(models[0].metrics)}


def _with_threads(home: Homeroom, recipe: Recipe) -> Recipe:
    """While an engine serves people, training takes half of the cores: beside a trainer on all of them a chat takes minutes."""
    import os

    if recipe.threads or find_running(home.settings.home) is None:
        return recipe
    return recipe.model_copy(update={"threads": max(1, (os.cpu_count() or 2) // 2)})


@contextmanager
def _renderer(home: Homeroom, base: BaseFiles) -> Iterator[Callable[[Sequence[Message]], list[int]]]:
    """How the engine renders messages, for the parity check: an engine started for it ends with the block."""
    with engine(home, base) as resolve:
        yield lambda messages: engine_render_ids(resolve(), messages)
