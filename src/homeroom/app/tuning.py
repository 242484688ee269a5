"""Planning and submitting tuning runs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from homeroom.app.work import key_of, submit_once
from homeroom.data.datasets import Dataset
from homeroom.errors import DataError
from homeroom.schema.jobs import Job
from homeroom.schema.tuning import Plan, TrainingData
from homeroom.tuning.recipe import Recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def training_data(dataset: Dataset, recipe: Recipe) -> TrainingData:
    """Train and validation examples of the recipe's task; the test split stays out.

    Raises:
        DataError: there is none to train on (``too-few-examples``).
    """
    task = None if recipe.task == "any" else recipe.task
    train = dataset.part("train", task)
    if not train:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} has no training example for the task {recipe.task!r} "
            f"(it has: {', '.join(dataset.tasks)}). Add some, or choose --task {dataset.tasks[0]}",
            code="too-few-examples",
        )
    return TrainingData(dataset.info.id, train, dataset.part("validation", task))


def plan_tuning(home: Homeroom, dataset: str, recipe: Recipe) -> Plan:
    """What the run will need; starts nothing."""
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner

    tuner = HuggingFaceTuner(home.base_files(recipe.base), home.work_root, home.artifacts)
    return tuner.plan(training_data(home.datasets.get(dataset), recipe), recipe)


def submit_tuning(home: Homeroom, dataset: str, recipe: Recipe, *, again: bool = False) -> Job:
    """Queue a run. The same dataset, recipe and base give the same job, unless ``again`` or that job did not succeed.

    Raises:
        NotFoundError: no such dataset, or the base model is not on this machine.
        DataError: nothing to train on.
    """
    found = home.datasets.get(dataset)
    training_data(found, recipe)
    base = home.base_files(recipe.base)
    recipe = recipe.model_copy(update={"base": base.name})
    about = {"kind": "tune", "dataset": found.info.id, "recipe": recipe.to_dict(), "base_identity": base.identity}
    key = key_of({**about, "again": secrets.token_hex(8)} if again else about)
    return submit_once(home, "tune", about, key)
