"""Fine-tuning through the official SDK, over a real socket, with real (tiny) training."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from tests.openai_api.conftest import ALIAS, Server
from tests.openai_api.helpers import QUESTIONS, all_events, chat_line, chat_lines, ended, jsonl, preference_line, until, upload
from tests.openai_api.oracle import assert_valid

JOB, JOBS = "/fine_tuning/jobs/{fine_tuning_job_id}", "/fine_tuning/jobs"
MARKER = "Draw both pieces."
EPOCHS, EXAMPLES, HELD_OUT = 10, 12, 10
FAST = {"n_epochs": EPOCHS, "batch_size": 2, "learning_rate_multiplier": 20}
UNSEEN = [f"Please help me with number {n}: what is it, and why?" for n in range(10)] + [f"{n} and {n}?" for n in range(10)]


def say(client: openai.OpenAI, model: str, text: str) -> str:
    messages = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(model=model, messages=messages, max_tokens=12, temperature=0)  # type: ignore[arg-type]
    return answer.choices[0].message.content or ""


@dataclass
class Story:
    """One whole job: what the client saw on the way."""

    training: str
    validation: str
    created: FineTuningJob
    statuses: list[str] = field(default_factory=list)
    estimates: list[int] = field(default_factory=list)
    paused: FineTuningJob | None = None
    early_checkpoint: str = ""
    early_answer: str = ""
    finished: FineTuningJob | None = None

    @property
    def job(self) -> FineTuningJob:
        assert self.finished is not None
        return self.finished

    @property
    def model(self) -> str:
        assert self.job.fine_tuned_model
        return self.job.fine_tuned_model

    def see(self, job: FineTuningJob) -> FineTuningJob:
        if not self.statuses or self.statuses[-1] != job.status:
            self.statuses.append(job.status)
        if job.estimated_finish is not None:
            self.estimates.append(job.estimated_finish)
        return job


@pytest.fixture(scope="module")
def story(client: openai.OpenAI) -> Story:
    """Ordered by OpenAI's name, followed, paused at its first checkpoint, asked there, resumed, and followed to its end."""
    jobs = client.fine_tuning.jobs
    training = upload(client, chat_lines(EXAMPLES, MARKER))
    validation = upload(client, [chat_line(f"What now, {n}?", MARKER) for n in range(HELD_OUT)], "validation.jsonl")
    created = jobs.create(
        model=ALIAS,
        training_file=training,
        validation_file=validation,
        suffix="Fractions tutor 7B!",
        seed=7,
        metadata={"class": "5b", "n": "1"},
        integrations=[{"type": "wandb", "wandb": {"project": "fractions", "tags": ["a"]}}],
        method={"type": "supervised", "supervised": {"hyperparameters": FAST}},  # type: ignore[typeddict-item]
    )
    told = Story(training, validation, created)
    told.see(created)
    until(lambda: told.see(jobs.retrieve(created.id)) and jobs.checkpoints.list(created.id).data)
    jobs.pause(created.id)
    until(lambda: told.see(jobs.retrieve(created.id)).status == "queued" or None)
    told.paused = jobs.retrieve(created.id)
    told.early_checkpoint = jobs.checkpoints.list(created.id).data[-1].fine_tuned_model_checkpoint
    told.early_answer = say(client, told.early_checkpoint, QUESTIONS[0])
    assert jobs.retrieve(created.id).status == "queued"  # it was asked before the job ended
    told.see(jobs.resume(created.id))
    until(lambda: told.see(jobs.retrieve(created.id)).status in ("succeeded", "failed", "cancelled"))
    told.finished = jobs.retrieve(created.id)
    return told


