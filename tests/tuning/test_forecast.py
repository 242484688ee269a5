"""Forecasts: what a calibration says of a run, how runs that were made move it, and what does not fit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homeroom.errors import StorageError
from homeroom.runtime.hardware import hardware
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.forecast import (
    FACTORS,
    START_S,
    BatchShape,
    Calibration,
    Pass,
    Past,
    Work,
    accuracy,
    corrected,
    next_quantile,
    quantile,
    train_seconds,
)
from homeroom.tuning.huggingface.needs import Shape, advice, memory_bytes
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from tests.tuning.conftest import DATA, Recorder, recipe_of

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

Make = Callable[..., HuggingFaceTuner]
FOUND = Calibration(Pass(1e-3, 1e-6, 0.01), Pass(4e-4, 5e-7, 0.005), 1e-4, 5e-5, 0.02, 1e-9, 16, 1e11, 0.02, {})
ONE = BatchShape(100, 10_000, 30)
WORK = Work([ONE], [ONE], [], checks=2, steps=1, adapted=3, frozen=2, lora_parameters=1_000_000)


def test_a_micro_batch_is_counted_as_it_is_computed() -> None:
    assert BatchShape.of([3, 5], 4, packed=False) == BatchShape(10, 50, 4)
    assert BatchShape.of([3, 5], 4, packed=True) == BatchShape(8, 34, 4)


def test_the_seconds_are_those_of_the_parts() -> None:
    layer, forward = 0.1 + 0.01 + 0.01, 0.04 + 0.005 + 0.005
    expected = 3 * layer + 2 * forward + 30 * 1e-4 + 0.02 + 1_000_000 * 1e-9
    assert train_seconds(FOUND, WORK, 1e11) == pytest.approx(expected)
    assert train_seconds(FOUND, replace(WORK, layer_share=2.0), 1e11) == pytest.approx(expected + 3 * layer)
    checked = 5 * forward + 30 * 5e-5 + 0.02
    assert train_seconds(FOUND, replace(WORK, validation=[ONE]), 1e11) == pytest.approx(expected + 2 * checked)


def test_a_machine_that_is_busier_now_takes_longer() -> None:
    quiet = train_seconds(FOUND, WORK, 1e11)
    assert train_seconds(FOUND, WORK, 5e10) == pytest.approx(2 * quiet)
    assert train_seconds(FOUND, WORK, 1e3) == pytest.approx(8 * quiet), "a probe that stalled does not make it endless"


def test_without_a_record_the_interval_is_wide() -> None:
    assert corrected(100.0, []) == pytest.approx((100 + START_S, (100 + START_S) * FACTORS[0], (100 + START_S) * FACTORS[1]))


def test_runs_that_were_made_move_the_forecast_and_set_the_interval() -> None:
    past = [Past(100.0, seconds, overhead_s=4.0) for seconds in (140, 150, 160)]
    assert corrected(100.0, past[:2])[0] == pytest.approx(104), "two runs tell little"
    assert corrected(100.0, past)[0] == pytest.approx(154)
    some = [Past(100.0, s, overhead_s=4.0) for s in (148, 149, 150, 151, 152, 148, 149, 151)]
    expected, *interval = corrected(100.0, some)
    assert interval == pytest.approx([expected * factor for factor in FACTORS]), "eight do not tell four of five"
    steady = [*some, Past(100.0, 150, overhead_s=4.0)]
    expected, low, high = corrected(100.0, steady)
    assert expected == pytest.approx(154)
    assert low == pytest.approx(154 * 0.95) and high == pytest.approx(154 * 1.05), "never narrower than that"
    wild = [Past(100.0, s, overhead_s=4.0) for s in (50, 90, 100, 120, 150, 170, 200, 300, 400)]
    _, low, high = corrected(100.0, wild)
    assert (low, high) == pytest.approx((154 * 50 / 150, 154 * 400 / 150)), "of nine the lowest and the highest"


@pytest.mark.parametrize("count", [9, 12, 19])
def test_four_of_five_next_runs_lie_in_the_interval_of_those_before(count: int) -> None:
    drawn, inside, times = random.Random(count), 0, 4000
    for _ in range(times):
        before = sorted(drawn.lognormvariate(0, 0.5) for _ in range(count))
        inside += next_quantile(before, 0.1) <= drawn.lognormvariate(0, 0.5) <= next_quantile(before, 0.9)
    assert inside / times == pytest.approx(0.8, abs=0.03)


def test_runs_of_another_machine_say_nothing_of_this_one(tuner: Make, tmp_path: Path) -> None:
    folder = tmp_path / "calibration"
    fresh = tuner(calibrations=folder).plan(DATA, recipe_of())
    here, raw = fresh.details["machine"], fresh.details["train_raw_s"]

    def record(machine: str) -> list[Past]:
        return [Past(raw, 50 * raw, 1000, 9000, overhead_s=1.0, machine=machine) for _ in range(9)]

    elsewhere = tuner(calibrations=folder, record=record("another")).plan(DATA, recipe_of())
    assert elsewhere.details["runs_before"] == 0
    assert elsewhere.memory_bytes == fresh.memory_bytes and elsewhere.time_s < 8 + 9 * raw
    same = tuner(calibrations=folder, record=[*record("another"), *record(here)]).plan(DATA, recipe_of())
    assert same.details["runs_before"] == 9
    assert same.memory_bytes == pytest.approx(9 * fresh.memory_bytes, rel=0.01) and same.time_s > 5 * raw


def test_accuracy_counts_errors_and_intervals() -> None:
    assert accuracy([]) is None
    found = accuracy([Past(90, 100, 110, 100, 80, 110), Past(150, 100, 100, 100, 120, 200), Past(100, 100, low_s=90, high_s=120)])
    assert found is not None
    assert (found.runs, found.median_error) == (3, pytest.approx(0.1))
    assert found.p90_error == pytest.approx(0.42)
    assert found.inside == pytest.approx(2 / 3)
    assert found.memory_median_error == pytest.approx(0.05)
    assert quantile([1.0, 2.0, 3.0], 0.75) == 2.5


def test_a_calibration_is_read_back_and_anything_else_is_not() -> None:
    assert Calibration.from_dict(FOUND.to_dict()) == FOUND
    for broken in ({}, {**FOUND.to_dict(), "format": 0}, {**FOUND.to_dict(), "train": [1]}, {**FOUND.to_dict(), "label": "x"}):
        assert Calibration.from_dict(broken) is None


def test_the_machine_is_measured_once(tuner: Make, tmp_path: Path) -> None:
    folder = tmp_path / "calibration"
    first = tuner(calibrations=folder).plan(DATA, recipe_of())
    (file,) = folder.iterdir()
    made = file.stat().st_mtime_ns
    again = tuner(calibrations=folder).plan(DATA, recipe_of(epochs=2, lora={"rank": 4, "last_layers": 1}))
    assert file.stat().st_mtime_ns == made and len(list(folder.iterdir())) == 1
    assert 0 < first.time_low_s < first.time_s < first.time_high_s
    assert again.details["machine"] == first.details["machine"]
    file.write_text("{}")
    tuner(calibrations=folder).plan(DATA, recipe_of())
    assert len(file.read_text()) > 100, "what cannot be read is measured anew"


def test_measuring_changes_nothing_of_the_run(tuner: Make, tmp_path: Path) -> None:
    plain = tuner("a").run(DATA, recipe_of(epochs=1, lora={"dropout": 0.2}), Recorder())
    measured = tuner("b", calibrations=tmp_path / "calibration").run(DATA, recipe_of(epochs=1, lora={"dropout": 0.2}), Recorder())
    assert measured.metrics["valid_loss"] == plain.metrics["valid_loss"]
    assert "forecast" not in plain.metrics
    forecast = measured.metrics["forecast"]
    assert forecast["time_low_s"] < forecast["time_s"] < forecast["time_high_s"]
    assert forecast["trained_tokens"] == measured.metrics["tokens"]


def test_twice_the_work_takes_longer_in_the_forecast(tuner: Make, tmp_path: Path) -> None:
    folder = tmp_path / "calibration"
    raw = [tuner(calibrations=folder).plan(DATA, recipe_of(epochs=e)).details["train_raw_s"] for e in (2, 40)]
    assert raw[1] > 3 * raw[0]


def test_a_run_that_the_disk_has_no_room_for_is_not_begun(tuner: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    plan = tuner().plan(DATA, recipe_of())
    assert not plan.fits
    assert any("0.2 MB are free: it will not start" in warning for warning in plan.warnings)
    with pytest.raises(StorageError, match=r"homeroom jobs prune.*checkpoint\.keep") as caught:
        tuner().run(DATA, recipe_of(), Recorder())
    assert caught.value.code == "no-space"
    assert not (tmp_path / "run").exists()


LARGE = Shape(
    parameters=1_500_000_000,
    embedding=230_000_000,
    layers=28,
    hidden=1536,
    intermediate=8960,
    kv_width=256,
    vocabulary=151_936,
    heads=12,
)
CPU = Compute(torch.device("cpu"), torch.float32, 2)


def test_what_would_make_it_fit_is_said_and_does() -> None:
    recipe = recipe_of(data={"max_sequence_tokens": 512}, batch_tokens=4096)
    machine = replace(hardware(), memory_bytes=13_000_000_000)
    assert memory_bytes(LARGE, recipe, CPU) > machine.memory_bytes
    found = advice(LARGE, recipe, CPU, machine)
    kept_too = next(line for line in found if line.startswith("gradient_checkpointing: true"))
    assert memory_bytes(LARGE, recipe.model_copy(update={"gradient_checkpointing": True}), CPU) <= machine.memory_bytes, kept_too
    smaller = next(line for line in found if line.startswith("batch_tokens: "))
    batch = int(smaller.split()[1])
    assert memory_bytes(LARGE, recipe.model_copy(update={"batch_tokens": batch}), CPU) <= machine.memory_bytes
    assert memory_bytes(LARGE, recipe.model_copy(update={"batch_tokens": 2 * batch}), CPU) > machine.memory_bytes
    assert found[-1].startswith("a smaller base")


def test_where_nothing_helps_only_a_smaller_base_is_advised() -> None:
    found = advice(LARGE, recipe_of(), CPU, replace(hardware(), memory_bytes=2_000_000_000))
    assert len(found) == 1 and "homeroom models list --bases" in found[0]


def test_a_plan_that_fits_advises_nothing(tuner: Make, base: BaseFiles) -> None:
    plan: Any = tuner().plan(DATA, recipe_of())
    assert plan.fits and plan.advice == () and plan.memory_high_bytes > plan.memory_bytes
