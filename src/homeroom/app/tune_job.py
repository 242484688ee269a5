"""The job that tunes: a dataset version and a recipe in, a registered model out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from homeroom.app.dspy_job import tune_program
from homeroom.app.fine_tuning import jobs as fine_tuning
from homeroom.app.fine_tuning.run import JobMilestones, finish, prepare
from homeroom.app.forecasts import told
from homeroom.app.local_runs import entries, local_tuner, registered, roles_of, told_result, with_threads
from homeroom.app.openai_job import tune_remote
from homeroom.app.prompt_job import tune_prompt
from homeroom.app.tuning import training_data
from homeroom.data.datasets import Dataset
from homeroom.schema.jobs import OUTCOME, JobContext
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the tuning of ``context.job``, continuing what its folder holds, and register the model."""
    known = [m for m in home.registry.list() if m.job_id == context.job.id]
    if fine_tuning.ORDER in context.job.payload:
        return _ordered(context, home, known)
    if context.job.payload["recipe"].get("method") == "openai":
        whole = any("checkpoint_of" not in model.metrics for model in known)  # the model itself is registered last
        models = known if whole else tune_remote(context, home)
        return _told(context, sorted(models, key=lambda model: "checkpoint_of" in model.metrics))
    if context.job.payload["recipe"].get("method") == "dspy":
        tune = tune_program if "program" in context.job.payload else tune_prompt
        made = known or [registered(home, tune(context, home))]
        if line := told(made[0].metrics):
            context.event(line, type=OUTCOME)
        return _told(context, made)
    recipe = parse_recipe(dict(context.job.payload["recipe"]))
    dataset = home.datasets.get(str(context.job.payload["dataset"]))
    roles = roles_of(recipe, dataset.tasks)
    if len(known) == max(1, len(roles)):  # an earlier attempt registered it and died before it could say so
        return _told(context, sorted(known, key=lambda m: roles.index(m.task) if m.task in roles else 0))
    model = _tuned(context, home, dataset, recipe)
    return _told(context, [registered(home, entry) for entry in entries(model, recipe, roles)])


def _ordered(context: JobContext, home: Homeroom, known: Sequence[TunedModel]) -> Mapping[str, Any]:
    """As `handle`, for a job that was ordered through the fine-tuning API."""
    if known:
        model = known[0]
    else:
        order = prepare(context, home)
        milestones = JobMilestones(context, home)
        model = registered(home, _tuned(context, home, order.dataset, order.recipe, milestones))
    return {**_told(context, [model]), **finish(context, home, model)}


def _tuned(
    context: JobContext, home: Homeroom, dataset: Dataset, recipe: Recipe, milestones: JobMilestones | None = None
) -> TunedModel:
    """The model of the run in the job's folder, not yet registered."""
    tuner = local_tuner(home, home.base_files(recipe.base), context.work_dir, context.job.id, milestones=milestones)
    model = tuner.run(training_data(dataset, recipe), with_threads(home, recipe), context)
    if line := told(model.metrics):
        context.event(line, type=OUTCOME)
    return model


def _told(context: JobContext, models: Sequence[TunedModel]) -> Mapping[str, Any]:  # the job's result
    shutil.rmtree(context.work_dir / "checkpoints", ignore_errors=True)  # the artifact holds the best step: nothing is to resume
    return told_result(models)