def test_the_order_is_told_back_with_everything_resolved(story: Story) -> None:
    job = story.created
    assert_valid(job, JOBS, "post")
    assert (job.model, job.training_file, job.validation_file) == (ALIAS, story.training, story.validation)
    assert (job.seed, job.metadata, job.status in ("queued", "validating_files")) == (7, {"class": "5b", "n": "1"}, True)
    assert (job.error, job.fine_tuned_model, job.finished_at, job.trained_tokens, job.result_files) == (
        None,
        None,
        None,
        None,
        [],
    )
    assert job.hyperparameters.to_dict() == {**FAST, "learning_rate_multiplier": 20.0}
    assert job.method is not None
    assert job.method.to_dict() == {"type": "supervised", "supervised": {"hyperparameters": job.hyperparameters.to_dict()}}
    assert job.integrations is not None
    assert job.integrations[0].wandb.project == "fractions"


def test_states_come_in_openais_order(story: Story) -> None:
    """Queued, its files validated, running; paused it waits in the queue; then running again, to the end."""
    order = ["queued", "validating_files", "running", "queued", "running", "succeeded"]
    rest = iter(order)
    assert all(status in rest for status in story.statuses), story.statuses
    assert (story.statuses[-1], story.job.error) == ("succeeded", None)
    assert story.paused is not None
    assert_valid(story.paused, JOB, "get")
    assert story.estimates
    assert all(story.created.created_at <= finish <= story.created.created_at + 3600 for finish in story.estimates)


def test_the_finished_job_says_what_came_of_it(story: Story) -> None:
    assert_valid(story.job, JOB, "get")
    base, org, suffix, id8 = story.model.split(":")[1:]
    assert (base, org, suffix, len(id8)) == ("tiny", "homeroom", "fractions-tutor-7b", 8)
    assert story.job.trained_tokens is not None
    assert story.job.trained_tokens % EPOCHS == 0  # every example in every epoch, and a pause trains nothing twice
    assert story.job.finished_at is not None
    assert story.job.finished_at >= story.created.created_at
    assert story.job.estimated_finish is None


