"""What a finished run is kept as: a model, its table of steps, its checkpoints, and the learning curve of its subsets."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from homeroom.errors import ProviderError
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import OUTCOME, Reporter
from homeroom.schema.models import TunedModel
from homeroom.tuning.openai import outcome
from homeroom.tuning.openai.curve import LearningCurve, Point, learning_curve
from homeroom.tuning.openai.deploy import Deployer
from homeroom.tuning.openai.dialect import Dialect
from homeroom.tuning.openai.follow import Follower
from homeroom.tuning.openai.outcome import DEPLOYED, Checkpoint
from homeroom.tuning.openai.place import Place, Work
from homeroom.tuning.openai.purse import Purse, trained_tokens
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.state import Rung, RunState

Json = dict[str, Any]  # of the provider's making
FETCH_S = 60.0


def kept(
    place: Place,
    work: Work,
    state: RunState,
    follower: Follower,
    recipe: OpenAIRecipe,
    dataset: str,
    reporter: Reporter,
) -> TunedModel:
    """What came out, as a model that is not yet registered.

    Raises:
        ProviderError: ``provider-answer``: there is nothing that could answer; ``fine-tuning-deployment``; or no answer came.
        JobCancelled: told to stop.
    """
    service, dialect = place.service, place.dialect
    assert service is not None
    main = state.rungs[-1]
    results = [_result(service, work, rung, follower, reporter, dialect) for rung in state.rungs]
    table, checkpoints, losses = results[-1]
    final = outcome.final_loss(losses)
    made = _made(place, main, checkpoints)
    better = outcome.wanted(checkpoints, recipe.checkpoints, final, made)
    deploy = Deployer(service, place.model, recipe.model_suffix, state, follower, reporter, work.pace)
    answers = dialect.answering(made, deploy)
    better = [replace(one, model=dialect.answering(one.model, deploy)) for one in better]
    if risen := outcome.overfit(losses):
        reporter.event(risen.told(main.epochs, better), level="warning")
    points = [(rung, outcome.final_loss(found)) for rung, (_, _, found) in zip(state.rungs, results, strict=True)]
    curve = learning_curve([Point(rung.examples, loss) for rung, loss in points if loss is not None])
    if curve is not None:
        reporter.event(curve.told(), type=OUTCOME, data=curve.to_dict())
    metrics = {**_metrics(work.purse, state, losses, curve, better), **({DEPLOYED: made} if answers != made else {})}
    artifact = _written(work, recipe, state, curve, table)
    if not state.model:
        state.model = work.new_name(place.base, recipe.model_suffix)
        state.save()
    return TunedModel(
        name=state.model,
        base=place.base,
        base_identity=place.base_identity,
        method="openai",
        kind="remote",
        task=recipe.task,
        suffix=recipe.model_suffix,
        suitability=place.suitability,
        artifact=artifact,
        dataset=dataset,
        job_id=work.job_id,
        code_version=work.code_version,
        created_at=time.time(),
        recipe=recipe.to_dict(),
        settings={**recipe.generation.settings().to_dict(), "system_prompt": recipe.system_prompt},
        metrics=metrics,
        remote_id=f"{place.endpoint}/{answers}",
    )


def _made(place: Place, main: Rung, checkpoints: Sequence[Checkpoint]) -> str:
    """What the job made, as the endpoint calls it."""
    made = place.dialect.tuned(main.outcome or {}, checkpoints)
    if not made:
        raise ProviderError(
            f"{place.endpoint!r} says that the job {main.job} succeeded and lists no checkpoint of it. Run the same command "
            "again: the training is not paid again",
            code="provider-answer",
        )
    return made


def _written(work: Work, recipe: OpenAIRecipe, state: RunState, curve: LearningCurve | None, table: str) -> str:
    """The id of the folder with what is known of the run."""
    with work.artifacts.write("model") as draft:
        parts: Json = {"recipe": recipe.to_dict(), "jobs": [rung.outcome for rung in state.rungs]}
        if curve is not None:
            parts["learning-curve"] = curve.to_dict()
        for name, content in parts.items():
            (draft.folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (draft.folder / "step_metrics.csv").write_text(table, encoding="utf-8")
    return draft.id


def _metrics(
    purse: Purse,
    state: RunState,
    losses: Sequence[tuple[int, float]],
    curve: LearningCurve | None,
    kept: Sequence[outcome.Checkpoint],
) -> Json:
    told = [trained_tokens(rung.outcome or {}) for rung in state.rungs]
    cost, counted = purse.spent()
    job = state.rungs[-1].outcome or {}
    found: Json = {
        "remote_job": state.rungs[-1].job,
        "examples": state.rungs[-1].examples,
        "epochs": state.rungs[-1].epochs,
        "trained_tokens": sum(one for one in told if one is not None) if None not in told else counted or None,
        "cost_usd": None if cost is None else round(cost, 6),
        "seconds": round(time.time() - state.begun_at, 1),
        "checkpoints": [
            {"step": one.step, "model": one.model, "valid_loss": one.loss, **({DEPLOYED: one.source} if one.source else {})}
            for one in kept
        ],
    }
    if isinstance(job.get("hyperparameters"), dict):
        found["hyperparameters"] = job["hyperparameters"]
    if losses:
        found |= {"valid_loss": losses[-1][1], "best_valid_loss": min(loss for _, loss in losses)}
    if curve is not None:
        found["learning_curve"] = curve.to_dict()
    return found


def _result(
    service: OpenAITuning, work: Work, rung: Rung, follower: Follower, reporter: Reporter, dialect: Dialect
) -> tuple[str, list[outcome.Checkpoint], list[tuple[int, float]]]:
    """A job's table of steps, its checkpoints, and its validation loss over the steps; empty where the endpoint has none."""
    table, rows = "", []
    path = work.folder / f"steps-{rung.examples}.csv"
    try:
        for file_id in dialect.tables(rung.outcome or {}):
            follower.asked(lambda file_id=file_id: service.account.download(file_id, path), FETCH_S)  # type: ignore[misc]
            text = path.read_text("utf-8", errors="replace")
            table = table or (text if outcome.steps_of(text) else "")  # anything may have come under that name
        rows = follower.asked(lambda: service.account.checkpoints(rung.job), None if dialect.leaves_checkpoints else FETCH_S)
    except ProviderError as error:
        if dialect.leaves_checkpoints:
            raise
        reporter.event(f"The losses of {rung.job} could not be fetched: {error.message}", level="warning")
    path.unlink(missing_ok=True)
    checkpoints = dialect.checkpoints(rung.job, rows)
    return table, checkpoints, outcome.curve_of(outcome.steps_of(table), checkpoints)
