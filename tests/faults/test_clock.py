"""Somebody sets the clock of a machine that is at work: by a day forward, by two back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app import material
from tests.faults import oracle
from tests.faults.bed import Bed, eventually
from tests.faults.pages import browser, reply_of, say

INJECT = Path(__file__).parent / "inject"
DAY_S = 86_400.0


@pytest.fixture
def clocked(make_bed: Callable[..., Bed], tmp_path: Path) -> Bed:
    """A bed whose processes look at a clock that `set_clock` moves."""
    bed = make_bed(env={"FAULTS_CLOCK": str(tmp_path / "clock")})
    bed._extra["PYTHONPATH"] = f"{INJECT}:{bed.env['PYTHONPATH']}"
    set_clock(bed, 0)
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    return bed


def set_clock(bed: Bed, off_s: float) -> None:
    path = Path(bed.env["FAULTS_CLOCK"])
    path.with_suffix(".new").write_text(str(off_s))
    path.with_suffix(".new").replace(path)


def job_of(bed: Bed, job: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(bed.ok("jobs", "show", job, "--json"))
    return found


@pytest.mark.parametrize("steps", [(DAY_S,), (-DAY_S,), (DAY_S, -DAY_S, 2 * DAY_S)])
def test_a_running_job_is_neither_taken_nor_lost(clocked: Bed, steps: tuple[float, ...]) -> None:
    """It is run once, by the worker that has it; a second worker that looks on takes nothing."""
    bed = clocked
    bed.serve()
    bed.await_ready()
    recipe = bed.recipe({**material.LONG, "seed": 1, "epochs": material.LONG["epochs"] * len(steps)}, "long")
    queued = json.loads(bed.ok("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--no-wait", "--json"))[0]["id"]
    eventually(lambda: list(bed.home.glob("jobs/*/work/checkpoints/step-*")))
    onlooker = bed.popen("worker")
    try:
        with browser(bed) as web:
            for off_s in steps:
                set_clock(bed, off_s)
                assert job_of(bed, queued)["state"] == "running", "it was over before the clock was set"
                assert reply_of(say(web))
                bed.ok("models", "list")  # opens the artifacts: a draft must not look abandoned
        eventually(lambda: job_of(bed, queued)["state"] not in ("queued", "running"))
    finally:
        onlooker.terminate()
        onlooker.communicate(timeout=60)
    job = job_of(bed, queued)
    assert (job["state"], job["attempts"]) == ("succeeded", 1), job
    assert [row["job_id"] for row in oracle.Tables(bed.home)["models"]] == [queued]
    assert bed.end_server() == 0
    assert oracle.whole(bed.home) == [] and oracle.leftovers(bed.home) == []


@pytest.mark.parametrize("off_s", [DAY_S, -DAY_S])
def test_a_dead_worker_is_replaced_whatever_the_clock_says(clocked: Bed, off_s: float) -> None:
    bed = clocked
    recipe = bed.recipe({**material.LONG, "seed": 2}, "long")
    command = ("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--json")
    run = bed.popen(*command)
    eventually(lambda: list(bed.home.glob("jobs/*/work/checkpoints/step-*")))
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    set_clock(bed, off_s)
    done = json.loads(bed.ok(*command))[0]
    assert (done["state"], done["attempts"]) == ("succeeded", 2)


def test_the_newest_stays_the_newest_after_the_clock_was_set_back(clocked: Bed) -> None:
    """Of models with one suffix and of versions with one name, the one that was made last is meant."""
    bed = clocked
    set_clock(bed, DAY_S)
    first = json.loads(bed.ok("models", "import", bed.adapter, "--suffix", "mine", "--json"))["name"]
    path = material.write_jsonl(bed.folder / "mine.jsonl", material.tutor_records())
    bed.ok("data", "split", path)
    set_clock(bed, -DAY_S)
    second = json.loads(bed.ok("models", "import", bed.adapter, "--suffix", "mine", "--json"))["name"]
    material.write_jsonl(path, material.tutor_records()[:-2])
    bed.ok("data", "split", path)
    assert json.loads(bed.ok("models", "show", "mine", "--json"))["name"] == second != first
    recipe = bed.folder / "recipe.json"
    job = json.loads(bed.ok("tune", "run", "--dataset", "mine", "--recipe", recipe, "--no-wait", "--json"))[0]
    versions = {row["id"]: row["version"] for row in oracle.Tables(bed.home)["datasets"] if row["name"] == "mine"}
    assert versions[job["payload"]["dataset"]] == 2