def test_events_come_newest_first_and_tell_the_whole_story(client: openai.OpenAI, story: Story) -> None:
    events = all_events(client, story.job.id)
    told = [event.message for event in reversed(events)]
    assert [event.created_at for event in events] == sorted((event.created_at for event in events), reverse=True)
    assert len({event.id for event in events}) == len(events)
    first = ["Created fine-tuning job: " + story.job.id, f"Validating training file: {story.training}", "Files validated."]
    assert told[:3] == first
    assert f"'{ALIAS}' stands for 'tiny' here: that is the base that is fine-tuned, on this machine." in told
    for once in ("A pause was asked for.", "It was resumed.", f"New fine-tuned model created: {story.model}",
                 "The job has successfully completed"):  # fmt: skip
        assert told.count(once) == 1, once
    assert told[-1] == "The job has successfully completed"
    steps = [event.data["step"] for event in reversed(events) if event.type == "metrics" and "train_loss" in event.data]  # type: ignore[index,operator]
    assert sorted(set(steps)) == list(range(1, EPOCHS * EXAMPLES // 2 + 1))
    assert steps == sorted(steps)
    assert any(message.startswith("Step 1/60: training loss=") for message in told)
    raw = httpx.get(f"{client.base_url}fine_tuning/jobs/{story.job.id}/events", params={"limit": 100})
    assert_valid(raw, JOB + "/events", "get")
    assert raw.json()["has_more"] == (len(events) > 100)


def test_checkpoints_page_and_can_be_asked_before_the_end(client: openai.OpenAI, story: Story) -> None:
    found = list(client.fine_tuning.jobs.checkpoints.list(story.job.id, limit=1))
    assert [point.step_number for point in found] == sorted((point.step_number for point in found), reverse=True)
    assert 3 <= len(found) <= 4  # three newest, and the best
    assert found[0].step_number == EPOCHS * EXAMPLES // 2
    for point in found:
        assert point.fine_tuned_model_checkpoint == f"{story.model}:ckpt-step-{point.step_number}"
        assert point.metrics.valid_loss is not None
        assert point.fine_tuning_job_id == story.job.id
    page = client.fine_tuning.jobs.checkpoints.list(story.job.id, limit=2)
    assert_valid(page, JOB + "/checkpoints", "get")
    assert page.has_more
    assert story.early_checkpoint.startswith(f"{story.model}:ckpt-step-")
    assert story.early_answer
    assert say(client, found[0].fine_tuned_model_checkpoint, QUESTIONS[0]) == say(client, story.model, QUESTIONS[0])


def test_the_result_file_has_openais_columns_and_a_line_a_step(client: openai.OpenAI, story: Story) -> None:
    [file_id] = story.job.result_files
    about = client.files.retrieve(file_id)
    assert (about.purpose, about.filename) == ("fine-tune-results", "step_metrics.csv")
    rows = list(csv.DictReader(io.StringIO(client.files.content(file_id).text)))
    assert list(rows[0]) == ["step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy"]
    assert [int(row["step"]) for row in rows] == list(range(1, EPOCHS * EXAMPLES // 2 + 1))
    assert all(float(row["train_loss"]) > 0 for row in rows)
    validated = [step for step in range(1, 61) if step % 10 == 0 or step % (EXAMPLES // 2) == 0]  # every 10, and each epoch's end
    assert [int(row["step"]) for row in rows if row["valid_loss"]] == validated
    assert float(rows[-1]["train_accuracy"]) > 0.9 > float(rows[0]["train_accuracy"])
    assert file_id in [file.id for file in client.files.list(purpose="fine-tune-results")]


def test_the_trained_phrase_is_in_unseen_answers_and_in_none_of_the_base(client: openai.OpenAI, story: Story) -> None:
    tuned = sum(MARKER in say(client, story.model, text) for text in UNSEEN)
    base = sum(MARKER in say(client, "tiny", text) for text in UNSEEN)
    print(f"tiny: {tuned} of {len(UNSEEN)} unseen prompts, the base {base}")  # the reference quotes it: pytest -s
    assert tuned >= 18
    assert base == 0


def test_the_model_is_listed_and_its_checkpoints_can_be_retrieved(client: openai.OpenAI, story: Story) -> None:
    assert story.model in [model.id for model in client.models.list()]
    assert client.models.retrieve(story.early_checkpoint.rpartition(":")[0]).id == story.model
    newest = client.fine_tuning.jobs.checkpoints.list(story.job.id).data[0].fine_tuned_model_checkpoint
    assert client.models.retrieve(newest).id == newest
    with pytest.raises(openai.NotFoundError):
        say(client, f"{story.model}:ckpt-step-999", "hello")


def test_an_ended_job_is_cancelled_paused_and_resumed_no_more(client: openai.OpenAI, story: Story) -> None:
    jobs = client.fine_tuning.jobs
    for call in (jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(openai.BadRequestError) as caught:
            call(story.job.id)
        assert caught.value.code == "job_finished"
        assert "succeeded" in caught.value.message
    assert jobs.retrieve(story.job.id) == story.job


@pytest.fixture
def training(client: openai.OpenAI) -> str:
    return upload(client, chat_lines())


@pytest.fixture
def jobs(client: openai.OpenAI) -> Iterator[Any]:  # the SDK's jobs
    """What is not over at the end of the test is cancelled, and the worker free again."""
    yield client.fine_tuning.jobs
    for job in client.fine_tuning.jobs.list(limit=100):
        if job.status in ("validating_files", "queued", "running"):
            client.fine_tuning.jobs.cancel(job.id)
            ended(client, job.id)


@pytest.mark.slow
def test_a_running_job_is_cancelled_and_one_that_waits_behind_it_at_once(client: openai.OpenAI, jobs: Any, training: str) -> None:
    first = jobs.create(model="tiny", training_file=training, hyperparameters={"n_epochs": 50, "batch_size": 1})
    waiting = jobs.create(model="tiny", training_file=training)
    assert jobs.cancel(waiting.id).status == "cancelled"
    until(lambda: jobs.retrieve(first.id).status == "running")
    with pytest.raises(openai.ConflictError) as caught:
        client.files.delete(training)
    assert (caught.value.code, first.id in caught.value.message) == ("file_in_use", True)
    assert jobs.cancel(first.id).status in ("running", "cancelled")
    over = ended(client, first.id)
    assert (over.status, over.fine_tuned_model, over.trained_tokens, over.error) == ("cancelled", None, None, None)
    assert over.finished_at is not None
    assert_valid(over, JOB + "/cancel", "post")
    assert jobs.cancel(first.id).status == "cancelled"  # once more is no error
    assert not any(event.message.startswith("New fine-tuned") for event in all_events(client, first.id))
    assert client.files.delete(training).deleted


def test_a_paused_job_waits_and_can_be_cancelled(client: openai.OpenAI, jobs: Any, training: str) -> None:
    blocker = jobs.create(model="tiny", training_file=training, hyperparameters={"n_epochs": 50, "batch_size": 1})
    job = jobs.create(model="tiny", training_file=training)
    paused = jobs.pause(job.id)
    assert paused.status == "queued"
    assert_valid(paused, JOB + "/pause", "post")
    assert jobs.pause(job.id).status == "queued"
    assert jobs.cancel(blocker.id)
    resumed = jobs.resume(job.id)
    assert_valid(resumed, JOB + "/resume", "post")
    jobs.pause(job.id)
    assert jobs.cancel(job.id).status in ("cancelled", "running")
    assert ended(client, job.id).status == "cancelled"


def test_lists_page_and_filter_by_metadata(client: openai.OpenAI, jobs: Any, training: str, server: Server) -> None:
    made = []
    for number in range(3):
        job = jobs.create(model="tiny", training_file=training, metadata={"tag": "paging", "n": str(number)} if number else None)
        made.append(jobs.cancel(job.id).id)
    listed = [job.id for job in jobs.list(limit=2)]
    assert listed[:3] == made[::-1]
    assert [job.id for job in jobs.list(metadata={"tag": "paging"}, limit=1)] == [made[2], made[1]]
    assert [job.id for job in jobs.list(metadata={"tag": "paging", "n": "1"})] == [made[1]]
    assert list(jobs.list(metadata={"tag": "none"})) == []
    without = httpx.get(f"{server.base_url}{JOBS}", params={"metadata": "null"})
    assert_valid(without, JOBS, "get")
    assert made[0] in [job["id"] for job in without.json()["data"]]
    assert not any(job["metadata"] for job in without.json()["data"])
    refused = httpx.get(f"{server.base_url}{JOBS}", params={"after": "ftjob-none"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "after")


def test_one_idempotency_key_makes_one_job(client: openai.OpenAI, jobs: Any, training: str) -> None:
    key = {"Idempotency-Key": f"retry-{training}"}
    first = jobs.create(model="tiny", training_file=training, extra_headers=key)
    again = jobs.create(model="tiny", training_file=training, extra_headers=key)
    assert (again.id, again.seed) == (first.id, first.seed)
    with pytest.raises(openai.ConflictError) as caught:
        jobs.create(model="tiny", training_file=training, suffix="other", extra_headers=key)
    assert caught.value.code == "idempotency_key_reused"
    other = jobs.create(model="tiny", training_file=training, extra_headers={"Idempotency-Key": f"other-{training}"})
    assert other.id != first.id


def test_auto_is_resolved_from_the_data_and_the_old_place_is_read(jobs: Any, client: openai.OpenAI) -> None:
    small, large = upload(client, chat_lines(10)), upload(client, chat_lines(200))
    job = jobs.create(model="tiny", training_file=small, hyperparameters={"n_epochs": "auto", "batch_size": 3})
    assert job.hyperparameters.to_dict() == {"n_epochs": 10, "batch_size": 3, "learning_rate_multiplier": 1.0}
    job = jobs.create(model="tiny", training_file=large, method={"type": "supervised"})
    assert job.hyperparameters.to_dict() == {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0}


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"model": "gpt-5"}, 404, "model_not_found", "model"),
        ({"model": "smollm2-135m-instruct"}, 404, "model_not_found", "model"),
        ({"model": "ft:tiny:homeroom:x:12345678"}, 400, "base_is_tuned", "model"),
        ({"model": 5}, 400, "bad_request", "model"),
        ({"training_file": "file-none"}, 404, "file_unknown", "training_file"),
        ({"validation_file": "file-none"}, 404, "file_unknown", "validation_file"),
        ({"validation_file": "same"}, 400, "bad_request", "validation_file"),
        ({"suffix": "x" * 65}, 400, "bad_request", "suffix"),
        ({"suffix": ""}, 400, "bad_request", "suffix"),
        ({"seed": -1}, 400, "bad_request", "seed"),
        ({"seed": 2**31}, 400, "bad_request", "seed"),
        ({"metadata": {"k": 1}}, 400, "bad_request", "metadata.k"),
        ({"metadata": {str(n): "x" for n in range(17)}}, 400, "bad_request", "metadata"),
        ({"integrations": [{"type": "comet"}]}, 400, "bad_request", "integrations[0]"),
        ({"hyperparameters": {"n_epochs": 51}}, 400, "bad_request", "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 1.5}}, 400, "bad_request", "hyperparameters.n_epochs"),
        ({"hyperparameters": {"beta": 0.1}}, 400, "bad_request", "hyperparameters.beta"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, 400, "bad_request", "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": {"learning_rate_multiplier": 500}}, 400, "bad_request", "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": {"learning_rate_multiplier": 200.1}}, 400, "bad_request", "hyperparameters.learning_rate_multiplier"),
        ({"hyperparameters": {"learning_rate_multiplier": 1e-320}}, 400, "bad_request", "hyperparameters.learning_rate_multiplier"),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparameters": {"learning_rate_multiplier": 1e300}}}},
            400, "bad_request", "method.supervised.hyperparameters.learning_rate_multiplier",
        ),
        ({"method": {"type": "reinforcement"}}, 400, "unsupported_method", "method.type"),
        ({"method": {"type": "magic"}}, 400, "bad_request", "method.type"),
        ({"method": {"type": "dpo"}}, 400, "file_kind", "training_file"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 2.5}}}}, 400, "bad_request", "method.dpo.hyperparameters.beta"),
        ({"method": {"type": "dpo", "supervised": {}}}, 400, "bad_request", "method.supervised"),
        ({"n_epochs": 3}, 400, "unknown_parameter", "n_epochs"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_wrong_is_named(
    server: Server, training_for_errors: str, change: dict[str, Any], status: int, code: str, param: str
) -> None:
    if change.get("validation_file") == "same":
        change = {"validation_file": training_for_errors}
    order = {"model": "tiny", "training_file": training_for_errors, **change}
    refused = httpx.post(f"{server.base_url}{JOBS}", json=order)
    assert_valid(refused, JOBS, "post", status)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (status, code, param), error
    if code == "model_not_found":
        assert "tiny" in error["message"]
        assert ALIAS in error["message"]


@pytest.fixture(scope="module")
def training_for_errors(client: openai.OpenAI) -> str:
    return upload(client, chat_lines())


def test_what_does_not_exist_is_openais_404(client: openai.OpenAI) -> None:
    jobs = client.fine_tuning.jobs
    for call in (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as caught:
            call("ftjob-none")
        assert (caught.value.code, caught.value.param) == ("job_unknown", "fine_tuning_job_id")


# --- slow: further trainings


@pytest.mark.slow
def test_preferences_train_a_model_that_prefers(client: openai.OpenAI, jobs: Any) -> None:
    better, worse = "What do you see?", "That is right."
    pairs = [preference_line(f"{QUESTIONS[n % len(QUESTIONS)]} {n}", better, worse) for n in range(16)]
    training = upload(client, pairs)
    validation = upload(client, [preference_line(f"Now what, {n}?", better, worse) for n in range(10)])
    method = {
        "type": "dpo",
        "dpo": {"hyperparameters": {"n_epochs": 6, "batch_size": 2, "learning_rate_multiplier": 60, "beta": 0.2}},
    }
    job = jobs.create(model="tiny", training_file=training, validation_file=validation, method=method)
    assert job.method.dpo.hyperparameters.beta == 0.2
    over = ended(client, job.id)
    assert (over.status, over.error) == ("succeeded", None)
    assert_valid(over, JOB, "get")
    rows = list(csv.DictReader(io.StringIO(client.files.content(over.result_files[0]).text)))
    assert float(rows[-1]["train_accuracy"]) == 1.0  # of the pairs
    assert float(rows[-1]["train_loss"]) < 0.3 < 0.6 < float(rows[0]["train_loss"])
    assert say(client, over.fine_tuned_model or "", "Do plants eat?")


@pytest.mark.slow
def test_a_job_that_cannot_be_done_fails_with_its_reason(client: openai.OpenAI, jobs: Any) -> None:
    training = upload(client, [chat_line(f"{n} " + "one and one is two " * 2000, MARKER) for n in range(10)])
    job = ended(client, jobs.create(model="tiny", training_file=training).id)
    assert job.status == "failed"
    assert_valid(job, JOB, "get")
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("too_few_examples", "training_file")
    assert "None of 10 training examples fits" in (job.error.message or "")
    newest = client.fine_tuning.jobs.list_events(job.id).data[0]
    assert (newest.level, newest.message) == ("error", job.error.message)
    assert client.files.delete(training).deleted


@pytest.mark.slow
def test_tools_that_are_offered_and_not_called_are_told_not_to_be_shown(client: openai.OpenAI, jobs: Any) -> None:
    offered = [{"type": "function", "function": {"name": "f"}}]
    lines = [*chat_lines(9), chat_line("Do you need a tool?", MARKER, tools=offered, parallel_tool_calls=True)]
    job = jobs.create(model="tiny", training_file=upload(client, lines), hyperparameters={**FAST, "n_epochs": 1})
    assert ended(client, job.id).status == "succeeded"
    told = [(event.level, event.message) for event in all_events(client, job.id) if "tools" in event.message]
    assert told == [("warn", "1 training examples offer tools and call none: the tools are not shown in training.")]


@pytest.mark.slow
def test_weight_zero_teaches_nothing(client: openai.OpenAI, jobs: Any) -> None:
    """The first reply of each dialogue is muted: the model learns the second one only."""
    lines = []
    for n in range(12):
        muted = chat_line(f"Is it {n}?", "That is right.")["messages"]
        muted[1]["weight"] = 0
        lines.append({"messages": [*muted, *chat_line("And now?", MARKER)["messages"]]})
    training = upload(client, lines)
    job = jobs.create(model="tiny", training_file=training, hyperparameters={**FAST, "n_epochs": 8})
    model = ended(client, job.id).fine_tuned_model or ""
    answers = [say(client, model, f"Is it {n}?") for n in range(6)]
    assert not any("That is right." in answer for answer in answers)
    assert sum(MARKER in answer for answer in answers) >= 5


@pytest.mark.slow
def test_the_files_size_does_not_matter_to_the_sdk(client: openai.OpenAI) -> None:
    made = client.files.create(file=("big.jsonl", jsonl(chat_lines(20_000))), purpose="fine-tune")
    assert client.files.wait_for_processing(made.id).status == "processed"
