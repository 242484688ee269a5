"""Several that want the same: a foreign process on the database, two servers on a home, two workers for a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app import material
from tests.faults import oracle
from tests.faults.bed import Bed, eventually
from tests.faults.pages import browser, reply_of, say
from tests.faults.tether import tethered

LOCKER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(bed: Bed) -> Iterator[None]:
    """A program of somebody else's holds the database's write lock."""
    other = subprocess.Popen(
        tethered(sys.executable, "-c", LOCKER, bed.home / "homeroom.db"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        yield
    finally:
        other.kill()
        other.communicate()


@pytest.mark.sample
def test_a_command_says_that_the_database_is_locked(bed: Bed) -> None:
    path = material.write_jsonl(bed.folder / "more.jsonl", material.tutor_records())
    with locked(bed):
        assert "base-data" in bed.ok("data", "versions")  # reading goes on
        ended = bed.run("data", "split", path)
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: ") and "#database-locked]" in lines[0]
    bed.ok("data", "split", path)
    assert oracle.whole(bed.home) == [] and oracle.leftovers(bed.home) == []


def test_the_server_says_503_with_retry_after_and_goes_on(bed: Bed) -> None:
    bed.serve()
    bed.await_ready()
    with browser(bed) as web:
        reply = reply_of(say(web))
        with locked(bed):
            for answer in (say(web), web.post(f"/turns/{reply}/thumb", data={"thumb": "up"})):
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database-locked")
                assert int(answer.headers["Retry-After"]) >= 1
            assert web.get("/health").status_code == 200
            assert web.get("/chat").status_code == 200
        assert reply_of(say(web))
        assert web.post(f"/turns/{reply}/thumb", data={"thumb": "up"}).status_code == 200
    assert bed.end_server() == 0


def test_a_job_outlives_a_locked_database(bed: Bed) -> None:
    """Longer than its lease: nobody may take it for dead who could not have asked."""
    recipe = bed.recipe({**material.LONG, "seed": 3}, "long")
    bed.serve()
    bed.await_ready()
    queued = json.loads(bed.ok("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--no-wait", "--json"))
    eventually(lambda: list(bed.home.glob("jobs/*/work/checkpoints/step-*")))
    with locked(bed):
        assert {row["state"] for row in oracle.Tables(bed.home)["jobs"]} == {"running"}, "it was over before the lock"
        assert (
            bed.run("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--no-wait").returncode == 2
        )  # takes ten seconds
    eventually(lambda: json.loads(bed.ok("jobs", "show", queued[0]["id"], "--json"))["state"] not in ("queued", "running"))
    job = json.loads(bed.ok("jobs", "show", queued[0]["id"], "--json"))
    assert job["state"] == "succeeded", job
    assert [row["job_id"] for row in oracle.Tables(bed.home)["models"]] == [queued[0]["id"]]
    assert bed.end_server() == 0


def test_of_servers_that_start_at_once_one_serves_and_the_others_name_it(bed: Bed) -> None:
    for _ in range(3):
        starting = [bed.popen("serve", "--port", "0", "--json") for _ in range(3)]
        eventually(lambda: [one.poll() for one in starting].count(2) == 2, what="two of three did not end")  # noqa: B023
        (winner,) = (one for one in starting if one.poll() is None)
        assert winner.stdout is not None
        address = json.loads("".join(iter(winner.stdout.readline, "}\n")) + "}")["address"]
        try:
            assert httpx.get(f"{address}/health", trust_env=False).status_code == 200
            for loser in starting:
                if loser is not winner:
                    out, err = loser.communicate()
                    error = json.loads(out)["error"]
                    assert error["code"] == "home-locked" and err == ""
                    assert f"process {winner.pid} at http://127.0.0.1:" in error["message"]
            late = bed.run("serve", "--port", "0")
            assert late.returncode == 2 and f"process {winner.pid} at {address}" in late.stderr
        finally:
            winner.terminate()
            winner.communicate()
        assert winner.returncode == 0 and bed.processes() == []


@pytest.mark.sample
@pytest.mark.parametrize("workers", [3])
def test_workers_that_race_run_each_job_once(bed: Bed, workers: int) -> None:
    recipes = [bed.recipe({**material.QUICK, "seed": seed, "epochs": 1}, f"seed-{seed}") for seed in range(4)]
    racing = [bed.popen("worker") for _ in range(workers)]
    try:
        eventually(lambda: len(list((bed.home / "run" / "workers").glob("*"))) >= workers, what="not all workers are there")
        submit = ("tune", "run", "--dataset", "base-data", "--no-wait", "--json", "--recipe")
        ids = [json.loads(bed.ok(*submit, recipe))[0]["id"] for recipe in recipes]
        eventually(lambda: {row["state"] for row in oracle.Tables(bed.home)["jobs"]} == {"succeeded"})
    finally:
        for worker in racing:
            worker.terminate()
            worker.communicate(timeout=60)
    rows = oracle.Tables(bed.home)
    assert Counter(row["attempts"] for row in rows["jobs"]) == {1: 4}
    assert Counter(row["job_id"] for row in rows["models"]) == dict.fromkeys(ids, 1)
    assert oracle.leftovers(bed.home) == [] and bed.processes() == []


def test_the_same_command_given_twice_at_once_does_its_work_once(bed: Bed, make_bed: Callable[..., Bed]) -> None:
    path = material.write_jsonl(bed.folder / "more.jsonl", material.tutor_records())
    made = [bed.popen("data", "split", path, "--json") for _ in range(3)]
    outcomes = [one.communicate(timeout=120) for one in made]
    assert [one.returncode for one in made] == [0, 0, 0], outcomes
    assert len({json.loads(out)["id"] for out, _ in outcomes}) == 1
    tuned = [bed.popen("tune", "run", "--dataset", "more", "--recipe", bed.folder / "recipe.json", "--json") for _ in range(2)]
    outcomes = [one.communicate(timeout=200) for one in tuned]
    assert [one.returncode for one in tuned] == [0, 0], outcomes
    assert len({json.loads(out)[0]["result"]["model"] for out, _ in outcomes}) == 1
    rows = oracle.Tables(bed.home)
    assert (len(rows["jobs"]), len(rows["models"])) == (1, 1)
    assert sorted(row["version"] for row in rows["datasets"] if row["name"] == "more") == [1]


def test_a_job_that_nobody_can_finish_is_cancelled_by_whoever_looks_next(bed: Bed, tmp_path: Path) -> None:
    """Cancelled after its worker was killed: the next worker ends it instead of running it."""
    recipe = bed.recipe({**material.LONG, "seed": 9}, "long")
    run = bed.popen("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--json")
    eventually(lambda: list(bed.home.glob("jobs/*/work/checkpoints/step-*")))
    os.kill(run.pid, 9)
    run.communicate()
    (job,) = (row["id"] for row in oracle.Tables(bed.home)["jobs"])
    bed.ok("jobs", "cancel", job)
    worker = bed.popen("worker")
    try:
        eventually(lambda: json.loads(bed.ok("jobs", "show", job, "--json"))["state"] == "cancelled")
    finally:
        worker.terminate()
        worker.communicate(timeout=60)
    assert oracle.Tables(bed.home)["models"] == []
