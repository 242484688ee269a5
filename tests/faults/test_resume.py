"""A run whose processes are killed at random ends in the same bytes as one that nothing disturbs; a torn checkpoint is passed over."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.app import material
from tests.faults import oracle
from tests.faults.bed import Bed, eventually
from tests.faults.killer import role_of

# Dropout draws random numbers, so that their state must come back too. One thread: the same sums in the same order.
RECIPE = {
    **material.LONG,
    "epochs": 3,
    "lora": {"rank": 2, "dropout": 0.1},
    "validation": {"every_steps": 7, "patience": 0, "max_examples": 2},
    "checkpoint": {"every_steps": 3, "keep": 2},
}
COMMAND = ("tune", "run", "--dataset", "base-data", "--json", "--recipe")
WEIGHTS = ("adapter_model.safetensors", "adapter.gguf", "history.csv")


def prepared(bed: Bed) -> tuple[str | Path, ...]:
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    return (*COMMAND, bed.recipe(RECIPE, "long"))


def outcome(bed: Bed) -> dict[str, bytes]:
    """What the one registered model is made of."""
    (row,) = oracle.Tables(bed.home)["models"]
    folder = bed.home / "artifacts" / "model" / row["artifact"]
    return {name: (folder / name).read_bytes() for name in WEIGHTS}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    bed = Bed(tmp_path_factory.mktemp("undisturbed"))
    bed.make()
    bed.ok(*prepared(bed))
    return outcome(bed)


def checkpoints(bed: Bed) -> list[Path]:
    return sorted(bed.home.glob("jobs/*/work/checkpoints/step-*"))


def continued(bed: Bed) -> list[str]:
    return [row["message"] for row in oracle.Tables(bed.home)["job_events"] if row["message"].startswith("Continuing from")]


def kill_jobs(bed: Bed) -> int:
    killed = 0
    for process in bed.processes():
        if role_of(process) == "job":
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    return killed


def await_checkpoint(bed: Bed, run: subprocess.Popen[str]) -> None:
    """Wait for the next checkpoint, or for the end of the command."""
    before = {path.name for path in checkpoints(bed)}
    eventually(lambda: run.poll() is not None or {path.name for path in checkpoints(bed)} - before)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_steps_it_ends_in_the_same_bytes(
    make_bed: Callable[..., Bed], undisturbed: dict[str, bytes], seed: int
) -> None:
    """More deaths than a job has attempts: the same command, given again, goes on with what is there."""
    bed, chance, kills = make_bed(), random.Random(seed), 0
    arguments = prepared(bed)
    while kills < 5:
        run = bed.popen(*arguments)
        while run.poll() is None and kills < 5:
            await_checkpoint(bed, run)
            time.sleep(chance.uniform(0.0, 0.4))
            kills += kill_jobs(bed)
        run.communicate(timeout=120)
    if run.returncode != 0:
        bed.ok(*arguments)
    assert outcome(bed) == undisturbed
    assert len(continued(bed)) >= 3
    assert len(oracle.Tables(bed.home)["jobs"]) == 1


def stopped_half_way(bed: Bed, arguments: tuple[str | Path, ...], steps: int) -> list[Path]:
    """Kill the whole command once there are two checkpoints, the newest of at least ``steps``."""
    run = bed.popen(*arguments)
    try:
        eventually(lambda: len(found := checkpoints(bed)) >= 2 and int(found[-1].name[-6:]) >= steps)
    finally:
        run.kill()
        run.communicate()
    eventually(lambda: not bed.processes(), 10)
    return checkpoints(bed)


def test_the_command_itself_killed_goes_on_where_it_was(make_bed: Callable[..., Bed], undisturbed: dict[str, bytes]) -> None:
    bed = make_bed()
    arguments = prepared(bed)
    stopped_half_way(bed, arguments, 9)
    bed.ok(*arguments)
    assert outcome(bed) == undisturbed
    assert len(continued(bed)) == 1


def torn(newest: Path, how: str, chance: random.Random) -> None:
    """Damage one checkpoint as a crash of the file system or of the disk would."""
    file = newest / chance.choice(
        ["adapter.safetensors", "optimiser.safetensors", "rng.safetensors", "state.json", "manifest.json"]
    )
    data = bytearray(file.read_bytes())
    if how == "missing":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[: chance.randrange(len(data))])
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)


@pytest.mark.parametrize("how", ["missing", "cut", "flipped"])
def test_a_torn_newest_checkpoint_is_passed_over(
    make_bed: Callable[..., Bed], undisturbed: dict[str, bytes], tmp_path: Path, how: str
) -> None:
    bed = make_bed()
    arguments = prepared(bed)
    saved = stopped_half_way(bed, arguments, 6)
    torn(saved[-1], how, random.Random(how))
    bed.ok(*arguments)
    assert continued(bed)[0].startswith(f"Continuing from the checkpoint at step {int(saved[-2].name[-6:])} ")
    assert outcome(bed) == undisturbed


def test_every_cut_and_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """The newest checkpoint at each length and with a bit flipped in each byte: the one before it is taken."""
    import torch

    from homeroom.tuning.huggingface import checkpoint

    def tensors(value: float) -> dict[str, dict[str, torch.Tensor]]:
        return {name: {"w": torch.full((2, 2), value)} for name in ("adapter", "optimiser", "rng")}

    checkpoint.save(tmp_path, 1, {"step": 1}, tensors(1.0), keep=2)
    newest = checkpoint.save(tmp_path, 2, {"step": 2}, tensors(2.0), keep=2)
    whole = tmp_path / "whole"
    shutil.copytree(newest, whole)
    tried = 0
    for file in sorted(newest.iterdir()):
        data = file.read_bytes()
        variants = [data[:n] for n in range(len(data))]
        variants += [data[:n] + bytes([data[n] ^ (1 << n % 8)]) + data[n + 1 :] for n in range(len(data))]
        for variant in variants:
            file.write_bytes(variant)
            found = checkpoint.newest_whole(tmp_path)
            assert found is not None and found.state == {"step": 1}, (file.name, len(variant))
            assert found.tensors["adapter"]["w"][0, 0] == 1.0
            tried += 1
        file.unlink()
        found = checkpoint.newest_whole(tmp_path)
        assert found is not None and found.state == {"step": 1}, file.name
        file.write_bytes(data)
    found = checkpoint.newest_whole(tmp_path)
    assert found is not None and found.state == {"step": 2}
    assert tried > 1000
    assert json.loads((whole / "manifest.json").read_text()).keys() == {path.name for path in whole.iterdir()} - {"manifest.json"}
