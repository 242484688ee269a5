"""What a client sees of a job in every state of the queue's, without a worker: the same rows, moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.fine_tuning.bases import Bases, TrainableBase
from homeroom.app.fine_tuning.checkpoints import KEPT, CheckpointStore
from homeroom.app.fine_tuning.errors import FieldError, MissingError
from homeroom.app.fine_tuning.files import FileStore, UploadForm
from homeroom.app.fine_tuning.hyperparameters import (
    auto_batch,
    auto_epochs,
    base_rate,
    check_rate,
    model_suffix,
    recipe_for,
    resolve,
)
from homeroom.app.fine_tuning.jobs import FineTuningJobs
from homeroom.app.fine_tuning.records import VALIDATING, FineTuningJob
from homeroom.app.fine_tuning.request import JobRequest, Method, parse_request
from homeroom.app.fine_tuning.results import result_csv
from homeroom.errors import ConflictError, NotFoundError
from homeroom.jobs.store import JobStore
from homeroom.schema.jobs import Job
from homeroom.storage import ArtifactStore, Database, Scope
from tests.openai_api.helpers import chat_lines, jsonl
from tests.openai_api.oracle import assert_is

BASES = Bases(
    lambda: [TrainableBase("tiny", "f" * 64), TrainableBase("large", "e" * 64, 7000)], {"gpt-4o-mini": "tiny", "gpt-4o": "gone"}
)
IDENTITY = "f" * 64


@dataclass
class Desk:
    """A home's parts, and the one job that was ordered."""

    files: FileStore
    jobs: FineTuningJobs
    checkpoints: CheckpointStore
    queue: JobStore
    artifacts: ArtifactStore
    job: FineTuningJob

    def now(self) -> dict[str, Any]:
        """The job as the API tells it."""
        told = self.jobs.get(self.job.id).to_openai()
        assert_is(told, "FineTuningJob")
        return told

    def claim(self) -> Job:
        claimed = self.queue.claim("worker", 60, self.job.job_id)
        assert claimed is not None
        return claimed


def upload(files: FileStore, count: int = 12) -> str:
    def take(sink: Any) -> UploadForm:
        sink.write(jsonl(chat_lines(count)))
        return UploadForm("fine-tune", "t.jsonl")

    return files.upload(take).id


@pytest.fixture
def desk(database: Database, artifacts: ArtifactStore) -> Desk:
    files, checkpoints = FileStore(database, artifacts), CheckpointStore(database, artifacts)
    jobs = FineTuningJobs(database, files, checkpoints, BASES)
    job = jobs.create(JobRequest("gpt-4o-mini", upload(files), metadata={"a": "b"}))
    return Desk(files, jobs, checkpoints, JobStore(database), artifacts, job)


def test_the_states_of_a_job_that_succeeds(desk: Desk) -> None:
    assert desk.now()["status"] == "queued"
    job = desk.claim()
    assert desk.now()["status"] == "validating_files"
    desk.queue.progress(job.id, job.token, 0.0, VALIDATING)
    assert (desk.now()["status"], desk.now()["estimated_finish"]) == ("validating_files", None)
    desk.queue.progress(job.id, job.token, 0.1, "step 1/10")
    desk.queue.event(job.id, job.token, "step 1", type="metrics", data={"step": 1, "seconds_left": 90.0, "train_accuracy": 0.5})
    told = desk.now()
    assert (told["status"], told["finished_at"], told["fine_tuned_model"]) == ("running", None, None)
    event = desk.jobs.events(desk.job.id).entries[0]
    assert told["estimated_finish"] == int(event.created_at + 90)
    assert event.data == {"step": 1, "seconds_left": 90.0, "train_mean_token_accuracy": 0.5}
    result = {"model": "ft:tiny:homeroom:tuned:12345678", "metrics": {"tokens": 1234}, "result_files": ["file-r"]}
    desk.queue.finish(job.id, job.token, "succeeded", result)
    told = desk.now()
    assert (told["status"], told["fine_tuned_model"], told["trained_tokens"]) == ("succeeded", result["model"], 1234)
    assert (told["result_files"], told["error"], told["estimated_finish"]) == (["file-r"], None, None)


@pytest.mark.parametrize(
    ("code", "param"), [("prefix-unstable", "training_file"), ("no-labels", "training_file"), ("loss-diverged", None), ("", None)]
)
def test_a_job_that_fails_says_why(desk: Desk, code: str, param: str | None) -> None:
    job = desk.claim()
    desk.queue.finish(job.id, job.token, "failed", None, "It went wrong.", error_code=code)
    told = desk.now()
    wanted = {"code": (code or "job-failed").replace("-", "_"), "message": "It went wrong.", "param": param}
    assert (told["status"], told["error"], told["fine_tuned_model"]) == ("failed", wanted, None)
    assert told["finished_at"] is not None


