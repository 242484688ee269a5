"""What goes wrong in the middle of a training: a loss that is no number, and memory that runs out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from homeroom.errors import ConfigError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.jobs import JobCancelled
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface import device, model, trainer
from homeroom.tuning.huggingface.loss import Totals
from homeroom.tuning.huggingface.objective import Objective, Replies
from homeroom.tuning.huggingface.prepare import prepare
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Recipe
from tests.tuning.conftest import DATA, Recorder, recipe_of

Fault = Callable[[Sequence[int]], None]


def nothing(indexes: Sequence[int]) -> None:
    """Hardware that never fails."""


@dataclasses.dataclass
class Faulty:
    """An `Objective` whose hardware fails: `before` and `after` are asked around each micro-batch, `measuring` in validation.

    From a number of micro-batches on its losses are no number, or its validation is worse.
    """

    real: Objective
    before: Fault = nothing
    after: Fault = nothing
    measuring: Fault = nothing
    nan_from: int = 10**9
    worse_from: int = 10**9
    worse_by: float = 1000
    sizes: list[int] = dataclasses.field(default_factory=list)

    @property
    def lengths(self) -> Sequence[int]:
        return self.real.lengths

    def share(self, indexes: Sequence[int]) -> int:
        return self.real.share(indexes)

    def backward(self, indexes: Sequence[int], terms: int) -> Totals:
        self.before(indexes)
        found = self.real.backward(indexes, terms)
        self.after(indexes)
        self.sizes.append(len(indexes))
        return found if len(self.sizes) < self.nan_from else dataclasses.replace(found, nll=math.nan)

    def validation_batches(self) -> Sequence[tuple[int, ...]]:
        return self.real.validation_batches()

    def measure(self, indexes: Sequence[int]) -> Totals:
        self.measuring(indexes)
        found = self.real.measure(indexes)
        return found if len(self.sizes) < self.worse_from else dataclasses.replace(found, nll=found.nll + self.worse_by)

    def close(self) -> None:
        self.real.close()


class Bench:
    """A run's parts, made anew for each training."""

    def __init__(self, base: BaseFiles, folder: Path) -> None:
        self._base, self._folder, self._count = base, folder, 0

    def train(
        self, recipe: Recipe, recorder: Recorder | None = None, run: str = "", data: TrainingData = DATA, **faults: Any
    ) -> tuple[trainer.State, dict[str, torch.Tensor], Recorder, Faulty]:
        self._count += 1
        folder = self._folder / (run or f"run-{self._count}")
        prepared = prepare(ChatTokenizer(self._base.weights), data, recipe)
        steps = prepared.steps(recipe)
        recorder = recorder or Recorder()
        compute = device.choose(recipe)
        model.quiet_libraries()
        with device.computing(compute, recipe.seed):
            lora = model.attach_lora(model.load_base(self._base, compute), recipe.lora, self._base, compute)
            taken = (prepared.training.sequences, prepared.validation.sequences)
            objective = Faulty(Replies(lora, recipe, *taken, steps, folder / "frozen", recorder), **faults)
            state = trainer.train(lora, recipe, objective, steps, folder, recorder)
        return state, lora.copy_weights(), recorder, objective


@pytest.fixture
def bench(base: BaseFiles, tmp_path: Path) -> Bench:
    return Bench(base, tmp_path)


WIDE = recipe_of(epochs=2, batch_tokens=1024, accumulation={"examples": 3}, validation={"every_steps": 1})


def refuse_more_than(items: int) -> Fault:
    def fault(indexes: Sequence[int]) -> None:
        if len(indexes) > items:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return fault


def test_a_loss_that_is_no_number_ends_the_run_with_the_best_weights(bench: Bench) -> None:
    state, weights, recorder, _ = bench.train(WIDE, worse_from=3, nan_from=4)
    assert (state.step, state.best_step, state.finished, state.diverged_step) == (3, 2, True, 4)
    best = bench.train(WIDE, nan_from=3)
    assert (best[0].step, best[0].best_step) == (2, 2)
    assert all(torch.equal(weights[name], best[1][name]) for name in weights)
    losses = {row.step: row.valid_loss for row in state.history if row.step}
    assert state.best_loss == min(loss for loss in losses.values() if loss) == losses[2]
    (told,) = [message for _, message, _ in recorder.events if "diverged" in message]
    assert "The loss is nan at step 4" in told and "try 0.003" in told
    assert "with the weights of step 2, the best so far" in told


