"""Adapters that a run gives out before it ends: when, which weights, and once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from safetensors.numpy import load_file

from homeroom.errors import StorageError
from homeroom.schema.jobs import JobCancelled
from homeroom.schema.tuning import TrainingData
from tests.tuning.conftest import DATA, TRAIN, Recorder, recipe_of

RECIPE = recipe_of(epochs=3, validation={"every_steps": 2})  # 3 steps an epoch
NAME = "ft:tiny:homeroom:small:0000abcd"


class Taker:
    """Keeps what it is given; ``full`` refuses as a full disk does."""

    def __init__(self, full: bool = False) -> None:
        self.taken: dict[int, tuple[str, bool, dict[str, Any]]] = {}
        self.full = full

    def has(self, step: int) -> bool:
        return step in self.taken

    def add(self, model: str, step: int, artifact: str, numbers: Mapping[str, Any], *, best: bool) -> None:
        if self.full:
            raise StorageError("There is no space left.", code="no-space")
        assert model == NAME
        assert step not in self.taken
        self.taken[step] = (artifact, best, dict(numbers))


def named(base: str, suffix: str) -> str:
    return NAME


def test_at_the_end_of_each_epoch_and_where_validation_was_best(tuner) -> None:
    taker = Taker()
    tuned = tuner(milestones=taker, new_name=named).run(DATA, RECIPE, Recorder())
    ends = [step for step in taker.taken if step % 3 == 0]
    assert ends == [3, 6, 9]
    assert all(best for step, (_, best, _) in taker.taken.items() if step not in ends)
    assert tuned.metrics["best_step"] in [step for step, (_, best, _) in taker.taken.items() if best]
    for step, (_, _, numbers) in taker.taken.items():
        assert numbers["step"] == step
        assert numbers["valid_loss"] is not None  # measured before it is given out


def test_between_epochs_only_the_best(tuner) -> None:
    taker = Taker()
    recipe = recipe_of(epochs=2, validation={"every_steps": 1})
    tuner(milestones=taker, new_name=named).run(DATA, recipe, Recorder())
    between = [best for step, (_, best, _) in taker.taken.items() if step not in (3, 6)]
    assert between
    assert all(between)


def test_the_last_checkpoint_holds_the_models_weights(tuner, store) -> None:
    taker = Taker()
    data = TrainingData("course-v1", TRAIN)  # nothing to validate on: the model is the last step
    tuned = tuner(milestones=taker, new_name=named).run(data, RECIPE, Recorder())
    first, last = (store.path(taker.taken[step][0]) for step in (3, 9))
    model = store.path(tuned.artifact)
    for name in ("adapter_model.safetensors", "adapter.gguf", "adapter_config.json"):
        assert (last / name).read_bytes() == (model / name).read_bytes()
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (first, last))
    assert any((ours[key] != theirs[key]).any() for key in ours)


@pytest.mark.parametrize("question", [5, 9, 12])
def test_a_run_that_goes_on_gives_each_out_once(tuner, store, question) -> None:
    whole, cut = Taker(), Taker()
    tuner("whole", milestones=whole, new_name=named).run(DATA, RECIPE, Recorder())
    with pytest.raises(JobCancelled):
        tuner("cut", milestones=cut, new_name=named).run(DATA, RECIPE, Recorder(stop_at=question))
    tuner("cut", milestones=cut, new_name=named).run(DATA, RECIPE, Recorder())
    assert {step: artifact for step, (artifact, _, _) in cut.taken.items()} == {
        step: artifact for step, (artifact, _, _) in whole.taken.items()
    }


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tuner) -> None:
    recorder = Recorder()
    tuned = tuner(milestones=Taker(full=True), new_name=named).run(DATA, RECIPE, recorder)
    assert tuned.metrics["steps"] == 9
    told = [message for _, message, _ in recorder.events if "was not kept" in message]
    assert {f"The checkpoint of step {step} was not kept: There is no space left." for step in (3, 6, 9)} <= set(told)
