"""Submitting sweeps: a dataset version, a recipe and ranges to a study that jobs add trials to."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.endpoints import endpoint_of
from homeroom.app.tuning import on_gpu, training_data
from homeroom.app.work import key_of, submit_once
from homeroom.errors import ConfigError, DataError
from homeroom.schema.jobs import Job
from homeroom.schema.models import BaseFiles
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.sweep.space import SweepSpec
from homeroom.tuning.sweep.study import Study

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
# What changes nothing about a trial's losses, and what a study may have more of.
_FREE = ("name", "suffix", "base", "checkpoint", "generation", "threads", "device", "validation")
_MORE = ("trials", "minutes")


def study_folder(home: Homeroom, name: str) -> Path:
    """Where a study lies in the home."""
    return home.settings.home / "studies" / name


def study_identity(dataset: str, base: BaseFiles, recipe: Recipe, spec: SweepSpec) -> dict[str, Any]:  # JSON
    """What all trials of a study share."""
    shared = {f"recipe.{key}": value for key, value in recipe.to_dict().items() if key not in _FREE}
    ranges = {f"sweep.{key}": value for key, value in spec.model_dump(mode="json").items() if key not in _MORE}
    held_out = recipe.validation.max_examples  # losses over other examples cannot be compared
    return {"dataset": dataset, "base": base.identity, "validation.max_examples": held_out, **shared, **ranges}


def submit_sweep(home: Homeroom, dataset: str, recipe: Recipe, spec: SweepSpec, *, study: str = "") -> Job:
    """Queue a sweep. The same study with the same budget is the same job; with more of it another one goes on with its trials.

    Args:
        home: The open home.
        dataset: Id, name or name@version.
        recipe: What is varied; its own settings are the first trial.
        spec: Ranges and budget.
        study: Name of the study; by default one that follows from all of this.

    Raises:
        NotFoundError: no such dataset, or the base model is not on this machine.
        DataError: ``too-few-examples``; ``sweep-no-validation``: there is nothing to choose by.
        ConfigError: ``sweep-endpoint``, ``study-name``.
        ConflictError: ``study-mismatch``.
        MissingExtraError: Optuna is not installed.
    """
    require_optuna()
    if endpoint_of(home.settings, recipe.base) is not None:
        raise ConfigError(
            f"{recipe.base!r} is at an endpoint, and a sweep changes how weights here are trained. Name a base of this machine: "
            "homeroom models list. Prompts are searched by: homeroom tune run --method dspy",
            code="sweep-endpoint",
        )
    found = home.datasets.get(dataset)
    if not training_data(found, recipe).validation:
        raise DataError(
            f"Dataset {found.info.name}@{found.info.version} has no validation example for the task {recipe.task!r}: a sweep has "
            "nothing to choose by. Add examples about more topics and split them: homeroom data split FILE",
            code="sweep-no-validation",
        )
    if recipe.weights == "full":  # no adapter, so nothing of it to vary
        spec = spec.model_copy(update={"rank": (recipe.lora.rank,), "alpha": (recipe.lora.alpha,)})
    base = home.base_files(recipe.base)
    recipe = recipe.model_copy(update={"base": base.name})
    identity = study_identity(found.info.id, base, recipe, spec)
    name = study or default_name(recipe, identity)
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"--study {name!r} must be lower-case letters, digits and hyphens, at most 40: homeroom tune sweep --study mine-1",
            code="study-name",
        )
    Study.open(study_folder(home, name), identity)
    payload = {"dataset": found.info.id, "recipe": recipe.to_dict(), "sweep": spec.model_dump(mode="json"), "study": name}
    key = key_of({"kind": "sweep", **payload, "base_identity": base.identity})
    return submit_once(home, "sweep", payload, key, resource="gpu" if on_gpu(recipe) else "cpu")


def default_name(recipe: Recipe, identity: dict[str, Any]) -> str:  # identity: JSON
    """A study's name that follows from what it is made of: the same command goes on with the same study."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]
    return f"{recipe.name[:30].strip('-')}-{digest}"


def require_optuna() -> None:
    """Refuse early and by name.

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    from importlib.util import find_spec

    from homeroom.errors import MissingExtraError

    if find_spec("optuna") is None:
        raise MissingExtraError("A sweep", "optuna", "train")
