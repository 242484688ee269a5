"""A disk that is full at any write: a clear error, nothing half there, and all goes on when there is room again."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from homeroom.models import tiny
from tests.app import material
from tests.faults import oracle
from tests.faults.bed import Bed, did_its_work, eventually
from tests.faults.disk import SmallDisk
from tests.faults.pages import browser, reply_of, say

KILOBYTE = 1024
# Room that is left: none, and then enough for one write more and more of what a command does.
ROOM = [0, 4, 16, 48, 96, 160, 256, 512]
TUNING_ROOM = [0, 64, 200, 400, 700, 1100, 1600, 2400]


def refused(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The error of a command that found no room: one JSON object, exit status 2, no traceback."""
    assert ended.returncode == 2, (ended.returncode, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stdout + ended.stderr
    error: dict[str, Any] = json.loads(ended.stdout)["error"]
    assert error["code"] == "no-space", error
    assert "space" in error["message"] and error["help"].endswith("#no-space")
    return error


def check(bed: Bed, *, to_go_on: bool = False) -> None:
    """Nothing is half there. A job that is ``to_go_on`` may have been stopped, and then its mark is there until it does."""
    allowed = ("checkpoints", "run/workers", *(["running.lock"] if to_go_on else []))
    assert oracle.whole(bed.home) == []
    assert [left for left in oracle.leftovers(bed.home) if not any(part in left for part in allowed)] == []


@pytest.fixture
def full_bed(small_disk: SmallDisk, make_bed: Callable[..., Bed]) -> Bed:
    """A bed whose home lies on the small disk; the model cache and all else lie elsewhere."""
    return make_bed(home=small_disk.folder / "home")


def test_every_room_for_a_new_home(full_bed: Bed, small_disk: SmallDisk) -> None:
    """The first command of all, which makes the home and its tables."""
    seen = set()
    for room in ROOM:
        small_disk.fill(room * KILOBYTE)
        ended = full_bed.run("data", "versions", "--json")
        if ended.returncode != 0:
            seen.add(refused(ended)["code"])
        small_disk.empty()
        full_bed.ok("data", "versions")
        check(full_bed)
        for path in sorted(full_bed.home.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        full_bed.home.rmdir()
    assert seen == {"no-space"}


@pytest.mark.parametrize("what", [pytest.param("dataset", marks=pytest.mark.sample), "import"])
def test_every_room_for_a_command(full_bed: Bed, small_disk: SmallDisk, what: str) -> None:
    bed, outcomes = full_bed, []
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    for number, room in enumerate(ROOM):
        name = f"n{number}"
        path = material.write_jsonl(bed.folder / f"{name}.jsonl", [*material.tutor_records(), *material.learner_records()])
        command = (
            ("data", "split", path, "--json")
            if what == "dataset"
            else ("models", "import", bed.adapter, "--suffix", name, "--json")
        )
        small_disk.fill(room * KILOBYTE)
        ended = bed.run(*command)
        outcomes.append(ended.returncode)
        small_disk.empty()
        if ended.returncode != 0:
            refused(ended)
            check(bed)
            rows = oracle.Tables(bed.home)
            assert name not in {row["name"] for row in rows["datasets"]} | {row["suffix"] for row in rows["models"]}
            bed.ok(*command)
        check(bed)
        rows = oracle.Tables(bed.home)
        assert name in [row["name"] for row in rows["datasets"]] + [row["suffix"] for row in rows["models"]]
    assert outcomes[0] == 2 and outcomes[-1] == 0


def test_every_room_for_a_tuning_run(full_bed: Bed, small_disk: SmallDisk) -> None:
    """Submitting, checkpoints, the artifact, the registration: it stops wherever the room ends, and the same command goes on."""
    bed, outcomes = full_bed, []
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    for number, room in enumerate(TUNING_ROOM):
        recipe = bed.recipe({**material.QUICK, "seed": number}, f"seed-{number}")
        command = ("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--json")
        small_disk.fill(room * KILOBYTE)
        ended = bed.run(*command)
        outcomes.append(ended.returncode)
        small_disk.empty()
        if ended.returncode != 0:
            refused(ended)
            check(bed, to_go_on=True)
            done = json.loads(bed.ok(*command))
        else:
            done = json.loads(ended.stdout)
        check(bed)
        made = [row["name"] for row in oracle.Tables(bed.home)["models"] if row["job_id"] == done[0]["id"]]
        assert made == [done[0]["result"]["model"]]
    assert outcomes[0] == 2 and outcomes[-1] == 0
    assert len(oracle.Tables(bed.home)["jobs"]) == len(TUNING_ROOM)


def test_every_room_for_an_evaluation(full_bed: Bed, small_disk: SmallDisk) -> None:
    bed, outcomes = full_bed, []
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    bed.ok("tune", "run", "--dataset", "base-data", "--recipe", bed.folder / "recipe.json")
    for room in (0, 32, 128, 512):
        command = ("eval", "run", "--items", "2", "--max-tokens", str(8 + room % 7), "--json")
        small_disk.fill(room * KILOBYTE)
        ended = bed.run(*command)
        outcomes.append(did_its_work(ended))
        small_disk.empty()
        if not did_its_work(ended):
            refused(ended)
            check(bed, to_go_on=True)
            assert did_its_work(bed.run(*command))
        check(bed)
    assert outcomes[0] is False and outcomes[-1] is True
    judged = [job for job in oracle.Tables(bed.home)["jobs"] if job["kind"] == "evaluate"]
    assert len(oracle.Tables(bed.home)["scorecards"]) == len(judged) == len(outcomes)


def test_a_checkpoint_without_room_keeps_the_ones_before(full_bed: Bed, small_disk: SmallDisk) -> None:
    """The disk fills up while it trains; what was saved is where it goes on."""
    bed = full_bed
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    recipe = bed.recipe({**material.LONG, "checkpoint": {"every_steps": 1, "keep": 2}}, "long")
    command = ("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--json")
    run = bed.popen(*command)
    eventually(lambda: len(list(bed.home.glob("jobs/*/work/checkpoints/step-*"))) >= 2)
    run.send_signal(signal.SIGSTOP)
    small_disk.fill()
    run.send_signal(signal.SIGCONT)
    out, err = run.communicate(timeout=120)
    small_disk.empty()
    refused(subprocess.CompletedProcess(run.args, run.returncode, out, err))
    check(bed, to_go_on=True)
    saved = sorted(bed.home.glob("jobs/*/work/checkpoints/step-*"))
    assert saved
    bed.ok(*command)
    said = [row["message"] for row in oracle.Tables(bed.home)["job_events"]]
    assert any(message.startswith(f"Continuing from the checkpoint at step {int(saved[-1].name[-6:])} ") for message in said)


@pytest.fixture
def served(full_bed: Bed, small_disk: SmallDisk) -> Bed:
    """A running server whose home is on the small disk."""
    full_bed.ok("data", "split", full_bed.folder / "base-data.jsonl")
    full_bed.serve()
    full_bed.await_ready()
    return full_bed


def test_the_server_says_507_and_goes_on(served: Bed, small_disk: SmallDisk) -> None:
    with browser(served) as web:
        reply = reply_of(say(web))
        small_disk.fill()
        # What fits into the pages that the database has already may still be stored: write until there is no room.
        for number in range(200):
            answer = say(web, f"Half of 14 is 8. {number} " + "x" * 4000)
            if answer.status_code != 200:
                break
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "no-space")
        assert "Traceback" not in answer.text
        thumb = web.post(f"/turns/{reply}/feedback", data={"thumb": "up", "better_answer": "y" * 15_000, "consent": "granted"})
        assert (thumb.status_code, thumb.json()["error"]["code"]) == (507, "no-space")
        assert web.get("/health").status_code == 200
        assert web.get("/chat").status_code == 200
        asked = {"model": "tiny", "messages": [{"role": "user", "content": "Half?"}], "max_tokens": 4}
        assert web.post("/v1/chat/completions", json=asked).status_code == 200  # it stores nothing
        small_disk.empty()
        assert reply_of(say(web, "Half of 16 is 8."))
        assert web.post(f"/turns/{reply}/thumb", data={"thumb": "up"}).status_code == 200
    assert served.serves()
    check_turns(served)


def check_turns(bed: Bed) -> None:
    """Every conversation that is listed has its first message; the database is whole."""
    assert oracle.whole(bed.home) == []
    with closing(sqlite3.connect(bed.home / "homeroom.db")) as database:
        orphans = database.execute("SELECT count(*) FROM turns WHERE conversation_id NOT IN (SELECT id FROM conversations)")
        assert orphans.fetchone() == (0,)


def test_every_part_of_a_server_outlives_a_full_disk(served: Bed, small_disk: SmallDisk) -> None:
    """Engine, worker and web process die while the disk is full; all are back, and a waiting job is run, when there is room."""
    bed = served
    recipe = bed.recipe({**material.QUICK, "seed": 5}, "later")
    queued = json.loads(bed.ok("tune", "run", "--dataset", "base-data", "--recipe", recipe, "--no-wait", "--json"))
    small_disk.fill()
    for part in ("engine_child", "homeroom.server", "run_worker"):
        for process in bed.processes():
            if part in process.command:
                process.kill()
    time.sleep(3.0)
    assert bed.serves(), (bed.folder / "serve.log").read_text()
    small_disk.empty()
    bed.await_ready()
    eventually(lambda: json.loads(bed.ok("jobs", "show", queued[0]["id"], "--json"))["state"] not in ("queued", "running"))
    state = json.loads(bed.ok("jobs", "show", queued[0]["id"], "--json"))
    if state["state"] != "succeeded":
        assert state["error_code"] == "no-space", state
        bed.ok("tune", "run", "--dataset", "base-data", "--recipe", recipe)
    assert httpx.get(f"{bed.address}/ready", timeout=10).status_code == 200
    assert oracle.whole(bed.home) == []


def test_a_server_that_finds_no_room_at_its_start_says_so(full_bed: Bed, small_disk: SmallDisk) -> None:
    small_disk.fill()
    refused(full_bed.run("serve", "--port", "0", "--json"))
    small_disk.empty()
    full_bed.serve()
    full_bed.await_ready()
    assert full_bed.end_server() == 0


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """A model hub on loopback that holds the tiny model as ``test/tiny``."""
    folder, commit = tiny.build(tmp_path / "published"), "c" * 40
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    listed = [
        {"rfilename": name, "size": len(data), "lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
        for name, data in files.items()
    ]
    answers = {f"/test/tiny/resolve/{commit}/{name}": data for name, data in files.items()}
    answers["/api/models/test/tiny/revision/main"] = json.dumps({"sha": commit, "siblings": listed}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path.partition("?")[0])
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_room_for_a_download(small_disk: SmallDisk, make_bed: Callable[..., Bed], hub: str) -> None:
    """`models pull` with the cache on the small disk: fetched, unpacked, prepared, or refused; then the same command goes on."""
    cache = small_disk.folder / "cache"
    bed, outcomes = make_bed(), []
    env = {"HOMEROOM_CACHE": str(cache), "HF_ENDPOINT": hub}
    for room in (0, 8, 64, 200, 400, 700, 1000, 1500, 4000):
        small_disk.fill(room * KILOBYTE)
        ended = bed.run("models", "pull", "test/tiny", "--json", env=env)
        outcomes.append(ended.returncode)
        small_disk.empty()
        if ended.returncode != 0:
            refused(ended)
            assert not list(cache.glob("**/.making-*"))
            bed.ok("models", "pull", "test/tiny", env=env)
        (base,) = (cache / "bases").iterdir()
        sizes = json.loads((base / "base.json").read_text())["files"]
        assert {name: (base / name).stat().st_size for name in sizes} == sizes
        subprocess.run(["chmod", "-R", "u+w", str(cache)], check=True)
        shutil.rmtree(cache)
    assert outcomes[0] == 2 and outcomes[-1] == 0
