"""Submitting work: what is the same question, and who answers it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from homeroom.app.evaluation import held_out_items, spread, submit_evaluation
from homeroom.app.importing import import_model
from homeroom.app.tuning import plan_tuning, submit_tuning, training_data
from homeroom.app.work import child_environment, key_of, submit_once, wait_for
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError, DataError, JobFailed, NotFoundError, StorageError
from homeroom.evaluation.protocol import protocol
from homeroom.evaluation.situation import situation
from homeroom.storage.errors import storage_error
from homeroom.tuning.recipe_file import parse_recipe
from tests.app import material
from tests.cli.commands import processes_of
from tests.evaluation.lazy import course_items

RECIPE = parse_recipe({**material.QUICK, "name": "quick", "task": "tutor"})


@pytest.fixture
def dataset(home, tmp_path):
    records = [*material.tutor_records(), *material.learner_records()]
    return home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", records)))


@pytest.fixture
def model(home, base, tmp_path):
    return import_model(home, str(material.random_adapter(base, tmp_path / "adapter")), base=None, task="tutor", suffix=None)


def test_a_key_depends_on_content_and_not_on_order():
    assert key_of({"a": 1, "b": {"c": 2, "d": 3}}) == key_of({"b": {"d": 3, "c": 2}, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_job_that_failed_or_was_cancelled_goes_on_when_it_is_asked_for_again(home):
    first = submit_once(home, "tune", {"n": 1}, "key")
    assert submit_once(home, "tune", {"n": 1}, "key").id == first.id
    home.jobs.request_cancel(first.id)
    again = submit_once(home, "tune", {"n": 1}, "key")
    assert (again.id, again.state) == (first.id, "queued")  # and so its folder, with what was saved there
    claimed = home.jobs.claim("worker", 5.0, first.id)
    home.jobs.finish(claimed.id, claimed.token, "failed", None, "no reason")
    assert submit_once(home, "tune", {"n": 1}, "key").id == first.id
    assert len(home.jobs.list()) == 1


def test_a_job_whose_folder_holds_another_run_is_replaced_by_a_new_one(home):
    first = submit_once(home, "tune", {"n": 1}, "key")
    claimed = home.jobs.claim("worker", 5.0, first.id)
    home.jobs.finish(claimed.id, claimed.token, "failed", None, "another run", error_code="resume-mismatch")
    second = submit_once(home, "tune", {"n": 1}, "key")
    assert second.id != first.id
    assert submit_once(home, "tune", {"n": 1}, "key").id == second.id


def test_what_the_disk_refused_a_job_is_told_as_what_it_is(home):
    job = home.jobs.submit("tune", {})
    claimed = home.jobs.claim("worker", 5.0, job.id)
    home.jobs.finish(claimed.id, claimed.token, "failed", None, "There is no space left.", error_code="no-space")
    with pytest.raises(StorageError, match="There is no space left") as refused:
        wait_for(home, job.id)
    assert (refused.value.code, refused.value.exit_code) == ("no-space", 2)


def test_a_job_that_nobody_could_begin_for_want_of_room_does_not_keep_its_command_waiting(home, monkeypatch):
    def full(*args, **options):
        raise storage_error("no-space", "homeroom.db")

    job = home.jobs.submit("knit", {})
    monkeypatch.setattr(home.jobs, "claim", full)
    with pytest.raises(StorageError, match="no space left") as refused:
        wait_for(home, job.id)
    assert refused.value.exit_code == 2
    monkeypatch.undo()
    with pytest.raises(JobFailed, match="No handler is known"):  # there is room again: the same command goes on
        wait_for(home, job.id)


def test_the_same_run_is_the_same_job(home, dataset):
    job = submit_tuning(home, "mine", RECIPE)
    assert submit_tuning(home, dataset.info.id, RECIPE).id == job.id
    assert submit_tuning(home, "mine@1", RECIPE.model_copy(update={"base": ""})).id == job.id
    assert job.payload["base_identity"] == home.base_files().identity
    others = {
        submit_tuning(home, "mine", RECIPE, again=True).id,
        submit_tuning(home, "mine", RECIPE.model_copy(update={"seed": 1})).id,
        submit_tuning(home, "mine", RECIPE.model_copy(update={"task": "learner"})).id,
    }
    assert len(others) == 3 and job.id not in others


def test_what_cannot_be_tuned_is_refused_before_a_job_is_made(home, dataset, tmp_path):
    tutors = load_examples(material.write_jsonl(tmp_path / "tutors.jsonl", material.tutor_records()))
    home.datasets.create("tutors", tutors)
    with pytest.raises(DataError) as none:
        submit_tuning(home, "tutors", RECIPE.model_copy(update={"task": "learner"}))
    assert none.value.code == "too-few-examples"
    with pytest.raises(NotFoundError):
        submit_tuning(home, "nothing", RECIPE)
    with pytest.raises(NotFoundError):
        submit_tuning(home, "mine", RECIPE.model_copy(update={"base": "qwen3-0.6b"}))
    assert home.jobs.list() == ()


def test_training_data_leaves_the_test_split_out(home, dataset):
    data = training_data(dataset, RECIPE.model_copy(update={"task": "any"}))
    used = {example.id for example in (*data.train, *data.validation)}
    assert used == {e.id for e in dataset.examples} - {e.id for e in dataset.part("test")}
    assert {e.task for e in training_data(dataset, RECIPE).train} == {"tutor"}


@pytest.mark.slow  # the plan loads the training packages
def test_a_plan_counts_and_starts_nothing(home, dataset):
    plan = plan_tuning(home, "mine", RECIPE)
    assert plan.examples == len(dataset.part("train", "tutor"))
    assert home.jobs.list() == ()


def test_held_out_items_are_dealt_over_the_topics(home, dataset):
    everything = held_out_items(dataset, "tutor", 1000)
    topics = [item.example.metadata["topic"] for item in everything]
    some = held_out_items(dataset, "tutor", len(set(topics)))
    assert [item.id for item in some] == [item.id for item in everything[: len(some)]]
    assert sorted(item.example.metadata["topic"] for item in some) == sorted(set(topics))
    learner = dataset.part("test", "learner")
    first_turns = {item.id for item in spread(learner, 1000) if item.turn == 0}
    assert {item.id for item in spread(learner, 1000, max_turns=1)} == first_turns != set()


def test_few_held_out_items_of_the_course_try_every_rule() -> None:
    everything = [item.example for item in course_items("tutor", 80)]
    dealt = spread(list({example.id: example for example in everything}.values()), 24)
    counts = Counter(situation(item) for item in dealt)
    needed = {rule.metric: rule.needed for rule in protocol("tutor").guards}
    assert counts["right"] >= needed["missed_confirmation"]
    assert counts["danger"] >= 1 and counts["wrong"] >= 6 and counts["open"] >= 6
    topics = Counter(item.example.metadata["topic"] for item in dealt)
    assert max(topics.values()) - min(topics.values()) <= 1


def test_the_same_question_is_the_same_evaluation(home, dataset, model):
    job = submit_evaluation(home, model, dataset="mine", items=4)
    assert submit_evaluation(home, model, dataset="mine@1", items=4).id == job.id
    assert submit_evaluation(home, model, dataset="mine", items=5).id != job.id
    assert submit_evaluation(home, model, dataset="mine", items=4, again=True).id != job.id
    assert job.payload["task"] == "tutor"
    with pytest.raises(ConfigError) as nothing:
        submit_evaluation(home, model)
    assert nothing.value.code == "no-dataset"
    with pytest.raises(NotFoundError):
        submit_evaluation(home, model, dataset="nothing")


def test_a_job_of_an_unknown_kind_fails_and_says_so(home):
    job = home.jobs.submit("knit", {})
    seen = []
    with pytest.raises(JobFailed, match="No handler is known for jobs of kind 'knit'") as failed:
        wait_for(home, job.id, lambda now, events: seen.append((now.state, [e.message for e in events])))
    assert failed.value.job_id == job.id
    assert seen[-1][0] == "failed"


def test_children_work_on_the_same_home_cache_and_base(home, monkeypatch):
    environment = child_environment(home.with_base("other"))
    assert environment["HOMEROOM_HOME"] == str(home.settings.home)
    assert environment["HOMEROOM_CACHE"] == str(home.settings.cache)
    assert environment["HOMEROOM_DEFAULT_BASE"] == "other"
    assert environment["PATH"]


def niceness_of_jobs(home):
    """Of each process that runs a job of this home, with its threads."""
    found = []
    for pid in processes_of(home.settings.home):
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"homeroom.app.run_job" in command and b"launcher.py" not in command:
                found += [os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()]
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads Linux's list of processes")
@pytest.mark.slow
def test_a_running_job_is_cancelled_and_its_checkpoint_kept(home, dataset):
    job = submit_tuning(home, "mine", RECIPE.model_copy(update={"epochs": 500, "max_trained_tokens": None}))
    seen = []

    def cancel_once_it_trains(now, events):
        if list(home.work_root.glob("*/work/checkpoints/step-*")):
            seen.extend(niceness_of_jobs(home))
            home.jobs.request_cancel(job.id)

    with pytest.raises(JobFailed, match="it was cancelled"):
        wait_for(home, job.id, cancel_once_it_trains)
    assert home.jobs.get(job.id).state == "cancelled"
    assert set(seen) == {max(5, os.nice(0))}, "a job yields to the chat, whoever started it"
    assert list((home.work_root / job.id / "work" / "checkpoints").glob("step-*"))
    assert home.registry.list() == ()


@pytest.mark.parametrize("before", [0, 2, 5, 9])
def test_a_job_has_a_lower_priority_once_whatever_started_it(before):
    program = (
        f"import os; os.nice({before}); from homeroom.app.run_job import yield_to_the_chat as y; y(); y(); print(os.nice(0))"
    )
    told = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, check=True).stdout
    assert int(told) == max(5, min(19, os.nice(0) + before))


@pytest.mark.slow
def test_dialogues_longer_than_the_few_shot_budget_are_judged_too(home, model, tmp_path):
    long = []
    for record in material.tutor_records()[::2]:
        question, reply = record["messages"]
        words = " ".join(["the teacher asks a question and waits"] * 20)
        long.append({**record, "messages": [question, {**reply, "content": f"{reply['content']} {words}"}]})
    home.datasets.create("long", load_examples(material.write_jsonl(tmp_path / "long.jsonl", long)))
    job = wait_for(home, submit_evaluation(home, model, dataset="long", items=3, max_tokens=4).id)
    assert job.state == "succeeded"
    assert home.registry.get(model.name).verdict == job.result["outcome"]


def test_prune_keeps_what_the_api_lists(home):
    from homeroom.app.work import prune
    from homeroom.storage.tables import FineTuningJobRow

    ordered, plain = home.jobs.submit("tune", {}), home.jobs.submit("tune", {})
    with home.database.write() as session:
        row = {"id": "ftjob-1", "position": 1, "job_id": ordered.id, "model": "m", "base": "tiny", "training_file": "file-1"}
        session.add(FineTuningJobRow(**row, request={}))
    for job in (ordered, plain):
        home.jobs.request_cancel(job.id)
    assert prune(home, home.jobs.get(plain.id).finished_at + 1) == (plain.id,)
    assert home.jobs.get(ordered.id).state == "cancelled"
