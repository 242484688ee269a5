"""Runs on the tiny model: what is learnt, kept, told, and refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from homeroom.errors import ConfigError
from homeroom.runtime import hardware
from homeroom.schema.models import BaseFiles, TunedModel
from homeroom.schema.tuning import TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface import device, trainer
from homeroom.tuning.huggingface.memory import memory_errors
from homeroom.tuning.huggingface.schedule import learning_rate
from homeroom.tuning.huggingface.token_loss import TokenLoss, held_out_loss
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Optimiser
from tests.tuning.conftest import DATA, TRAIN, VALIDATION, Recorder, dialogue, recipe_of

Make = Callable[..., HuggingFaceTuner]
MEMORISE = {
    "epochs": 30,
    "lora": {"rank": 16, "alpha": 64},
    "optimiser": {"learning_rate": 0.01},
    "checkpoint": {"every_steps": 1000},
}


def mean_loss(base: BaseFiles, adapter: Path | None) -> float:
    losses = held_out_loss(base, adapter, TRAIN[:3], threads=1)
    return sum(x.nll for x in losses) / sum(x.tokens for x in losses)


def test_a_small_set_is_memorised(tuner: Make, base: BaseFiles, store: ArtifactStore) -> None:
    recorder = Recorder()
    model = tuner().run(TrainingData("d", TRAIN[:3]), recipe_of(**MEMORISE), recorder)
    assert mean_loss(base, None) > 5
    assert mean_loss(base, store.path(model.artifact)) < 0.5
    assert recorder.metrics[-1]["train_accuracy"] > 0.9


@pytest.mark.parametrize("change", [{"lora": {"dropout": 0.1}}, {"lora": {"last_layers": 1}}, {"dtype": "bfloat16"}], ids=str)
def test_loss_falls_in_every_variant(tuner: Make, change: dict[str, object]) -> None:
    recorder = Recorder()
    tuner().run(DATA, recipe_of(epochs=8, **change), recorder)
    losses = [row["train_loss"] for row in recorder.metrics if "valid_loss" not in row]
    assert losses[-1] < 0.8 * losses[0]


def test_the_best_step_is_kept_and_patience_ends_the_run(tuner: Make, base: BaseFiles, store: ArtifactStore) -> None:
    recipe = recipe_of(**MEMORISE, validation={"every_steps": 2, "patience": 3})
    recorder = Recorder()
    model = tuner().run(DATA, recipe, recorder)
    measured = {row["step"]: row["valid_loss"] for row in recorder.metrics if "valid_loss" in row}
    best = min((step for step in measured if step), key=measured.__getitem__)
    assert model.metrics["best_step"] == best
    assert model.metrics["valid_loss"] == measured[best] < measured[0] == model.metrics["base_valid_loss"]
    assert max(measured) == model.metrics["steps"] == best + 3 * 2  # not the 120 steps of the plan
    assert any(message.startswith("Stopped early at step") for _, message, _ in recorder.events)
    losses = TokenLoss(base, store.path(model.artifact), threads=1, dtype="float32").held_out(VALIDATION)
    kept = sum(x.nll for x in losses) / sum(x.tokens for x in losses)
    assert kept == pytest.approx(measured[best], rel=1e-5)


def test_without_validation_examples_the_last_step_is_kept(tuner: Make) -> None:
    model = tuner().run(TrainingData("d", TRAIN), recipe_of(epochs=2), Recorder())
    assert model.metrics["valid_loss"] is None
    assert model.metrics["best_step"] == model.metrics["steps"] == 6


def test_no_improvement_is_said(tuner: Make) -> None:
    recorder = Recorder()
    unlike = dialogue("What is half of four?", "zq " * 20)
    tuner().run(
        replace(DATA, validation=(unlike,)),
        recipe_of(validation={"every_steps": 100}, optimiser={"learning_rate": 0.05}),
        recorder,
    )
    assert any("did not fall below the base model's" in message for _, message, _ in recorder.events)


def test_progress_tells_step_loss_speed_and_time_left(tuner: Make) -> None:
    recorder = Recorder()
    tuner().run(DATA, recipe_of(), recorder)
    steps = [line for line in recorder.lines if "tokens/s" in line]
    assert len(steps) == 12
    assert steps[0].startswith("step 1/12  loss ")
    assert steps[0].endswith(" left")
    row = next(row for row in recorder.metrics if row["step"] == 3 and "valid_loss" in row)
    assert {
        "step",
        "epoch",
        "tokens",
        "tokens_per_s",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_accuracy",
    } <= row.keys()
    assert any(message.startswith("Measured ") for _, message, _ in recorder.events)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tuner: Make, store: ArtifactStore) -> None:
    recipes = recipe_of(epochs=1), recipe_of(epochs=1), recipe_of(epochs=1, seed=1)
    models: list[TunedModel] = [tuner(f"run-{i}").run(DATA, recipe, Recorder()) for i, recipe in enumerate(recipes)]
    weights = [(store.path(m.artifact) / "adapter_model.safetensors").read_bytes() for m in models]
    assert weights[0] == weights[1] != weights[2]


def test_pytorch_is_left_as_it_was(tuner: Make) -> None:
    torch.manual_seed(11)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(11)
    tuner().run(DATA, recipe_of(epochs=1), Recorder())
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_a_diverging_run_ends_with_a_hint(base: BaseFiles) -> None:
    recipe = recipe_of(optimiser={"learning_rate": 0.09})
    with pytest.raises(ConfigError, match=r"learning_rate \(now 0.09, try 0.03\)") as caught:
        trainer.require_finite(math.nan, 7, recipe)
    assert caught.value.code == "loss-diverged"


def test_not_a_number_in_the_weights_stops_training(tuner: Make, base: BaseFiles, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "weights"
    broken.mkdir()
    for file in base.weights.iterdir():
        if file.suffix == ".safetensors":
            weights = load_file(file)
            weights["model.norm.weight"][0] = math.nan
            save_file(weights, broken / file.name, metadata={"format": "pt"})
        else:
            (broken / file.name).write_bytes(file.read_bytes())
    bad = HuggingFaceTuner(replace(base, weights=broken), tmp_path / "work", ArtifactStore(tmp_path / "a"))
    with pytest.raises(ConfigError) as caught:
        bad.run(replace(DATA, validation=()), recipe_of(), Recorder())
    assert caught.value.code == "loss-diverged"
    assert "at step 1" in str(caught.value)


def test_memory_that_runs_out_names_the_setting() -> None:
    with pytest.raises(ConfigError, match="batch_tokens = 512") as caught, memory_errors(512):
        torch.empty(2**60)
    assert caught.value.code == "out-of-memory"
    with pytest.raises(RuntimeError, match="shape"), memory_errors(512):
        torch.empty(3).reshape(2, 2)


def test_the_number_type_follows_the_hardware() -> None:
    machine = hardware()
    with_amx, without = (
        device.choose(recipe_of(dtype="auto", device="cpu"), replace(machine, amx_bf16=amx)) for amx in (True, False)
    )
    assert (with_amx.dtype, without.dtype) == (torch.bfloat16, torch.float32)
    assert device.choose(recipe_of(dtype="float32"), machine).dtype == torch.float32
    assert device.choose(recipe_of(threads=0), replace(machine, cores=7)).threads == 7


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        device.choose(recipe_of(device="cuda"))
    assert caught.value.code == "no-gpu"


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = {
        schedule: [learning_rate(i, 10, Optimiser(learning_rate=0.1, warmup_ratio=0.2, schedule=schedule)) for i in range(10)]
        for schedule in ("linear", "cosine", "constant")
    }
    assert all(found[:3] == pytest.approx([0.05, 0.1, 0.1]) for found in rates.values())
    assert rates["linear"][3:] == pytest.approx([0.1 * (1 - i / 8) for i in range(1, 8)])
    assert rates["cosine"][6] == pytest.approx(0.05)
    assert rates["constant"][9] == 0.1
    assert learning_rate(0, 1, Optimiser(learning_rate=0.1)) == pytest.approx(0.1)


def test_history_has_a_line_for_each_step(tuner: Make, store: ArtifactStore) -> None:
    model = tuner().run(DATA, recipe_of(epochs=2), Recorder())
    lines = (store.path(model.artifact) / "history.csv").read_text().splitlines()
    assert lines[0].split(",")[:3] == ["step", "epoch", "tokens"]
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(7)]
    assert json.dumps(model.metrics)