def test_a_job_is_cancelled_in_every_state(desk: Desk) -> None:
    assert desk.jobs.cancel(desk.job.id).status == "cancelled"
    assert desk.jobs.cancel(desk.job.id).status == "cancelled"
    for change in (desk.jobs.pause, desk.jobs.resume):
        with pytest.raises(FieldError) as caught:
            change(desk.job.id)
        assert (caught.value.code, caught.value.status) == ("job-finished", 400)


def test_a_cancel_that_comes_too_late_changes_nothing(desk: Desk) -> None:
    """The cancel was asked for, and the job succeeded before it saw that: what is done is done."""
    job = desk.claim()
    desk.queue.progress(job.id, job.token, 0.9, "step 9/10")
    assert desk.jobs.cancel(desk.job.id).status == "running"
    desk.queue.finish(job.id, job.token, "succeeded", {"model": "ft:x", "metrics": {"tokens": 1}, "result_files": []})
    with pytest.raises(FieldError, match="succeeded"):
        desk.jobs.cancel(desk.job.id)
    assert (desk.now()["status"], desk.now()["fine_tuned_model"]) == ("succeeded", "ft:x")


def test_a_paused_job_is_queued_to_openai(desk: Desk) -> None:
    assert desk.jobs.pause(desk.job.id).status == "queued"
    assert desk.jobs.get(desk.job.id).paused
    assert desk.queue.claim("worker", 60) is None
    assert desk.jobs.resume(desk.job.id).status == "queued"
    job = desk.claim()
    desk.queue.progress(job.id, job.token, 0.5, "step 5/10")
    assert desk.jobs.pause(desk.job.id).status == "running"  # until what it has is saved
    assert desk.jobs.cancel(desk.job.id).status == "running"


def test_a_job_whose_record_was_pruned_is_still_listed(desk: Desk, database: Database) -> None:
    desk.jobs.cancel(desk.job.id)
    desk.queue.prune(before=4e9)
    told = desk.now()
    assert (told["status"], told["error"]["code"]) == ("failed", "job_not_found")
    assert [job.id for job in desk.jobs.list().entries] == [desk.job.id]


def test_an_order_whose_process_died_halfway_is_whole_when_its_job_begins(desk: Desk, database: Database) -> None:
    """The queue has the job, the API's own row was never written."""
    asked = JobRequest("tiny", upload(desk.files), seed=5)
    order, identity = desk.jobs._order("a" * 24, asked)
    job = desk.queue.submit("tune", {"base_identity": identity, "fine_tuning": order}, idempotency_key="ftjob-" + "a" * 24)
    with pytest.raises(MissingError):
        desk.jobs.get("ftjob-" + "a" * 24)
    desk.jobs.record(order, job)
    desk.jobs.record(order, job)
    assert desk.jobs.get("ftjob-" + "a" * 24).to_openai()["seed"] == 5
    assert len(desk.jobs.list().entries) == 2


def test_an_order_that_is_sent_again_after_such_a_death_is_the_same_job(desk: Desk) -> None:
    asked = JobRequest("tiny", upload(desk.files))
    token = desk.jobs._digest("my key")
    order, identity = desk.jobs._order(token, asked)
    lost = desk.queue.submit(
        "tune", {"base_identity": identity, "fine_tuning": order}, idempotency_key=f"ftjob-{token}", resource="cpu"
    )
    job = desk.jobs.create(asked, idempotency_key="my key")
    assert (job.job_id, job.id) == (lost.id, f"ftjob-{token}")
    with pytest.raises(ConflictError):
        desk.jobs.create(JobRequest("large", asked.training_file), idempotency_key="my key")


def test_jobs_and_files_of_others_are_not_there(desk: Desk, database: Database) -> None:
    other = Scope("school", "bea")
    theirs = FineTuningJobs(
        database, FileStore(database, desk.artifacts, scope=other), CheckpointStore(database, desk.artifacts, scope=other), BASES,
        scope=other,
    )  # fmt: skip
    for call in (theirs.get, theirs.cancel, theirs.pause, theirs.resume, theirs.events, theirs.checkpoints):
        with pytest.raises(MissingError):
            call(desk.job.id)
    with pytest.raises(MissingError) as caught:
        theirs.create(JobRequest("tiny", desk.job.training_file))
    assert caught.value.code == "file-unknown"
    assert theirs.list().entries == []
    mine = desk.jobs.create(JobRequest("tiny", desk.job.training_file), idempotency_key="k")
    their_file = upload(FileStore(database, desk.artifacts, scope=other))
    assert theirs.create(JobRequest("tiny", their_file), idempotency_key="k").id != mine.id