def test_a_validation_loss_that_is_no_number_is_told_of_the_step_that_it_measures(bench: Bench) -> None:
    state, _, recorder, _ = bench.train(WIDE, worse_from=3, worse_by=math.nan)
    assert (state.step, state.best_step, state.finished, state.diverged_step) == (3, 2, True, 3)
    assert any("The loss is nan at step 3" in message for _, message, _ in recorder.events)


@pytest.mark.slow
def test_a_loss_that_is_never_a_number_is_an_error(bench: Bench) -> None:
    with pytest.raises(ConfigError) as caught:
        bench.train(WIDE, nan_from=1)
    assert caught.value.code == "loss-diverged"


def test_memory_that_runs_out_halves_micro_batches_and_learns_the_same(bench: Bench) -> None:
    whole, expected, _, before = bench.train(WIDE)
    state, weights, recorder, after = bench.train(WIDE, before=refuse_more_than(1), measuring=refuse_more_than(1))
    assert max(before.sizes) == 3 and set(after.sizes) == {1}
    assert sum(before.sizes) == sum(after.sizes), "every example of every step, once"
    assert state.split == 4
    assert [row.step for row in state.history] == [row.step for row in whole.history]
    for one, other in zip(state.history, whole.history, strict=True):
        assert one.tokens == other.tokens
        assert (one.train_loss or 0) == pytest.approx(other.train_loss or 0, abs=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[name], atol=2e-4, rtol=1e-2)
    told = [message for _, message, _ in recorder.events if message.startswith("Memory ran out")]
    assert [message.split(" tokens")[0].split()[-1] for message in told] == ["512", "256"]
    assert "batch_tokens 256 in the recipe" in told[1]


@pytest.mark.slow
def test_nothing_is_left_of_a_try_that_was_refused(bench: Bench) -> None:
    recipe = recipe_of(**{**WIDE.to_dict(), "lora": {"dropout": 0.3}})

    def third() -> Fault:
        asked = 0

        def fault(indexes: Sequence[int]) -> None:
            nonlocal asked
            asked += 1
            if asked == 3:
                raise MemoryError

        return fault

    early, late = bench.train(recipe, before=third()), bench.train(recipe, after=third())
    assert (early[0].split, late[0].split) == (2, 2)
    assert all(torch.equal(early[1][name], late[1][name]) for name in late[1])
    assert [row.train_loss for row in early[0].history] == [row.train_loss for row in late[0].history]


@pytest.mark.slow
def test_one_item_that_does_not_fit_is_an_error_that_names_the_setting(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="batch_tokens = 1024") as caught:
        bench.train(WIDE, before=refuse_more_than(0))
    assert caught.value.code == "out-of-memory"


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_its_smaller_micro_batches(bench: Bench) -> None:
    with pytest.raises(JobCancelled):
        bench.train(WIDE, before=refuse_more_than(1), recorder=Recorder(stop_at=20), run="same")
    state, _, recorder, objective = bench.train(WIDE, before=refuse_more_than(1), run="same")
    assert state.split == 4 and set(objective.sizes) == {1}
    assert not [message for _, message, _ in recorder.events if message.startswith("Memory ran out")]


def test_another_mistake_is_no_lack_of_memory(bench: Bench) -> None:
    def broken(indexes: Sequence[int]) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        bench.train(WIDE, before=broken)


@pytest.mark.parametrize("case", ["no validation part", "before the first validation"])
def test_a_loss_that_is_no_number_before_any_validation_keeps_the_last_sound_weights(bench: Bench, case: str) -> None:
    data, recipe = TrainingData("x", DATA.train, ()), WIDE
    if case == "before the first validation":
        data, recipe = DATA, recipe_of(**{**WIDE.to_dict(), "validation": {"every_steps": 100}})
    state, weights, recorder, _ = bench.train(recipe, data=data, nan_from=4)
    assert (state.step, state.best_step, state.sound_step, state.finished, state.diverged_step) == (3, 0, 2, True, 4)
    (told,) = [message for _, message, _ in recorder.events if "diverged" in message]
    assert "The loss is nan at step 4" in told and "with the weights of step 2, the last that gave a number" in told
    reached = bench.train(recipe, data=data, nan_from=3)
    assert reached[0].sound_step == 1 and any(not torch.equal(weights[name], reached[1][name]) for name in weights)
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_the_sound_weights_outlive_a_stop(bench: Bench) -> None:
    data = TrainingData("x", DATA.train, ())
    _, expected, _, _ = bench.train(WIDE, data=data, nan_from=4)
    with pytest.raises(JobCancelled):
        bench.train(WIDE, data=data, recorder=Recorder(stop_at=4), run="same")
    state, weights, _, _ = bench.train(WIDE, data=data, nan_from=1, run="same")
    assert (state.step, state.sound_step, state.diverged_step) == (3, 2, 4)
    assert all(torch.equal(weights[name], expected[name]) for name in weights)


