"""Retraining from the same data on a base here, and setting the new model's answers beside the old one's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom import __version__
from homeroom.app.directory import HomeDirectory
from homeroom.app.engines import engine
from homeroom.app.fine_tuning.hyperparameters import DPO_SHARE_OF_RATE
from homeroom.app.migration.folder import MigrationFolder, safe_name
from homeroom.app.migration.inventory import Tuned
from homeroom.app.migration.prompts import TOLD, Chosen, choose, examples_of, job_of
from homeroom.app.migration.record import recorded
from homeroom.app.spending import Spend, agreed, quotes_of
from homeroom.app.tuning import submit_tuning
from homeroom.data.datasets import Dataset
from homeroom.errors import ConfigError, DataError
from homeroom.evaluation.answers import generate
from homeroom.evaluation.evaluate import Replies, assess
from homeroom.evaluation.prompts import PlainPrompt
from homeroom.evaluation.report import write_report
from homeroom.evaluation.results import Evaluation, SystemInfo
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Item, Split
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SUPERVISED, DPO = "supervised", "dpo"
VALIDATION_SHARE = 10  # one training example in so many watches over the training where the job had no validation file
LEAST_ANSWERS = 4


def dataset_of(home: Homeroom, folder: MigrationFolder, tuned: Tuned, chosen: Chosen) -> Dataset:
    """The old job's data as a dataset version: what the models are compared on is its test split and trains nothing.

    Raises:
        NotFoundError: the job or its training file is not in the folder.
        DataError: nothing is left to train on.
    """
    job = job_of(folder, tuned)
    test = {example.id: example for example in chosen.examples}
    training = [e for e in examples_of(folder, str(job["training_file"])) if e.id not in test]
    validation: list[Example] = []
    if job.get("validation_file"):
        validation = [e for e in examples_of(folder, str(job["validation_file"])) if e.id not in test]
    trained = {e.id for e in training}
    validation = [e for e in validation if e.id not in trained]
    if not validation:
        validation, training = training[::VALIDATION_SHARE], [e for i, e in enumerate(training) if i % VALIDATION_SHARE]
    if not training:
        raise DataError(
            f"Nothing of {tuned.model!r} is left to train on. Ask fewer prompts: remove {str(folder.prompts(tuned.model))!r} and "
            "its answers, and begin anew with --items 10",
            code="empty-file",
        )
    assigned: dict[str, Split] = {
        **{e.id: "train" for e in training},
        **{e.id: "validation" for e in validation},
        **dict.fromkeys(test, "test"),
    }
    name = f"from-{safe_name(tuned.job or tuned.model).lower()}"
    return home.datasets.create(name, [*training, *validation, *test.values()], assigned=assigned)


def recipe_of(folder: MigrationFolder, tuned: Tuned, recipe: Recipe) -> Recipe:
    """``recipe`` with the method of the old job: what was tuned on preferences is tuned on preferences again.

    A recipe of supervised tuning is given the job's ``beta`` and a tenth of its learning rate, as jobs of the API here have it.

    Raises:
        NotFoundError: the job is not in the folder.
        ConfigError: ``migration-method``: it was tuned by a method that is not done here; ``recipe-invalid``: the recipe cannot
            learn from preferences.
    """
    method = job_of(folder, tuned).get("method") or {}
    kind = str(method.get("type") or SUPERVISED)
    if kind == SUPERVISED:
        return recipe
    if kind != DPO:
        raise ConfigError(
            f"{tuned.model!r} was tuned by the method {kind!r}, which is not done here: its grader is not among what can be "
            "downloaded, so the same data would make another model. Make a dataset with the replies that you want, and tune on "
            "it: homeroom tune run --help",
            code="migration-method",
        )
    record = recipe.to_dict() | {"objective": DPO}
    if "method" not in recipe.model_fields_set:  # nobody asked for it by name
        del record["method"]
    if recipe.objective != DPO:
        beta = ((method.get(DPO) or {}).get("hyperparameters") or {}).get("beta")
        record["beta"] = beta if isinstance(beta, int | float) and 0 < beta <= 2 else recipe.beta  # "auto" too
        record["optimiser"]["learning_rate"] = recipe.optimiser.learning_rate * DPO_SHARE_OF_RATE
        if recipe.batch_tokens:  # or it is what fits
            record["batch_tokens"] = max(recipe.batch_tokens, 2 * recipe.data.max_sequence_tokens)
    return parse_recipe(record)


def retrain(home: Homeroom, dataset: Dataset, tuned: Tuned, recipe: Recipe, base: str | None, *, spend: Spend = 0.0) -> Job:
    """Queue the tuning of a base on the old job's data, by a recipe that `recipe_of` gave.

    Raises:
        ConfigError: ``needs-yes``: the base answers at an endpoint, and nobody agrees by ``spend`` to what that costs.
    """
    parts = tuned.model.split(":")
    words = "".join(c if c.isalnum() else "-" for c in (parts[3] if len(parts) > 3 else "").lower())  # ft:base:org:suffix:id
    suffix = words.strip("-")[:40].strip("-") or "migrated"
    wanted = base or recipe.base or home.settings.default_base
    run = recipe.model_copy(update={"base": wanted, "suffix": suffix, "system_prompt": ""})
    version = f"{dataset.info.name}@{dataset.info.version}"
    agreed(quotes_of(home, version, [(run.name, run)]), spend)
    return submit_tuning(home, version, run)


def asked_of(folder: MigrationFolder, tuned: Tuned, limit: int | None = None) -> Chosen:
    """What the old model was asked, the first ``limit`` of it; nothing is chosen anew.

    Raises:
        DataError: ``migration-answers``: nothing was recorded.
    """
    if not recorded(folder, tuned.model):
        raise DataError(
            f"No answer of {tuned.model!r} is recorded, so there is nothing to compare with. Record some while it lives, with "
            f"--prompts FILE if they should be your own: homeroom migrate openai record {folder.root} --model {tuned.model}",
            code="migration-answers",
        )
    chosen = choose(folder, tuned)  # what was chosen first, whatever its number
    return Chosen(chosen.items[:limit], chosen.source)


def compare(
    home: Homeroom, folder: MigrationFolder, tuned: Tuned, model: TunedModel, chosen: Chosen, settings: GenerationSettings
) -> tuple[Evaluation, Path]:
    """Ask base and new model what the old one was asked, and judge all three by the same measures.

    Returns:
        The evaluation and its report in the folder.

    Raises:
        DataError: ``migration-answers``: too few answers of the old model are recorded.
    """
    old = recorded(folder, tuned.model)
    items = [item for item in chosen.items if item.id in old]
    if len(items) < LEAST_ANSWERS:
        raise DataError(
            f"Only {len(items)} answers of {tuned.model!r} are recorded. Record more while it lives: homeroom migrate openai "
            f"record {folder.root} --model {tuned.model}",
            code="migration-answers",
        )
    new, base = _answers(home, model, items, settings)
    replies = [
        Replies(SystemInfo("base", "base", f"{model.base}, not tuned", model.base, model.base_identity, "", 0, None), base),
        Replies(SystemInfo("old", "other", f"{tuned.model}", tuned.model, "", "", 0, None), [old[item.id] for item in items]),
        Replies(SystemInfo("tuned", "candidate", model.name, model.name, model.artifact, "", 0, None), new),
    ]
    result = assess(
        items,
        replies,
        dataset=f"{tuned.job or 'own prompts'}, {len(items)} prompts {TOLD[chosen.source]}",
        settings=settings.to_dict(),
        lineage=_lineage(tuned, model),
        created_at=time.time(),
    )
    target = folder.root / "reports" / safe_name(f"{tuned.model}-{model.id8}")
    target.mkdir(parents=True, exist_ok=True)
    write_report(result, target)
    return result, target / "report.html"


def _lineage(tuned: Tuned, model: TunedModel) -> Mapping[str, str]:
    return {
        "old model": tuned.model,
        "old base": tuned.base,
        "model": model.name,
        "base": model.base,
        "dataset": model.dataset,
        "code": __version__,
    }


def _answers(
    home: Homeroom, model: TunedModel, items: Sequence[Item], settings: GenerationSettings
) -> tuple[list[Answer], list[Answer]]:
    base = home.base_files(model.base)
    with (
        engine(home, base, batch=True, wanted=(model.name,)) as resolve,
        closing(HomeDirectory(home.with_base(base.name), resolve)) as directory,
    ):
        identity = f"{base.identity}:{home.settings.engine_weights}:{resolve().context_tokens}"
        told: dict[str, Any] = {"prompt": PlainPrompt(), "cache_dir": home.settings.home / "answers"}
        new = generate(
            items, directory.chat_model(model.name), settings, system="tuned", identity=f"{identity}:{model.artifact}", **told
        )
        return new, generate(items, directory.chat_model(base.name), settings, system="base", identity=identity, **told)