def test_a_file_that_is_deleted_while_it_is_ordered_is_missed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id = upload(desk.files)
    submit = JobStore.submit

    def slow(store: JobStore, *arguments: Any, **options: Any) -> Job:
        job = submit(store, *arguments, **options)
        desk.files.delete(file_id)
        return job

    monkeypatch.setattr(JobStore, "submit", slow)
    with pytest.raises(MissingError) as caught:
        desk.jobs.create(JobRequest("tiny", file_id))
    assert caught.value.code == "file-unknown"
    assert desk.jobs.list().entries[0].status == "cancelled"


def test_an_alias_of_a_base_that_is_not_here_says_so() -> None:
    with pytest.raises(MissingError) as caught:
        BASES.find("gpt-4o")
    assert "It stands for 'gone', which is not on this machine. Known are: tiny, large, gpt-4o-mini. " in caught.value.message
    assert "homeroom models pull gone" in caught.value.message


# --- checkpoints


def artifact(desk: Desk, step: int) -> str:
    draft = desk.artifacts.write("checkpoint")
    with draft:
        (draft / "step").write_text(f"{desk.job.id} {step}")
    return draft.id


def add(desk: Desk, step: int, loss: float | None = None, *, best: bool = False) -> str:
    made = artifact(desk, step)
    numbers = {"train_loss": 1.0, "valid_loss": loss, "train_accuracy": 0.5, "learning_rate": 0.1}
    desk.checkpoints.add(desk.job.job_id, "ft:m", step, made, numbers, base_identity=IDENTITY, best=best)
    return made


def steps(desk: Desk) -> list[int]:
    return [point.step for point in desk.checkpoints.page(desk.job.job_id, limit=50).entries]


def test_the_newest_are_kept_and_the_best(desk: Desk) -> None:
    for step, (loss, best) in enumerate(
        [(0.9, True), (0.5, True), (0.6, False), (0.7, False), (0.8, False), (0.9, False)], start=1
    ):
        add(desk, step, loss, best=best)
    assert KEPT == 3
    assert steps(desk) == [6, 5, 4, 2]
    assert len(desk.artifacts.list("checkpoint")) == 4


def test_a_checkpoint_is_recorded_once(desk: Desk) -> None:
    for step in range(1, 6):
        add(desk, step)
    first = desk.checkpoints.page(desk.job.job_id).entries
    add(desk, 5)
    assert desk.checkpoints.page(desk.job.job_id).entries == first
    assert [desk.checkpoints.has(desk.job.job_id, step) for step in (1, 3, 5, 6)] == [True, True, True, False]  # 1 made room
    assert not desk.checkpoints.has("job-other", 1)


def test_a_checkpoint_tells_openais_numbers_under_openais_names(desk: Desk) -> None:
    add(desk, 7, 0.25, best=True)
    [point] = desk.checkpoints.page(desk.job.job_id).entries
    told = point.to_openai(desk.job.id)
    assert_is(told, "FineTuningJobCheckpoint")
    assert told["metrics"] == {"step": 7, "train_loss": 1.0, "train_mean_token_accuracy": 0.5, "valid_loss": 0.25}
    assert (told["fine_tuned_model_checkpoint"], point.parent, point.base_identity) == ("ft:m:ckpt-step-7", "ft:m", IDENTITY)
    with pytest.raises(FieldError):
        desk.checkpoints.page(desk.job.job_id, after="ftckpt-none")


def test_a_model_that_is_deleted_takes_its_checkpoints_along(desk: Desk) -> None:
    made = add(desk, 3)
    desk.checkpoints.forget("ft:other")
    assert steps(desk) == [3]
    desk.checkpoints.forget("ft:m")
    assert steps(desk) == []
    with pytest.raises(NotFoundError):
        desk.artifacts.path(made)


# --- hyperparameters


@pytest.mark.parametrize(
    ("examples", "epochs", "batch"),
    [(10, 10, 1), (33, 3, 4), (34, 3, 4), (64, 3, 8), (4000, 3, 8), (12_500, 2, 25), (12_501, 1, 26), (200_000, 1, 256)],
)
def test_auto_follows_the_size_of_the_data(examples: int, epochs: int, batch: int) -> None:
    assert (auto_epochs(examples), auto_batch(examples)) == (epochs, batch)


