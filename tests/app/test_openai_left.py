"""What a run leaves at its endpoint when it is given up: its job is ended there, and its files go when they are to go."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeroom.app.handlers import handlers
from homeroom.app.home import Homeroom
from homeroom.app.openai_left import DAY_S, cancel_job, left_by, left_there, submit_deletion, submit_due, tidying
from homeroom.app.tuning import submit_tuning
from homeroom.app.work import prune
from homeroom.data.reading import load_examples
from homeroom.errors import ConflictError, NotFoundError
from homeroom.jobs.execute import execute
from homeroom.schema.jobs import Job
from homeroom.storage.tables import JobRow
from homeroom.tuning.openai.recipe import OpenAIRecipe
from tests.app import material
from tests.doubles.tuning_server import KEY, TuningDouble

RUN = OpenAIRecipe(name="mine", base="school/gpt-4.1-mini")


@pytest.fixture
def school(monkeypatch: pytest.MonkeyPatch) -> Iterator[TuningDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with TuningDouble() as made:
        made.script = ("validating_files", *["running"] * 1000)
        yield made


@pytest.fixture
def opened(school: TuningDouble, _tiny: None, tmp_path: Path) -> Iterator[Homeroom]:
    """A home with an endpoint whose work is paid."""
    folder = tmp_path / "home"
    folder.mkdir()
    endpoint = f"{{name: school, base_url: '{school.address}', models: [gpt-4.1-mini], api_key_env: SCHOOL_API_KEY}}"
    (folder / "config.yaml").write_text(f"endpoints: [{endpoint}]\nremote_files_days: 30\n")
    (folder / "prices.yaml").write_text("endpoints: {school/gpt-4.1-mini: {input: 0.8, output: 3.2, training: 5.0}}\n")
    with Homeroom.open() as home:
        home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())))
        yield home


def work_on(home: Homeroom, job: Job) -> Job:
    """Do a job in this process, as its own would."""
    claimed = home.jobs.claim("worker", 60, job.id)
    assert claimed is not None
    execute(home.jobs, job.id, claimed.token, handlers(home), home.work_root)
    return home.jobs.get(job.id)


def stopped(home: Homeroom, school: TuningDouble, stop: Callable[[str], object], run: OpenAIRecipe = RUN) -> Job:
    """A run that was told to stop when its job there was asked for the first time."""
    job = submit_tuning(home, "mine", run)

    def after(number: int, method: str, path: str) -> None:
        if path.endswith("/events"):
            school.after = lambda number, method, path: None
            stop(job.id)

    school.after = after
    return work_on(home, job)


def held(home: Homeroom) -> float:
    (total,) = home.ledger.totals(())
    return total.held_usd


def test_a_run_that_is_cancelled_while_it_is_paused_ends_there_and_is_settled(opened, school):
    job = stopped(opened, school, opened.jobs.pause)
    assert (job.status, school.paid[0]["status"]) == ("paused", "running") and held(opened) > 0
    assert submit_due(opened) == [], "a paused run goes on there"
    cancelled, rest = cancel_job(opened, job.id)
    assert cancelled.state == "cancelled" and rest is not None
    done = work_on(opened, rest)
    assert done.state == "succeeded" and done.result == {"ended": ["ftjob-1"], "deleted": 0}
    assert school.paid[0]["status"] == "cancelled" and held(opened) == 0.0
    assert submit_due(opened) == [], "it is done once"

    school.script = ("validating_files", "succeeded")
    again = work_on(opened, submit_tuning(opened, "mine", RUN))
    assert again.id == job.id and [job["status"] for job in school.paid] == ["cancelled", "succeeded"]


def test_what_could_not_be_ended_is_tried_again_until_it_has(opened, school):
    job = stopped(opened, school, opened.jobs.pause)
    school.faults = [("POST", "/cancel", "401")]
    _, rest = cancel_job(opened, job.id)
    assert work_on(opened, rest).error_code == "provider-auth" and school.paid[0]["status"] == "running" and held(opened) > 0
    (again,) = submit_due(opened)
    assert again.id == rest.id and work_on(opened, again).state == "succeeded"
    assert school.paid[0]["status"] == "cancelled" and held(opened) == 0.0


def test_a_run_that_was_taken_up_again_is_left_alone(opened, school):
    job = stopped(opened, school, opened.jobs.pause)
    _, rest = cancel_job(opened, job.id)
    submit_tuning(opened, "mine", RUN)
    assert work_on(opened, rest).result == {"ended": [], "deleted": 0} and school.paid[0]["status"] == "running"


def test_a_run_that_is_cancelled_while_it_runs_ends_there_by_itself_and_another_looks_later(opened, school):
    seen = []
    job = stopped(opened, school, lambda job_id: seen.append(cancel_job(opened, job_id)[1]))
    assert (job.state, school.paid[0]["status"]) == ("cancelled", "cancelled") and held(opened) == 0.0
    (rest,) = seen
    assert rest.not_before > time.time() and opened.jobs.claim("worker", 60, rest.id) is None
    assert submit_due(opened) == []


@pytest.mark.parametrize("given_up", ["failed", "paused"])
@pytest.mark.parametrize("arrived", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_job_whose_confirmation_was_lost_is_looked_for_and_ended(opened, school, arrived, given_up):
    real, creating = school.take_fault, []

    def take(method: str, path: str) -> str:
        if (method, path) == ("POST", "/v1/fine_tuning/jobs") and school.files:
            creating.append(path)
            school.faults = [("GET", "/fine_tuning/jobs", "401")]
            return "lost" if arrived else "silence"
        return real(method, path)

    school.take_fault = take
    job = work_on(opened, submit_tuning(opened, "mine", RUN))
    assert (job.state, len(creating), len(school.paid)) == ("failed", 1, int(arrived)) and held(opened) > 0
    assert submit_due(opened) == [], "the same command would find the job there and follow it"
    if given_up == "paused":
        opened.jobs.pause(submit_tuning(opened, "mine", RUN).id)
    _, rest = cancel_job(opened, job.id)
    if not arrived:  # a list may show it later: what is held is given back when it is not there a while later either
        done = work_on(opened, rest)
        assert (done.state, done.error_code) == ("failed", "fine-tuning-unlisted") and held(opened) > 0
        (rest,) = submit_due(opened)
        assert work_on(opened, rest).state == "failed" and held(opened) > 0, "too soon"
        place = opened.work_root / job.id / "work" / "run.json"
        state = json.loads(place.read_text())
        state["rungs"][0]["missed_at"] -= 120
        place.write_text(json.dumps(state))
        (rest,) = submit_due(opened)
    assert work_on(opened, rest).state == "succeeded"
    assert [paid["status"] for paid in school.paid] == ["cancelled"] * arrived and held(opened) == 0.0
    assert left_by(opened, opened.jobs.get(job.id)).unfinished is False


def refused_while_it_is_followed(home: Homeroom, school: TuningDouble, run: OpenAIRecipe = RUN) -> Job:
    """A run that failed here while its job goes on there."""

    def after(number: int, method: str, path: str) -> None:
        if path.endswith("/events"):
            school.after = lambda number, method, path: None
            school.faults = [("GET", "/fine_tuning/jobs/ftjob-1", "401")]

    school.after = after
    return work_on(home, submit_tuning(home, "mine", run))


def test_a_run_that_failed_here_is_ended_there_when_it_is_cancelled_and_not_before(opened, school):
    run = RUN.model_copy(update={"delete_files": True})
    job = refused_while_it_is_followed(opened, school, run)
    assert (job.state, school.paid[0]["status"]) == ("failed", "running") and held(opened) > 0
    (left,) = left_there(opened)
    assert left.deletes and left.unfinished and submit_due(opened) == [], "the same command would go on with it"
    same, rest = cancel_job(opened, job.id)
    assert (same.state, rest is not None) == ("failed", True)
    files = uploaded(school)
    assert work_on(opened, rest).result == {"ended": ["ftjob-1"], "deleted": files} and files > 0
    assert school.paid[0]["status"] == "cancelled" and held(opened) == 0.0 and uploaded(school) == 0
    assert left_there(opened) == [] == submit_due(opened)
    with pytest.raises(ConflictError, match="has already failed") as refused:
        cancel_job(opened, job.id)
    assert refused.value.code == "job-finished"


def test_a_failed_run_that_could_not_be_ended_is_tried_again_unless_it_was_taken_up(opened, school):
    job = refused_while_it_is_followed(opened, school)
    school.faults = [("POST", "/cancel", "401")]
    _, rest = cancel_job(opened, job.id)
    assert work_on(opened, rest).state == "failed" and school.paid[0]["status"] == "running"
    (again,) = submit_due(opened)
    assert again.id == rest.id
    assert refused_while_it_is_followed(opened, school).id == job.id
    assert work_on(opened, again).result == {"ended": [], "deleted": 0} and school.paid[0]["status"] == "running"
    assert submit_due(opened) == [], "it was taken up since, and nobody has cancelled it again"
    _, rest = cancel_job(opened, job.id)
    assert work_on(opened, rest).state == "succeeded" and school.paid[0]["status"] == "cancelled"


def lost_upload(school: TuningDouble, refusals: int) -> None:
    """The first file arrives, nobody hears of it, and so many further looks are refused."""

    def after(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/files"):
            school.after = lambda number, method, path: None
            school.faults = [("GET", "/files", "401")] * refusals

    school.after, school.faults = after, [("POST", "/files", "lost")]


def test_a_file_whose_arrival_was_not_confirmed_is_listed_and_deleted(opened, school):
    lost_upload(school, 2)  # the second look is that of the deletion
    job = work_on(opened, submit_tuning(opened, "mine", RUN.model_copy(update={"delete_files": True})))
    assert job.state == "failed" and uploaded(school) == 1
    (left,) = left_there(opened)
    assert (left.files, left.perhaps, left.delete_at) == ((), 1, job.finished_at)
    assert job.id not in prune(opened, time.time()), "what may lie there is not forgotten"
    (due,) = submit_due(opened)
    assert work_on(opened, due).result == {"ended": [], "deleted": 1}
    assert uploaded(school) == 0 and left_there(opened) == [] == submit_due(opened)


def test_a_file_whose_arrival_was_not_confirmed_is_deleted_by_the_run_itself_where_it_can_be(opened, school):
    lost_upload(school, 1)
    job = work_on(opened, submit_tuning(opened, "mine", RUN.model_copy(update={"delete_files": True})))
    assert job.state == "failed" and uploaded(school) == 0 and left_there(opened) == []


def test_a_file_that_may_have_arrived_is_deleted_on_request_and_when_the_settings_say_so(opened, school):
    lost_upload(school, 1)
    job = work_on(opened, submit_tuning(opened, "mine", RUN))
    assert left_by(opened, job).perhaps == 1 and submit_due(opened) == []
    assert work_on(opened, submit_deletion(opened, job.id)).result == {"ended": [], "deleted": 1}
    assert uploaded(school) == 0 and left_there(opened) == []

    lost_upload(school, 1)
    job = work_on(opened, submit_tuning(opened, "mine", RUN))
    ended(opened, job, 31)
    (due,) = submit_due(opened)
    assert work_on(opened, due).state == "succeeded" and uploaded(school) == 0


def uploaded(school: TuningDouble) -> int:
    return len([file for file in school.files.values() if file["purpose"] == "fine-tune"])


def ended(home: Homeroom, job: Job, days: float) -> None:
    """Have the run ended so many days ago."""
    with home.database.write() as session:
        session.get_one(JobRow, job.id).finished_at = time.time() - days * DAY_S


def test_files_are_deleted_when_the_settings_say_so_and_not_before(opened, school):
    job = stopped(opened, school, lambda job_id: cancel_job(opened, job_id))
    (left,) = left_there(opened)
    assert (left.endpoint, left.run, len(left.files)) == ("school", "mine", uploaded(school))
    assert left.delete_at == pytest.approx(job.finished_at + 30 * DAY_S)
    ended(opened, job, 29.9)
    assert submit_due(opened) == [] and prune(opened, time.time()) == (), "what lies there is not forgotten"
    ended(opened, job, 30.1)
    (due,) = submit_due(opened)
    assert work_on(opened, due).result == {"ended": [], "deleted": len(left.files)}
    assert uploaded(school) == 0 and left_there(opened) == [] == submit_due(opened)
    assert job.id in prune(opened, time.time())


def test_files_are_never_deleted_where_nothing_says_so(opened, school):
    job = stopped(opened, school, lambda job_id: cancel_job(opened, job_id))
    ended(opened, job, 4000)
    (opened.settings.home / "config.yaml").write_text(
        (opened.settings.home / "config.yaml").read_text().replace("remote_files_days: 30", "")
    )
    with Homeroom.open() as careless:
        assert [left.delete_at for left in left_there(careless)] == [None] and submit_due(careless) == []


def test_files_that_a_run_could_not_delete_as_asked_are_deleted_later(opened, school):
    school.faults = [("DELETE", "/files", "401")]
    run = RUN.model_copy(update={"delete_files": True})
    stopped(opened, school, lambda job_id: cancel_job(opened, job_id), run)
    assert school.faults == [] and uploaded(school) > 0
    (due,) = submit_due(opened)
    assert work_on(opened, due).state == "succeeded" and uploaded(school) == 0


def test_files_are_deleted_on_request_once_the_run_is_over(opened, school):
    job = stopped(opened, school, opened.jobs.pause)
    with pytest.raises(ConflictError, match="is paused and needs its files") as refused:
        submit_deletion(opened, job.id)
    assert refused.value.code == "remote-files-in-use"
    cancel_job(opened, job.id)
    assert work_on(opened, submit_deletion(opened, job.id)).state == "succeeded" and uploaded(school) == 0
    with pytest.raises(NotFoundError) as refused:
        submit_deletion(opened, job.id)
    assert refused.value.code == "no-remote-files"


def test_a_server_s_worker_queues_what_is_due_by_itself(opened, school):
    job = stopped(opened, school, lambda job_id: cancel_job(opened, job_id))
    ended(opened, job, 31)
    with tidying(opened):
        deadline = time.monotonic() + 20
        while not (found := [j for j in opened.jobs.list("queued", "tidy") if j.payload["what"] == "delete"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert found[0].payload["job"] == job.id
