"""Things that happen to a job of the API at the same time: a cancel and its success, and workers that want it."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import openai

from tests.faults import api_oracle, oracle
from tests.faults.bed import Bed, eventually
from tests.openai_api.helpers import chat_lines, ended, jsonl

ORDERS = 6
SHORT = {"n_epochs": 1, "batch_size": 12}
OVER = ("succeeded", "failed", "cancelled")


def program(bed: Bed) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{bed.address}/v1", api_key="none", max_retries=0, timeout=60)


def uploaded(api: openai.OpenAI) -> str:
    return api.files.create(file=("train.jsonl", jsonl(chat_lines(12))), purpose="fine-tune").id


def served(bed: Bed) -> openai.OpenAI:
    bed.serve()
    bed.await_ready()
    return program(bed)


def test_a_cancel_that_races_success_ends_in_one_of_the_two(bed: Bed) -> None:
    """Cancelled at moments around the end, from two threads: a model or none, and never both."""
    api, chance = served(bed), random.Random(5)
    training = uploaded(api)
    usual = time.monotonic()
    first = ended(api, api.fine_tuning.jobs.create(model="tiny", training_file=training, hyperparameters=SHORT).id)  # type: ignore[arg-type]
    usual = time.monotonic() - usual
    assert first.status == "succeeded"
    said: dict[str, list[str]] = {}
    for _ in range(ORDERS):
        job = api.fine_tuning.jobs.create(model="tiny", training_file=training, hyperparameters=SHORT)  # type: ignore[arg-type]
        time.sleep(usual * chance.uniform(0.5, 1.1))

        def cancel(job_id: str = job.id) -> None:
            try:
                said.setdefault(job_id, []).append(api.fine_tuning.jobs.cancel(job_id).status)
            except openai.ConflictError as error:
                said.setdefault(job_id, []).append(str(error.code))
            except openai.BadRequestError as error:
                said.setdefault(job_id, []).append(str(error.code))

        threads = [threading.Thread(target=cancel) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over = ended(api, job.id)
        assert (over.fine_tuned_model is not None) == (over.status == "succeeded"), over
        assert bool(over.result_files) == (over.status == "succeeded")
        assert over.status in ("succeeded", "cancelled"), over
        if "cancelled" in said[job.id]:
            assert over.status == "cancelled", said[job.id]
        time.sleep(0.3)
        assert api.fine_tuning.jobs.retrieve(job.id) == over  # what is over stays as it is
    rows = oracle.Tables(bed.home)
    models = Counter(row["job_id"] for row in rows["models"])
    for row in rows["jobs"]:
        assert models[row["id"]] == (row["state"] == "succeeded"), row
    assert oracle.whole(bed.home) == [] and api_oracle.whole(bed.home) == []


def test_workers_that_race_do_each_order_once(bed: Bed) -> None:
    """The server's own worker and two more."""
    api = served(bed)
    training = uploaded(api)
    racing = [bed.popen("worker") for _ in range(2)]
    try:
        made = [api.fine_tuning.jobs.create(model="tiny", training_file=training, hyperparameters=SHORT).id for _ in range(6)]  # type: ignore[arg-type]
        eventually(lambda: time.sleep(0.5) or all(api.fine_tuning.jobs.retrieve(job).status in OVER for job in made))
    finally:
        for worker in racing:
            worker.terminate()
            worker.communicate(timeout=60)
    rows = oracle.Tables(bed.home)
    assert Counter((row["state"], row["attempts"]) for row in rows["jobs"]) == {("succeeded", 1): len(made)}
    assert sorted(Counter(row["job_id"] for row in rows["models"]).values()) == [1] * len(made)
    for job in made:
        told = [event.message for event in api.fine_tuning.jobs.list_events(job) if "successfully completed" in event.message]
        assert len(told) == 1, told
    assert bed.end_server() == 0
    assert oracle.whole(bed.home) == [] and api_oracle.whole(bed.home) == [] and oracle.leftovers(bed.home) == []
    assert bed.processes() == []
