"""Sweeps: what is tried, what is stopped, what a kill leaves. Trials here are a formula; tests/cli/test_sweep.py trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from homeroom.errors import ConfigError, ConflictError
from homeroom.schema.jobs import JobCancelled, Reporter
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.sweep.loop import sweep
from homeroom.tuning.sweep.space import Point, SweepSpec
from homeroom.tuning.sweep.study import Study, Trial
from tests.tuning.conftest import Recorder, recipe_of

STEPS, CHECKED_AT = 40, (10, 20, 30, 40)
BEST_RATE = 3e-4
RECIPE = recipe_of(optimiser={"learning_rate": 2e-3}, lora={"rank": 16, "alpha": 32})
SPEC = SweepSpec(trials=10)


@pytest.mark.slow  # PyTorch is loaded
def test_the_batch_leaves_room_for_the_largest_adapter_the_recipes_own_too(base: BaseFiles, tmp_path: Path) -> None:
    from homeroom.app.sweep_job import sized

    def tokens(own: int, ranks: tuple[int, ...], name: str) -> int:
        recipe = recipe_of(lora={"rank": own}, batch_tokens="auto", accumulation={"tokens": 1_000_000_000})
        return sized(recipe, base, SweepSpec(rank=ranks), Study.open(tmp_path / name, {})).batch_tokens

    large = tokens(256, (256,), "a")
    assert tokens(1, (1, 2), "b") > large, "or this test sees nothing"
    assert tokens(1, (1, 256), "c") == tokens(256, (1, 2), "d") == large


class Killed(BaseException):
    """The process is gone."""


class Machine:
    """A clock, and training that takes a second a step and ends the nearer to 1.0 the nearer the rate is to the best one."""

    def __init__(self, kill_at: int | None = None, mishap: Callable[[Recipe], None] = lambda _: None) -> None:
        self.now = 0.0
        self.steps_made = 0
        self.begun: list[int] = []
        self.dropped: list[tuple[int, str | None]] = []
        self._kill_at, self._mishap = kill_at, mishap

    def train(self, number: int, recipe: Recipe, reporter: Reporter) -> TunedModel:
        self.begun.append(number)
        self._mishap(recipe)
        far = abs(math.log(recipe.optimiser.learning_rate / BEST_RATE)) / 4 + abs(math.log(recipe.lora.rank / 16)) / 40
        losses: dict[int, float] = {}
        reporter.event("base", type="metrics", data={"step": 0, "valid_loss": 3.0, "total_steps": STEPS})
        for step in range(1, STEPS + 1):
            if reporter.should_stop():
                raise JobCancelled
            self.now += 1
            self.steps_made += 1
            if self.steps_made == self._kill_at:
                raise Killed
            if step in CHECKED_AT:
                losses[step] = 1 + far + (1 - step / STEPS)
                reporter.event("checked", type="metrics", data={"step": step, "valid_loss": losses[step], "total_steps": STEPS})
        metrics = {"valid_loss": min(losses.values()), "best_step": STEPS}
        name = f"ft:tiny:homeroom:small:{number:08d}"
        made: dict[str, Any] = {"artifact": f"model-{number}", "recipe": recipe.to_dict(), "metrics": metrics}
        return TunedModel(name, "tiny", "0" * 64, "huggingface", "lora", "tutor", "small", "practice", **made)

    def drop(self, number: int, model: Mapping[str, Any] | None) -> None:
        self.dropped.append((number, model and model["artifact"]))

    def sweep(self, folder: Path, spec: SweepSpec = SPEC, reporter: Reporter | None = None, recipe: Recipe = RECIPE) -> Study:
        study = Study.open(folder, {"dataset": "d1"})
        sweep(study, spec, recipe, self.train, reporter or Recorder(), self.drop, clock=lambda: self.now)
        read = Study.read(folder)
        assert read is not None and read.trials == study.trials
        return read


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Machine]:
    machine = Machine()
    return machine.sweep(tmp_path_factory.mktemp("whole") / "study"), machine


def test_the_recipes_own_and_the_middle_of_each_range_come_first(whole: tuple[Study, Machine]) -> None:
    trials = whole[0].trials
    assert [trial.origin for trial in trials] == ["recipe", "range", "range", *["search"] * 7]
    assert trials[0].point == Point(2e-3, 16, 32.0)
    assert [trial.point.learning_rate for trial in trials[1:3]] == pytest.approx([math.sqrt(5e-10), math.sqrt(5e-8)])
    assert [trial.state for trial in trials[:3]] == ["complete"] * 3, "three run whole before any is stopped"


def test_the_search_stays_inside_the_ranges_and_finds_the_right_one(whole: tuple[Study, Machine]) -> None:
    study = whole[0]
    for trial in study.trials[1:]:
        assert SPEC.span_of(trial.point.learning_rate) is not None
        assert trial.point.rank in SPEC.rank and trial.point.alpha in SPEC.alpha
    assert len({trial.point for trial in study.trials}) == len(study.trials)
    best = study.best
    assert best is not None and SPEC.span_of(best.point.learning_rate) == (1e-4, 5e-4)
    assert best.loss == min(trial.loss for trial in study.trials if trial.loss is not None)
    assert study.base_loss == 3.0


def test_what_does_worse_than_the_middle_is_stopped_early(whole: tuple[Study, Machine]) -> None:
    study, machine = whole
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned and machine.steps_made < STEPS * len(study.trials)
    for trial in pruned:
        (last,) = {max(trial.checks)}
        others = sorted(other.checks[last] for other in study.trials[: trial.number] if last in other.checks)
        middle = (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2
        assert min(trial.checks.values()) > middle
        assert last < STEPS and trial.loss is None and trial.seconds == last


def test_only_the_best_trials_weights_are_kept(whole: tuple[Study, Machine]) -> None:
    study, machine = whole
    assert [trial for trial in study.trials if trial.model is not None] == [study.best]
    gone = {artifact for _, artifact in machine.dropped if artifact}
    complete = {f"model-{trial.number}" for trial in study.trials if trial.state == "complete"}
    assert study.best is not None and gone == complete - {f"model-{study.best.number}"}
    assert {number for number, _ in machine.dropped} == set(range(10)), "every trial's folder"


@pytest.mark.parametrize("kill_at", [35, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 77, 130, 200))])
def test_a_kill_costs_a_part_of_a_trial_and_changes_nothing(kill_at: int, whole: tuple[Study, Machine], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        Machine(kill_at).sweep(tmp_path / "study")
    left = Study.read(tmp_path / "study")
    assert left is not None and left.trials[-1].state == "running"
    again = Machine()
    study = again.sweep(tmp_path / "study")
    assert again.begun == list(range(left.trials[-1].number, 10))
    shown = [[(t.number, t.origin, t.point, t.state, t.checks, t.loss) for t in s.trials] for s in (study, whole[0])]
    assert shown[0] == shown[1]


def test_cancelling_the_job_leaves_the_trial_to_be_continued(tmp_path: Path) -> None:
    with pytest.raises(JobCancelled):
        Machine().sweep(tmp_path / "study", reporter=Recorder(stop_at=50))
    left = Study.read(tmp_path / "study")
    assert left is not None and [trial.state for trial in left.trials] == ["complete", "running"]


def test_more_trials_go_on_where_the_study_ended(tmp_path: Path, whole: tuple[Study, Machine]) -> None:
    Machine().sweep(tmp_path / "study", SweepSpec(trials=4))
    later = Machine()
    study = later.sweep(tmp_path / "study", SPEC)
    assert later.begun == [4, 5, 6, 7, 8, 9]
    assert [trial.point for trial in study.trials] == [trial.point for trial in whole[0].trials]
    assert Machine().sweep(tmp_path / "study", SweepSpec(trials=3)).best == study.best, "fewer than there are: none is made"


def test_another_seed_searches_elsewhere(tmp_path: Path, whole: tuple[Study, Machine]) -> None:
    study = Machine().sweep(tmp_path / "study", SweepSpec(trials=5, seed=1))
    assert [trial.point for trial in study.trials[:3]] == [trial.point for trial in whole[0].trials[:3]]
    assert study.trials[4].point != whole[0].trials[4].point


def test_the_minutes_are_held_to_the_step(tmp_path: Path) -> None:
    machine = Machine()
    study = machine.sweep(tmp_path / "study", SweepSpec(trials=50, minutes=1.5))
    assert machine.now == 90
    assert [trial.state for trial in study.trials] == ["complete", "complete", "running"]
    later = Machine()
    study = later.sweep(tmp_path / "study", SweepSpec(trials=3, minutes=60))
    assert [trial.state for trial in study.trials] == ["complete"] * 3 and later.begun == [2]


def test_minutes_that_end_before_one_trial_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Machine().sweep(tmp_path / "study", SweepSpec(minutes=0.5))
    assert caught.value.code == "sweep-budget"


def diverge(recipe: Recipe) -> None:
    if recipe.optimiser.learning_rate > 1e-3:
        raise ConfigError("The loss is nan at step 1: training diverged.", code="loss-diverged")


def test_a_trial_that_diverges_or_does_not_fit_is_one_that_lost(tmp_path: Path) -> None:
    study = Machine(mishap=diverge).sweep(tmp_path / "study", SweepSpec(trials=6))
    assert (study.trials[0].state, study.trials[0].model) == ("diverged", None)
    assert study.best is not None and study.best.number > 0
    with pytest.raises(ConfigError) as caught:
        Machine(mishap=diverge).sweep(tmp_path / "none", SweepSpec(trials=2, learning_rate=((2e-3, 9e-3),)))
    assert caught.value.code == "sweep-nothing-whole"


class Unvalidated(Machine):
    """Where the rate is too high, training ends before its first check: with weights of which no loss is known."""

    def train(self, number: int, recipe: Recipe, reporter: Reporter) -> TunedModel:
        model = super().train(number, recipe, reporter)
        if recipe.optimiser.learning_rate <= 1e-3:
            return model
        return replace(model, metrics={**model.metrics, "valid_loss": None, "diverged_step": 1})


def test_the_weights_of_a_trial_without_a_loss_are_dropped_and_never_win(tmp_path: Path) -> None:
    machine = Unvalidated()
    study = machine.sweep(tmp_path / "study", SweepSpec(trials=6))
    lost = [trial.number for trial in study.trials if trial.state == "diverged"]
    assert lost and lost[0] == 0 and study.best is not None and study.best.number not in lost
    assert [(trial.model, trial.loss, trial.note) for trial in study.trials if trial.number in lost] == [
        (None, None, "no validation loss was a number")
    ] * len(lost)
    assert {(number, f"model-{number}") for number in lost} <= set(machine.dropped)


def test_an_error_that_is_every_trials_ends_the_sweep(tmp_path: Path) -> None:
    def broken(recipe: Recipe) -> None:
        raise ConfigError("no GPU", code="no-gpu")

    with pytest.raises(ConfigError) as caught:
        Machine(mishap=broken).sweep(tmp_path / "study")
    assert caught.value.code == "no-gpu"


def test_a_study_takes_no_trials_of_something_else(tmp_path: Path) -> None:
    Machine().sweep(tmp_path / "study", SweepSpec(trials=1))
    with pytest.raises(ConflictError) as caught:
        Study.open(tmp_path / "study", {"dataset": "d2"})
    assert caught.value.code == "study-mismatch" and "'d1' then, 'd2' now" in caught.value.message


def test_a_trial_as_json_and_back(whole: tuple[Study, Machine]) -> None:
    study = whole[0]
    assert [Trial.from_dict(record) for record in study.to_dict()["trials"]] == study.trials


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": [[5e-5, 1e-5]]},
        {"learning_rate": [[1e-4, 5e-4], [1e-5, 5e-5]]},
        {"rank": [16, 8]},
        {"rank": [8, 8]},
        {"rank": []},
        {"trials": 0},
        {"minutes": 0},
        {"ranks": [8]},
    ],
)
def test_ranges_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SweepSpec.model_validate(wrong)


def test_places_along_the_ranges_lead_back_to_their_rates() -> None:
    for rate in (1e-5, 2e-5, 5e-5, 1.1e-4, 3e-4, 5e-4):
        place = SPEC.place_of(rate)
        assert place is not None and SPEC.rate_at(place) == pytest.approx(rate)
    assert SPEC.place_of(7e-5) is None
    assert SPEC.span_of(SPEC.rate_at(SPEC.length)) == (1e-4, 5e-4)
