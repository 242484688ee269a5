"""A disk that is full while a program uploads or a job of the API saves a checkpoint."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import openai
import pytest

from tests.faults import api_oracle, oracle
from tests.faults.bed import Bed, eventually
from tests.faults.disk import SmallDisk
from tests.openai_api.helpers import chat_lines, ended, jsonl, until

KILOBYTE = 1024
FILE = jsonl(chat_lines(12, "Draw both pieces. " * 400))  # about 90 kB: larger than what an upload writes at once
ROOM = (0, 4, 16, 32, 64, 96, 128, 256, 512)


@pytest.fixture
def served(small_disk: SmallDisk, make_bed: Callable[..., Bed]) -> Bed:
    """A running server whose home is on the small disk."""
    bed = make_bed(home=small_disk.folder / "home", env={"HOMEROOM_REQUESTS_PER_MINUTE": "0"})
    bed.serve()
    bed.await_ready()
    return bed


def program(bed: Bed) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{bed.address}/v1", api_key="none", max_retries=0, timeout=60)


def check(bed: Bed) -> None:
    """Nothing is half there."""
    assert oracle.whole(bed.home) == [] and api_oracle.whole(bed.home) == []
    assert list(bed.home.glob("artifacts/tmp/*")) == []


def test_every_room_for_an_upload(served: Bed, small_disk: SmallDisk) -> None:
    api, refused = program(served), 0
    kept = [api.files.create(file=("first.jsonl", FILE), purpose="fine-tune").id]
    for number, room in enumerate(ROOM):
        name = f"n{number}.jsonl"
        small_disk.fill(room * KILOBYTE)
        try:
            kept.append(api.files.create(file=(name, FILE), purpose="fine-tune").id)
        except openai.InternalServerError as error:
            refused += 1
            assert (error.status_code, error.code, error.type) == (507, "no_space", "server_error")
            assert name not in [row["filename"] for row in oracle.Tables(served.home)["files"]]
            assert served.serves() and len(list(api.models.list())) >= 1
            small_disk.empty()
            check(served)
            kept.append(api.files.create(file=(name, FILE), purpose="fine-tune").id)
        small_disk.empty()
        assert api.files.content(kept[-1]).read() == FILE
        check(served)
    assert 0 < refused < len(ROOM)
    assert [file.id for file in api.files.list(order="asc")] == kept
    assert served.end_server() == 0 and oracle.leftovers(served.home) == []


def test_a_checkpoint_of_a_job_of_the_api_without_room(served: Bed, small_disk: SmallDisk) -> None:
    """The job says so, or goes on by itself when there is room; its checkpoints are whole, and the next order is done."""
    bed, api = served, program(served)
    training = api.files.create(file=("train.jsonl", jsonl(chat_lines(12))), purpose="fine-tune").id
    order = {"model": "tiny", "training_file": training, "hyperparameters": {"n_epochs": 30, "batch_size": 1}}
    job = api.fine_tuning.jobs.create(**order)
    until(lambda: api.fine_tuning.jobs.checkpoints.list(job.id).data)
    trainers = [process for process in bed.processes() if "homeroom.app.run_job" in process.command]
    for process in trainers:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGSTOP)
    small_disk.fill()
    for process in trainers:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
    eventually(lambda: api.fine_tuning.jobs.retrieve(job.id).status in ("failed", "succeeded") or _gone(bed))
    small_disk.empty()
    over = ended(api, job.id)
    (row,) = oracle.Tables(bed.home)["jobs"]
    if over.status == "failed":  # there was still room to record why
        assert over.error is not None and over.error.code == "no_space", over
        assert over.fine_tuned_model is None and over.result_files == []
    else:  # there was none: its process died, and the worker went on from the checkpoint when there was
        assert over.status == "succeeded" and row["attempts"] > 1, over
        assert [model["job_id"] for model in oracle.Tables(bed.home)["models"]] == [row["id"]]
    check(bed)
    for point in api.fine_tuning.jobs.checkpoints.list(job.id):
        asked = api.chat.completions.create(
            model=point.fine_tuned_model_checkpoint, messages=[{"role": "user", "content": "Why?"}], max_tokens=4
        )
        assert asked.usage is not None
    again = ended(api, api.fine_tuning.jobs.create(**{**order, "hyperparameters": {"n_epochs": 2, "batch_size": 2}}).id)
    assert (again.status, again.error) == ("succeeded", None)
    check(bed)
    assert bed.end_server() == 0 and oracle.leftovers(bed.home) == []


def _gone(bed: Bed) -> bool:
    """Whether the job's process is gone: with no room left its end may not be recorded before there is some."""
    return not any("homeroom.app.run_job" in process.command for process in bed.processes())
