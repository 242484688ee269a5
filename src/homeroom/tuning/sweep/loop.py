"""The sweep itself, top to bottom: `sweep` is the whole of it. What trains a trial is handed in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal

from homeroom.errors import ConfigError
from homeroom.schema.jobs import JobCancelled, Reporter
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.sweep.search import hopeless, propose
from homeroom.tuning.sweep.space import SweepSpec
from homeroom.tuning.sweep.study import Study, Trial

Train = Callable[[int, Recipe, Reporter], TunedModel]
"""Trains one trial, continuing what its folder holds: its number, its recipe, and whom it tells. As `Tuner.run`."""
Dropped = Callable[[int, Mapping[str, Any] | None], None]
"""What a trial left is of no use any more: its number, and its model where it made one."""
Clock = Callable[[], float]

_OVER: Mapping[str, Literal["diverged", "failed"]] = {"loss-diverged": "diverged", "out-of-memory": "failed"}


def sweep(
    study: Study,
    spec: SweepSpec,
    recipe: Recipe,
    train: Train,
    reporter: Reporter,
    dropped: Dropped,
    *,
    clock: Clock = time.monotonic,
) -> Trial:
    """Make the study's trials until its budget is spent, and return the best.

    Args:
        study: What was tried before; it is saved as it grows.
        spec: Ranges, budget and seed.
        recipe: What every trial shares; it validates often enough to be stopped early.
        train: Trains a trial.
        reporter: Of the job.
        dropped: Told of what may be deleted.
        clock: Seconds, for the budget.

    Raises:
        JobCancelled: the reporter asked to stop; the study can be continued.
        ConfigError: ``sweep-budget``: the budget was spent before one trial was whole. Others as of ``train``.
    """
    while (trial := _next(study, spec, recipe)) is not None and not spent(study, spec):
        told = TrialReporter(study, spec, trial, reporter, clock)
        told.begun()
        try:
            model = train(trial.number, trial.point.applied(recipe), told)
        except JobCancelled:
            told.stopped()
            if told.why == "asked":
                raise
            if told.why == "spent":
                break
            trial.state = "pruned"
        except ConfigError as error:
            told.stopped()
            if error.code not in _OVER:
                raise
            trial.state, trial.note = _OVER[error.code], error.message
            trial.checks = {step: loss for step, loss in trial.checks.items() if math.isfinite(loss)}
        else:
            told.stopped()
            _whole(trial, model)
        _keep_best(study, trial, dropped)
        reporter.saved(trial.number + 1, "trials")
        reporter.event(f"Trial {trial.number + 1}: {trial.point.text}: {outcome(trial)}", data={"trial": trial.number})
    best = study.best
    if best is None:
        raise _nothing_whole(study, spec)
    return best


def _next(study: Study, spec: SweepSpec, recipe: Recipe) -> Trial | None:
    """The trial that was stopped in the middle, else a new one; None when there are as many as there may be."""
    running = next((trial for trial in study.trials if trial.state == "running"), None)
    if running is not None or len(study.trials) >= spec.trials:
        return running
    number, first = len(study.trials), spec.first_points(recipe)
    point = first[number] if number < len(first) else propose(spec, study.trials, number)
    origin = "search" if number >= len(first) else "range" if number else "recipe"
    trial = Trial(number, origin, point)
    study.trials.append(trial)
    study.save()
    return trial


def spent(study: Study, spec: SweepSpec) -> bool:
    """Whether the minutes are over."""
    return spec.minutes is not None and study.seconds >= 60 * spec.minutes


def _whole(trial: Trial, model: TunedModel) -> None:
    loss = model.metrics.get("valid_loss")
    if loss is None:  # it diverged before the first check of trained weights
        trial.state, trial.note = "diverged", "no validation loss was a number"
        trial.model = asdict(model)  # its weights go with what is no longer the best
        return
    trial.state, trial.loss, trial.best_step = "complete", float(loss), int(model.metrics["best_step"])
    if step := model.metrics.get("diverged_step"):
        trial.note = f"diverged at step {step}; its best weights were kept"
    trial.model = asdict(model)


def _keep_best(study: Study, trial: Trial, dropped: Dropped) -> None:
    """Save the study, then drop what is of no use: first the record, so that nothing is recorded that is gone."""
    gone: list[tuple[int, Mapping[str, Any] | None]] = [] if trial.model else [(trial.number, None)]
    best = study.best
    for other in study.trials:
        if other.model is not None and other is not best:
            gone.append((other.number, other.model))
            other.model = None
    if trial is best:
        gone.append((trial.number, None))
    study.save()
    for number, model in gone:
        dropped(number, model)


def outcome(trial: Trial) -> str:
    """What came of a trial, in words."""
    if trial.state == "complete":
        return f"validation loss {trial.loss:.4f} at step {trial.best_step}" + (f" ({trial.note})" if trial.note else "")
    if trial.state == "pruned":
        return f"stopped at step {max(trial.checks)}, where the middle of the others was better ({trial.shown_loss:.4f})"
    return trial.note or trial.state


def _nothing_whole(study: Study, spec: SweepSpec) -> ConfigError:
    failed = [trial for trial in study.trials if trial.state in ("diverged", "failed")]
    if failed and len(failed) == len(study.trials):
        return ConfigError(
            f"None of {len(failed)} trials gave a model; the first ended with: {failed[0].note} Lower sweep.learning_rate in the "
            "recipe and sweep anew: homeroom tune sweep --study ANOTHER-NAME",
            code="sweep-nothing-whole",
        )
    return ConfigError(
        f"The sweep's {spec.minutes:g} minutes were over before one trial was whole. Give it more, and it goes on: "
        "homeroom tune sweep --minutes N; or shorten a trial: max_trained_tokens in the recipe",
        code="sweep-budget",
    )


class TrialReporter:
    """A `Reporter` for one trial: keeps its validation losses, stops it when it has no prospects or the budget is spent.

    Attributes:
        why: Why it was told to stop: ``asked`` (the job), ``pruned`` or ``spent``; empty when it was not.
    """

    def __init__(self, study: Study, spec: SweepSpec, trial: Trial, parent: Reporter, clock: Clock) -> None:
        self._study, self._spec, self._trial, self._parent, self._clock = study, spec, trial, parent, clock
        self._mark = clock()
        self.why: Literal["", "asked", "pruned", "spent"] = ""

    def begun(self) -> None:
        """Say what is tried."""
        self.progress(0.0, self._trial.point.text)

    def stopped(self) -> None:
        """Count the time up to now."""
        now = self._clock()
        self._trial.seconds += now - self._mark
        self._mark = now
        self._study.save()

    def saved(self, mark: int, of: str = "") -> None:
        """See `Reporter`."""
        self._parent.saved(mark, of)

    def progress(self, fraction: float, message: str) -> None:
        """See `Reporter`: of the whole sweep."""
        done = (self._trial.number + fraction) / max(self._spec.trials, 1)
        if self._spec.minutes is not None:
            done = max(done, min(1.0, self._spent_s() / (60 * self._spec.minutes)))
        self._parent.progress(min(1.0, done), f"trial {self._trial.number + 1}/{self._spec.trials}  {message}")

    def event(
        self,
        message: str,
        *,
        level: str = "info",
        type: str = "message",
        data: Mapping[str, Any] | None = None,  # keys are the tuner's
    ) -> None:
        """See `Reporter`. Losses go to the study; only warnings are worth telling beyond it."""
        if type == "metrics" and data and "valid_loss" in data:
            self._checked(int(data["step"]), float(data["valid_loss"]), int(data.get("total_steps", 0)))
        if level != "info":
            self._parent.event(f"Trial {self._trial.number + 1}: {message}", level=level)

    def _checked(self, step: int, loss: float, total: int) -> None:
        if step == 0:
            self._study.base_loss = loss
            return
        if not math.isfinite(loss):
            return
        self._trial.checks[step] = loss
        self.stopped()
        if step < total and hopeless(self._spec, self._study.trials, self._trial):
            self.why = "pruned"

    def should_stop(self) -> bool:
        """See `Reporter`: because the job was asked to, the trial has no prospects, or the budget is spent."""
        if self._parent.should_stop():
            self.why = "asked"
        elif not self.why and self._spent_s() >= 60 * (self._spec.minutes or math.inf):
            self.why = "spent"
        return bool(self.why)

    def _spent_s(self) -> float:
        """Of all trials, this one until now."""
        return self._study.seconds + self._clock() - self._mark
