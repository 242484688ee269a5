"""LoRA on the last layers only: what the layers below compute is kept, read, lost and made again without a trace in the result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from homeroom.models import prepared, tiny
from homeroom.schema.jobs import JobCancelled
from homeroom.schema.models import BaseFiles
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface import frozen
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from tests.tuning.conftest import DATA, Recorder, recipe_of
from tests.tuning.test_resume import Killed, KilledAt

Make = Callable[..., HuggingFaceTuner]
ONE_AT_A_TIME = {"accumulation": {"examples": 1}, "optimiser": {"learning_rate": 0.01}}


def losses(recorder: Recorder) -> list[tuple[int, float | None, float | None]]:
    return [(row["step"], row.get("train_loss"), row.get("valid_loss")) for row in recorder.metrics]


def trained(tuner: HuggingFaceTuner, store: ArtifactStore, recorder: Recorder | None = None, **changes: object) -> bytes:
    model = tuner.run(DATA, recipe_of(lora={"last_layers": 1, **changes.pop("lora", {})}, **changes), recorder or Recorder())  # type: ignore[dict-item]
    return (store.path(model.artifact) / "adapter_model.safetensors").read_bytes()


def files(tmp_path: Path, work: str = "run") -> list[Path]:
    return sorted((tmp_path / work / frozen.FOLDER).glob("*.safetensors"))


def test_with_and_without_the_cache_every_loss_and_weight_is_the_same(tuner: Make, store: ArtifactStore) -> None:
    """Bit for bit where a micro-batch is one example; else rows meet others in later epochs, and may round differently."""
    with_cache, without = Recorder(), Recorder()
    weights = trained(tuner("a"), store, with_cache, **ONE_AT_A_TIME)
    assert weights == trained(tuner("b"), store, without, lora={"cache_frozen": False}, **ONE_AT_A_TIME)
    assert losses(with_cache) == losses(without)
    several, plain = Recorder(), Recorder()
    trained(tuner("c"), store, several)
    trained(tuner("d"), store, plain, lora={"cache_frozen": False})
    for (step, train, valid), other in zip(losses(several), losses(plain), strict=True):
        assert step == other[0]
        assert (train or 0.0) == pytest.approx(other[1] or 0.0, rel=1e-5)
        assert (valid or 0.0) == pytest.approx(other[2] or 0.0, rel=1e-5)


def test_the_lower_layers_are_computed_once_for_each_example(
    tuner: Make, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    compute = frozen.FrozenStates._compute
    monkeypatch.setattr(frozen.FrozenStates, "_compute", lambda self, home: computed.extend(home) or compute(self, home))
    trained(tuner(), store, epochs=3)
    assert sorted(computed) == sorted([*range(len(DATA.train)), *range(len(DATA.validation))])


def test_the_files_hold_the_states_and_go_when_the_run_ends(tuner: Make, store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(JobCancelled):
        trained(tuner(), store, Recorder(stop_at=12))
    kept = files(tmp_path)
    rows = []
    for path in kept:
        with safe_open(path, "pt") as file:
            rows += [tuple(file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118 - not a mapping
            assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F32"}  # noqa: SIM118
    assert len(rows) == len(DATA.train) + len(DATA.validation)
    assert {width for _, width in rows} == {64}
    plan = tuner("other").plan(DATA, recipe_of(lora={"last_layers": 1}))
    assert plan.details["frozen_cache_bytes"] == sum(length * width * 4 for length, width in rows)
    assert plan.disk_bytes > plan.details["frozen_cache_bytes"] > 0
    trained(tuner(), store)
    assert not (tmp_path / "run" / frozen.FOLDER).exists()


def break_nothing(kept: list[Path]) -> None:
    pass


def remove_some(kept: list[Path]) -> None:
    for path in kept[::2]:
        path.unlink()


def remove_all(kept: list[Path]) -> None:
    shutil.rmtree(kept[0].parent)


def tear(kept: list[Path]) -> None:
    for path in kept:
        path.chmod(0o600)
        os.truncate(path, path.stat().st_size - 5)


@pytest.mark.parametrize("harm", [break_nothing, remove_some, remove_all, tear])
def test_a_killed_run_ends_in_the_same_bytes_whatever_became_of_the_files(
    tuner: Make, store: ArtifactStore, tmp_path: Path, harm: Callable[[list[Path]], None]
) -> None:
    whole = trained(tuner("whole"), store)
    with pytest.raises(Killed):
        trained(tuner("cut"), store, KilledAt(stop_at=13))
    kept = files(tmp_path, "cut")
    assert kept
    harm(kept)
    assert trained(tuner("cut"), store) == whole


def test_another_base_or_layer_does_not_read_these_files(tuner: Make, store: ArtifactStore, tmp_path: Path) -> None:
    base = prepared.prepare_folder(tiny.build(tmp_path / "tiny", seed=5), "other", tmp_path / "cache")
    with pytest.raises(JobCancelled):
        trained(tuner("mine"), store, Recorder(stop_at=12))
    shutil.copytree(tmp_path / "mine" / frozen.FOLDER, tmp_path / "theirs" / frozen.FOLDER)
    alone, beside = (trained(HuggingFaceTuner(base, tmp_path / work, store), store) for work in ("alone", "theirs"))
    assert alone == beside


@pytest.mark.slow
@pytest.mark.parametrize("full", ["while writing", "before"])
def test_a_full_disk_costs_time_and_nothing_else(
    tuner: Make, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    whole = trained(tuner("whole"), store)

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    if full == "while writing":
        monkeypatch.setattr(frozen, "write_atomically", refuse)
    else:  # room for the files, and not for the checkpoints after them
        usage = shutil.disk_usage(tmp_path)
        room = 60 * tuner("plan").plan(DATA, recipe_of(lora={"last_layers": 1})).details["lora_parameters"]
        monkeypatch.setattr(frozen.shutil, "disk_usage", lambda path: usage._replace(free=room))
    recorder = Recorder()
    assert trained(tuner("full"), store, recorder) == whole
    told = [message for _, message, _ in recorder.events if "no room to keep" in message]
    assert len(told) == 2  # once for training, once for validation


@pytest.mark.parametrize("changes", [{"epochs": 1}, {"lora": {"cache_frozen": False}}, {"lora": {"last_layers": 2}}], ids=str)
def test_nothing_of_training_is_kept_where_it_would_not_pay(
    tuner: Make, store: ArtifactStore, tmp_path: Path, changes: dict[str, dict[str, object]]
) -> None:
    with pytest.raises(JobCancelled):
        trained(tuner(), store, Recorder(stop_at=4), **changes)
    rows = 0
    for path in files(tmp_path):
        with safe_open(path, "pt") as file:
            rows += len(list(file.keys()))
    assert rows == (len(DATA.validation) if changes == {"epochs": 1} else 0)  # validation is measured twice at least


def test_an_adapter_of_the_last_layers_serves(tuner: Make, store: ArtifactStore, base: BaseFiles) -> None:
    from gguf import GGUFReader

    model = tuner().run(DATA, recipe_of(epochs=1, lora={"last_layers": 1}), Recorder())
    names = {tensor.name for tensor in GGUFReader(store.path(model.artifact) / "adapter.gguf").tensors}
    assert {name.split(".")[1] for name in names} == {"1"}
    assert len(names) == 14
