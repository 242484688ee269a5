"""A run that was cut anywhere ends in the same bytes as one that was not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from homeroom.errors import ConflictError
from homeroom.schema.jobs import JobCancelled
from homeroom.schema.models import BaseFiles
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from tests.tuning.conftest import DATA, TRAIN, Recorder, recipe_of

Make = Callable[..., HuggingFaceTuner]
# Dropout draws random numbers, so that their state matters too; the last validation is not the best one.
RECIPE = recipe_of(lora={"dropout": 0.1}, optimiser={"learning_rate": 0.03}, checkpoint={"every_steps": 2, "keep": 3})
KILLED = 1_000_000


class Killed(BaseException):
    """Stands for the end of the process: nothing in the run may catch it."""


class KilledAt(Recorder):
    def should_stop(self) -> bool:
        if self.questions + 1 == self._stop_at:
            raise Killed
        return super().should_stop()


def run(tuner: HuggingFaceTuner, store: ArtifactStore) -> tuple[bytes, Recorder]:
    recorder = Recorder()
    model = tuner.run(DATA, RECIPE, recorder)
    return (store.path(model.artifact) / "adapter_model.safetensors").read_bytes(), recorder


@pytest.fixture(scope="module")
def whole(base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Recorder]:
    """The weights of the run that nothing interrupts, and what it told."""
    folder = tmp_path_factory.mktemp("whole")
    store = ArtifactStore(folder / "artifacts")
    return run(HuggingFaceTuner(base, folder / "run", store), store)


def rows(recorder: Recorder) -> dict[int, dict[str, object]]:
    return {row["step"]: {k: v for k, v in row.items() if k not in ("tokens_per_s", "seconds_left")} for row in recorder.metrics}


@pytest.mark.parametrize("question", [2, 7, 12, 17])
def test_cancelled_and_resumed_equals_uninterrupted(
    tuner: Make, store: ArtifactStore, whole: tuple[bytes, Recorder], question: int
) -> None:
    cut = Recorder(stop_at=question)
    with pytest.raises(JobCancelled):
        tuner("cut").run(DATA, RECIPE, cut)
    weights, recorder = run(tuner("cut"), store)
    assert weights == whole[0]
    continued = any(message.startswith("Continuing from the checkpoint at step ") for _, message, _ in recorder.events)
    assert continued == (question > 2)  # the first step was not done yet
    assert rows(cut) | rows(recorder) == rows(whole[1])


def test_cancelling_saves_the_steps_since_the_last_checkpoint(tuner: Make, tmp_path: Path) -> None:
    recipe = recipe_of(checkpoint={"every_steps": 100})
    with pytest.raises(JobCancelled):
        tuner("cut").run(DATA, recipe, Recorder(stop_at=8))
    assert [path.name for path in (tmp_path / "cut/checkpoints").iterdir()] == ["step-000005"]


@pytest.mark.parametrize("question", [6, 11, 16])
def test_killed_and_resumed_equals_uninterrupted(
    tuner: Make, store: ArtifactStore, whole: tuple[bytes, Recorder], question: int
) -> None:
    with pytest.raises(Killed):
        tuner("cut").run(DATA, RECIPE, KilledAt(stop_at=question))
    assert run(tuner("cut"), store)[0] == whole[0]


def tear_file(newest: Path) -> None:
    file = newest / "optimiser.safetensors"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-10])


def tear_manifest(newest: Path) -> None:
    (newest / "manifest.json").unlink()


def tear_bit(newest: Path) -> None:
    file = newest / "adapter.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def tear_state(newest: Path) -> None:
    (newest / "state.json").unlink()


def leave_half(newest: Path) -> None:
    half = newest.with_name(".writing-abc")
    shutil.copytree(newest, half)
    (half / "manifest.json").unlink()
    shutil.rmtree(newest)


@pytest.mark.parametrize("tear", [tear_file, tear_manifest, tear_bit, tear_state, leave_half])
def test_a_torn_newest_checkpoint_is_passed_over(
    tuner: Make, store: ArtifactStore, whole: tuple[bytes, Recorder], tmp_path: Path, tear: Callable[[Path], None]
) -> None:
    with pytest.raises(Killed):
        tuner("cut").run(DATA, RECIPE, KilledAt(stop_at=16))
    saved = sorted((tmp_path / "cut/checkpoints").iterdir())
    tear(saved[-1])
    weights, recorder = run(tuner("cut"), store)
    step = int(saved[-2].name[-6:])
    assert f"Continuing from the checkpoint at step {step} of 12." in [message for _, message, _ in recorder.events]
    assert weights == whole[0]
    left = sorted(path.name for path in (tmp_path / "cut/checkpoints").iterdir())
    assert left == ["step-000008", "step-000010", "step-000012"]


def test_with_every_checkpoint_torn_the_run_starts_anew(
    tuner: Make, store: ArtifactStore, whole: tuple[bytes, Recorder], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        tuner("cut").run(DATA, RECIPE, KilledAt(stop_at=12))
    for path in (tmp_path / "cut/checkpoints").iterdir():
        tear_file(path)
    assert run(tuner("cut"), store)[0] == whole[0]


def test_a_finished_run_is_not_trained_again(tuner: Make, store: ArtifactStore, whole: tuple[bytes, Recorder]) -> None:
    assert run(tuner("again"), store)[0] == whole[0]
    weights, recorder = run(tuner("again"), store)
    assert weights == whole[0]
    assert recorder.metrics == []


def test_the_name_is_given_once(tuner: Make) -> None:
    with pytest.raises(JobCancelled):
        tuner(new_name=lambda base, suffix: f"ft:{base}:homeroom:{suffix}:11111111").run(DATA, RECIPE, Recorder(stop_at=3))
    model = tuner(new_name=lambda base, suffix: f"ft:{base}:homeroom:{suffix}:22222222").run(DATA, RECIPE, Recorder())
    assert model.name == "ft:tiny:homeroom:small:11111111"


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("base", "base: 'abc' when it started"),
        ("recipe", "recipe.epochs: 4 when it started, 5 now"),
        ("data", "examples: "),
        ("dataset", "dataset: 'course-v1' when it started, 'course-v2' now"),
    ],
)
def test_another_run_does_not_continue_this_one(base, store: ArtifactStore, tmp_path: Path, key: str, text: str) -> None:  # type: ignore[no-untyped-def]
    first = HuggingFaceTuner(replace(base, identity="abc") if key == "base" else base, tmp_path / "run", store)
    with pytest.raises(JobCancelled):
        first.run(DATA, RECIPE, Recorder(stop_at=2))
    recipe = RECIPE.model_copy(update={"epochs": 5}) if key == "recipe" else RECIPE
    data = {"data": replace(DATA, train=TRAIN[1:]), "dataset": replace(DATA, dataset="course-v2")}.get(key, DATA)
    with pytest.raises(ConflictError) as caught:
        HuggingFaceTuner(base, tmp_path / "run", store).run(data, recipe, Recorder())
    assert caught.value.code == "resume-mismatch"
    assert text in str(caught.value)


def test_what_decides_nothing_about_the_weights_may_change(tuner: Make) -> None:
    with pytest.raises(JobCancelled):
        tuner().run(DATA, RECIPE, Recorder(stop_at=16))
    changes = {"checkpoint": RECIPE.checkpoint.model_copy(update={"every_steps": 5}), "threads": 2}
    recorder = Recorder()
    model = tuner().run(DATA, RECIPE.model_copy(update={**changes, "suffix": "later"}), recorder)
    assert model.suffix == "later"
    warning = "It was made with cpu, float32, 1 threads, this is cpu, float32, 2 threads"
    assert any(message.startswith(warning) for _, message, _ in recorder.events)
