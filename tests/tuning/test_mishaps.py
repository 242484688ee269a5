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
from homeroom.tuning.huggingface import device, model, trainer
from homeroom.tuning.huggingface.loss import Totals
from homeroom.tuning.huggingface.objective import Objective, Replies
from homeroom.tuning.huggingface.prepare import prepare
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
        self, recipe: Recipe, recorder: Recorder | None = None, run: str = "", **faults: Any
    ) -> tuple[trainer.State, dict[str, torch.Tensor], Recorder, Faulty]:
        self._count += 1
        folder = self._folder / (run or f"run-{self._count}")
        prepared = prepare(ChatTokenizer(self._base.weights), DATA, recipe)
        steps = prepared.steps(recipe)
        recorder = recorder or Recorder()
        compute = device.choose(recipe)
        model.quiet_libraries()
        with device.computing(compute, recipe.seed):
            lora = model.attach_lora(model.load_base(self._base, compute), recipe.lora, self._base, compute)
            data = (prepared.training.sequences, prepared.validation.sequences)
            objective = Faulty(Replies(lora, recipe, *data, steps, folder / "frozen", recorder), **faults)
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
