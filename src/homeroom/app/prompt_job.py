"""The tuning job of a base at an endpoint: which demonstrations it is shown, chosen on the validation split."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from homeroom import __version__
from homeroom.app.agreements import purse_of_job
from homeroom.app.endpoints import open_endpoint_model
from homeroom.app.evaluation import spread
from homeroom.app.metering import Use
from homeroom.app.spending import quote_of
from homeroom.app.tuning import plan_prompt
from homeroom.data.datasets import Dataset
from homeroom.errors import DataError
from homeroom.evaluation.answers import generate
from homeroom.evaluation.metrics.sound_turn import share_of_checks
from homeroom.evaluation.prompts import PlainPrompt
from homeroom.models.prompt_program import PromptProgram
from homeroom.registry.names import new_model_name
from homeroom.schema.chat import ChatModel
from homeroom.schema.examples import Example, Item
from homeroom.schema.jobs import JobContext
from homeroom.schema.models import TunedModel
from homeroom.tuning.prompts.recipe import PromptRecipe
from homeroom.tuning.prompts.search import Candidate, Trial, candidates, search

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

SEED = 20
RESERVED = 1 / 3  # most topics of the train split that are kept to choose by, where validation is small


def tune_prompt(context: JobContext, home: Homeroom) -> TunedModel:
    """Search, write the artifact, and return the model, not yet registered. Answers are kept: a rerun asks only for the others.

    Raises:
        DataError: ``too-few-examples``: nothing to show, or nothing to choose by.
        ProviderError: the endpoint did not answer.
        PurseSpent: ``run-spent``: it cost what was told before, as replies were lost.
        JobCancelled: the job was told to stop.
    """
    recipe = PromptRecipe.model_validate(context.job.payload["recipe"])
    dataset = home.datasets.get(str(context.job.payload["dataset"]))
    pool, items = demonstrations_and_items(dataset, recipe.task, recipe.items)
    started = time.monotonic()
    purse = purse_of_job(home, context, lambda: [quote_of(home, recipe.name, recipe, plan_prompt(home, dataset, recipe))])
    model, identity = open_endpoint_model(home, recipe.base, Use("tuning", "dspy", context.job.id), purse)
    planned = len(candidates(pool, recipe, identity)) * len(items)
    context.event(f"{planned} requests to {recipe.base}: the plain prompt and sets of demonstrations, judged on validation")
    with closing(model):
        trial = _trial(context, home, recipe, model, identity, items, planned)
        tried = search(pool, recipe, identity, trial, context.event)
    return _kept(context, home, recipe, dataset.info.id, tried, planned, time.monotonic() - started)


def demonstrations_and_items(dataset: Dataset, task: str, limit: int) -> tuple[list[Example], list[Item]]:
    """What may be shown, and the replies to choose by: the validation split and, where that is small, whole topics of train.

    A topic that is chosen by is never shown.

    Args:
        dataset: The version; its test split stays closed.
        task: Whose examples.
        limit: Most replies to choose by.

    Raises:
        DataError: ``too-few-examples``: there are too few topics to do both.
    """
    train = list(dataset.part("train", task))
    by_topic: dict[str, list[Example]] = {}
    for example in train:
        by_topic.setdefault(str(example.metadata.get("topic") or example.id), []).append(example)
    order = sorted(by_topic, key=lambda topic: hashlib.sha256(topic.encode()).hexdigest())
    judged = list(dataset.part("validation", task))
    for topic in order[: int(len(order) * RESERVED)]:
        if len(spread(judged, limit)) == limit:
            break
        judged += by_topic.pop(topic)
    items = spread(judged, limit)
    if not items:
        raise DataError(
            f"Dataset {dataset.info.name}@{dataset.info.version} has {len(order)} topic(s) of the task {task!r} to "
            "train on: too few to show some and choose by others. Add examples about more topics.",
            code="too-few-examples",
        )
    return [example for examples in by_topic.values() for example in examples], items


def _trial(
    context: JobContext,
    home: Homeroom,
    recipe: PromptRecipe,
    model: ChatModel,
    identity: str,
    items: Sequence[Item],
    planned: int,
) -> Trial:
    plain = PlainPrompt(recipe.system_prompt)
    settings = recipe.generation.settings()
    settings = replace(settings, seed=SEED if settings.seed is None else settings.seed)
    answered = 0

    def trial(program: PromptProgram, label: str) -> list[float]:
        nonlocal answered

        def progress(done: int, total: int) -> None:
            context.progress((answered + done) / max(planned, 1), f"{label}: {done} of {total} replies")

        answers = generate(
            items,
            model,
            settings,
            system=label,
            prompt=lambda item: program.render(plain(item)),
            cache_dir=home.settings.home / "answers",
            identity=identity,
            concurrency=home.settings.engine_slots,
            on_progress=progress,
            should_stop=context.should_stop,
        )
        answered += len(items)
        return share_of_checks(items, answers)

    return trial


def _kept(
    context: JobContext,
    home: Homeroom,
    recipe: PromptRecipe,
    dataset: str,
    tried: Sequence[Candidate],
    requests: int,
    seconds: float,
) -> TunedModel:
    """The best candidate as a model: ``program.json``, what was tried, and the recipe."""
    best = tried[0]
    table = [
        {"candidate": c.label, "checks_passed": round(c.score, 4), "demonstrations": len(c.program.demonstrations)} for c in tried
    ]
    with home.artifacts.write("model") as draft:
        best.program.save(draft.folder)
        (draft.folder / "candidates.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        (draft.folder / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1) + "\n", encoding="utf-8")
    plain = next(c.score for c in tried if not c.program.demonstrations)
    return TunedModel(
        name=new_model_name(recipe.base, recipe.suffix),
        base=recipe.base,
        base_identity=best.program.base_identity,
        method="dspy",
        kind="prompt",
        task=recipe.task,
        suffix=recipe.suffix,
        suitability="trainee",
        artifact=draft.id,
        dataset=dataset,
        job_id=context.job.id,
        code_version=__version__,
        created_at=time.time(),
        recipe=recipe.to_dict(),
        settings={**recipe.generation.settings().to_dict(), "system_prompt": recipe.system_prompt},
        metrics={
            "kept": best.label,
            "validation_score": round(best.score, 4),
            "validation_score_plain": round(plain, 4),
            "candidates": len(tried),
            "requests": requests,
            "seconds": round(seconds, 1),
        },
    )