def spoil_gradient(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Hardware that gives an infinite gradient at ``step``, counted from 1."""
    real = trainer.step_gradient

    def spoilt(run: trainer.Run, state: trainer.State, parts: Any) -> Totals | None:
        totals = real(run, state, parts)
        if state.step == step - 1:
            for weight in run.model.trainable().values():
                assert weight.grad is not None
                weight.grad.fill_(math.inf)
        return totals

    monkeypatch.setattr(trainer, "step_gradient", spoilt)


def test_a_gradient_that_is_no_number_changes_no_weight(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_gradient(monkeypatch, 3)
    state, weights, _, _ = bench.train(WIDE, data=TrainingData("x", DATA.train, ()))
    assert (state.step, state.sound_step, state.diverged_step) == (2, 2, 3)
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_a_run_that_diverged_unvalidated_is_a_model_that_says_so(
    base: BaseFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_gradient(monkeypatch, 3)
    recorder = Recorder()
    recipe = recipe_of(**{**WIDE.to_dict(), "validation": {"every_steps": 100}})
    metrics = HuggingFaceTuner(base, tmp_path / "run", ArtifactStore(tmp_path / "artifacts")).run(DATA, recipe, recorder).metrics
    assert (metrics["diverged_step"], metrics["best_step"], metrics["steps"], metrics["valid_loss"]) == (3, 2, 2, None)
    told = [message for _, message, _ in recorder.events if "iverge" in message or "did not fall" in message]
    assert len(told) == 1 and "no validation has seen them" in told[0]


def test_no_room_in_the_optimiser_is_an_error_that_says_what_helps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: torch.optim.AdamW) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", refused)
    with pytest.raises(ConfigError, match=r"in the optimiser at step 1.*smaller batch_tokens does not change that") as caught:
        bench.train(WIDE)
    assert caught.value.code == "out-of-memory"


def test_no_room_for_the_base_is_an_error_that_names_it(base: BaseFiles, tmp_path: Path) -> None:
    def refused(files: BaseFiles, compute: device.Compute) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    tuner = HuggingFaceTuner(base, tmp_path / "run", ArtifactStore(tmp_path / "artifacts"), load_base=refused)
    with pytest.raises(ConfigError, match=f"while the base {base.name!r} was loaded") as caught:
        tuner.run(DATA, WIDE, Recorder())
    assert caught.value.code == "out-of-memory"


class Killed(BaseException):
    """Stands for the end of the process: nothing in the run may catch it."""


class KilledAt(Recorder):
    def should_stop(self) -> bool:
        if self.questions + 1 == self._stop_at:
            raise Killed
        return super().should_stop()


def test_deaths_in_the_same_step_halve_micro_batches_and_one_death_changes_nothing(base: BaseFiles, tmp_path: Path) -> None:
    recipe = recipe_of(**{**WIDE.to_dict(), "checkpoint": {"every_steps": 100}})

    def attempt(at: int | None, run: str = "run") -> tuple[dict[str, Any], list[str]]:
        recorder = KilledAt(stop_at=at)
        tuner = HuggingFaceTuner(base, tmp_path / run, ArtifactStore(tmp_path / "artifacts"))
        try:
            metrics = tuner.run(DATA, recipe, recorder).metrics
        except Killed:
            metrics = {}
        return metrics, [message for _, message, _ in recorder.events if "no further than step" in message]

    died: list[list[str]] = [attempt(4)[1] for _ in range(4)]
    assert [len(told) for told in died] == [0, 0, 1, 1]
    assert "are computed in 2 parts" in died[2][0] and "are computed in 4 parts" in died[3][0]
    metrics, told = attempt(None)
    assert metrics["micro_batch_split"] == 4 and told == [], "no smaller than one item"
    attempt(4, "other"), attempt(8, "other")
    assert attempt(None, "other")[1] == [], "the second got further"
    stopped = HuggingFaceTuner(base, tmp_path / "stopped", ArtifactStore(tmp_path / "artifacts"))
    for _ in range(3):
        with pytest.raises(ConfigError):
            raise_in(stopped, recipe)
    assert attempt(None, "stopped")[1] == [], "an error is no death"


def raise_in(tuner: HuggingFaceTuner, recipe: Recipe) -> None:
    class Broken(Recorder):
        def should_stop(self) -> bool:
            raise ConfigError("stop here", code="config")

    tuner.run(DATA, recipe, Broken())