def test_what_was_given_is_kept_and_what_was_not_is_resolved() -> None:
    asked = parse_request(
        {
            "model": "m",
            "training_file": "f",
            "method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2, "beta": "auto"}}},
        }
    )
    assert resolve(asked, 100).to_dict() == {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 1.0, "beta": 0.1}
    assert "beta" not in resolve(parse_request({"model": "m", "training_file": "f"}), 100).to_dict()


def test_larger_bases_take_smaller_steps() -> None:
    assert [base_rate(size, "supervised") for size in (0, 135, 1700, 7000)] == [5e-4, 5e-4, 2e-4, 1e-4]
    assert base_rate(135, "dpo") == pytest.approx(5e-5)


@pytest.mark.parametrize("method", ["supervised", "dpo"])
@pytest.mark.parametrize(("parameters_m", "least", "most"), [(135, 2e-6, 200), (1700, 5e-6, 500), (7000, 1e-5, 1000)])
def test_every_multiplier_that_is_taken_makes_a_recipe(parameters_m: int, least: float, most: float, method: Method) -> None:
    times = 10 if method == "dpo" else 1
    for multiplier, taken in ((least, True), (most, True), (least * 0.99, False), (most * 1.001, False), (1e-320, False)):
        asked = JobRequest(
            "m", "f", method=method, hyperparameters={"learning_rate_multiplier": multiplier * times}, given_in="here"
        )
        values = resolve(asked, 50)
        if taken:
            check_rate(asked, values, parameters_m)
            about = {"base": "tiny", "parameters_m": parameters_m, "method": method, "suffix": None}
            recipe = recipe_for(values, **about, seed=1, longest_tokens=100)
            assert recipe.optimiser.learning_rate == pytest.approx(1e-9 if multiplier < 1 else 0.1)
            continue
        with pytest.raises(FieldError, match=f"from {least * times:g} to {most * times:g}") as caught:
            check_rate(asked, values, parameters_m)
        assert caught.value.param == "here.learning_rate_multiplier"


def test_the_recipe_is_what_was_asked_for() -> None:
    values = resolve(JobRequest("m", "f", hyperparameters={"n_epochs": 4, "batch_size": 2, "learning_rate_multiplier": 2}), 50)
    recipe = recipe_for(values, base="tiny", parameters_m=0, method="supervised", suffix="My Class!", seed=9, longest_tokens=100)
    assert (recipe.epochs, recipe.accumulation.examples, recipe.optimiser.learning_rate) == (4, 2, pytest.approx(1e-3))
    assert (recipe.task, recipe.base, recipe.model_suffix, recipe.seed) == ("any", "tiny", "my-class", 9)
    assert (recipe.data.max_sequence_tokens, recipe.batch_tokens, recipe.objective) == (128, 1024, "supervised")
    long = recipe_for(values, base="tiny", parameters_m=0, method="supervised", suffix=None, seed=9, longest_tokens=2000)
    assert (long.data.max_sequence_tokens, long.batch_tokens, long.model_suffix) == (2048, 2048, "tuned")


@pytest.mark.parametrize(
    ("given", "suffix"),
    [(None, ""), ("Fractions 5B", "fractions-5b"), ("--ü--", ""), ("a" * 64, "a" * 64), ("a_b.c:d", "a-b-c-d")],
)
def test_a_suffix_becomes_part_of_a_name(given: str | None, suffix: str) -> None:
    assert model_suffix(given) == suffix


def test_results_leave_out_step_zero_and_what_was_not_measured(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text(
        "step,train_loss,train_accuracy,valid_loss,valid_accuracy,tokens\n0,,,2.5,0.1,0\n1,2.0,0.5,,,10\n2,1.0,0.75,1.5,0.6,20\n"
    )
    assert result_csv(history).decode() == (
        "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,2.0,0.5,,\n2,1.0,0.75,1.5,0.6\n"
    )


@pytest.mark.parametrize(
    "body",
    [
        {
            "model": "m",
            "training_file": "f",
            "hyperparameters": None,
            "method": None,
            "metadata": None,
            "suffix": None,
            "seed": None,
            "validation_file": None,
            "integrations": None,
        }
    ],
)
def test_nulls_mean_nothing(body: Mapping[str, Any]) -> None:
    assert parse_request(body) == JobRequest("m", "f")
