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
from homeroom.app.migration.folder import MigrationFolder, safe_name
from homeroom.app.migration.inventory import Tuned
from homeroom.app.migration.prompts import TOLD, Chosen, examples_of, job_of
from homeroom.app.migration.record import recorded
from homeroom.app.tuning import submit_tuning
from homeroom.data.datasets import Dataset
from homeroom.errors import DataError
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

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

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
        raise DataError(f"Nothing of {tuned.model!r} is left to train on. Ask fewer prompts: --items 10", code="empty-file")
    assigned: dict[str, Split] = {
        **{e.id: "train" for e in training},
        **{e.id: "validation" for e in validation},
        **dict.fromkeys(test, "test"),
    }
    name = f"from-{safe_name(tuned.job or tuned.model).lower()}"
    return home.datasets.create(name, [*training, *validation, *test.values()], assigned=assigned)


def retrain(home: Homeroom, dataset: Dataset, tuned: Tuned, recipe: Recipe, base: str | None) -> Job:
    """Queue the tuning of a base here on the old job's data."""
    parts = tuned.model.split(":")
    words = "".join(c if c.isalnum() else "-" for c in (parts[3] if len(parts) > 3 else "").lower())  # ft:base:org:suffix:id
    suffix = words.strip("-")[:40].strip("-") or "migrated"
    wanted = base or recipe.base or home.settings.default_base
    run = recipe.model_copy(update={"base": wanted, "suffix": suffix, "system_prompt": ""})
    return submit_tuning(home, f"{dataset.info.name}@{dataset.info.version}", run)


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
