"""`homeroom jobs`: what was asked for, how far it is, and what its process wrote."""

from __future__ import annotations

import pytest

from homeroom.app.home import Homeroom
from tests.app import material
from tests.cli.commands import eventually, processes_of


@pytest.fixture
def queued(homeroom, course, recipe):
    """A tuning run that waits."""
    homeroom("data", "split", course)
    arguments = ("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--task", "tutor", "--no-wait", "--json")
    return homeroom(*arguments).json[0]["id"]


def test_list_shows_the_newest_first(tuned, homeroom):
    jobs = homeroom("jobs", "list", "--json").json
    assert sorted(job["kind"] for job in jobs) == ["evaluate", "evaluate", "tune"]
    assert [job["created_at"] for job in jobs] == sorted((job["created_at"] for job in jobs), reverse=True)
    rows = homeroom("jobs", "list").out.splitlines()[1:]
    assert [row.split()[:4] for row in rows] == [[job["id"], job["kind"], "succeeded", "100%"] for job in jobs]
    assert len(homeroom("jobs", "list", "--limit", "1", "--json").json) == 1
    assert homeroom("jobs", "list", "--state", "failed", "--json").json == []


def test_no_job_yet_says_how_to_start_one(homeroom):
    assert homeroom("jobs", "list").out == "No jobs yet. Start one with: homeroom tune run\n"


def test_show_follow_and_logs_of_a_job_that_is_done(tuned, homeroom):
    with Homeroom.open() as home:
        job = home.jobs.list(kind="tune")[0]
    shown = homeroom("jobs", "show", job.id, "--json").json
    assert (shown["state"], shown["result"]["model"]) == ("succeeded", job.result["model"])
    messages = [event["message"] for event in shown["events"]]
    assert any("prompts give the same tokens in training and in the engine" in message for message in messages)
    assert [event["seq"] for event in shown["events"]] == sorted(event["seq"] for event in shown["events"])
    text = homeroom("jobs", "show", job.id).out
    assert text.startswith(f"{job.id}  tune  succeeded  100%  attempt {job.attempts}\n  needs a slot of cpu; took ")
    assert homeroom("jobs", "follow", job.id, "--json").json["id"] == job.id
    assert homeroom("jobs", "follow", job.id).code == 0
    log = homeroom("jobs", "logs", job.id, "--json").json
    assert log["job"] == job.id
    assert (log["log"] or f"Job {job.id} has written nothing") in homeroom("jobs", "logs", job.id).out


def test_a_queued_job_is_cancelled_at_once_and_queued_again_when_asked_for_again(queued, homeroom, recipe):
    assert homeroom("jobs", "cancel", queued).out == f"{queued}: cancelled\n"
    assert homeroom("jobs", "show", queued, "--json").json["state"] == "cancelled"
    followed = homeroom("jobs", "follow", queued)
    assert (followed.code, "it was cancelled" in followed.error) == (1, True)
    arguments = ("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--task", "tutor", "--no-wait", "--json")
    (again,) = homeroom(*arguments).json
    assert (again["state"], again["id"]) == ("queued", queued)
    assert homeroom(*arguments).json[0]["id"] == queued


def test_a_job_that_wrote_nothing_says_where_to_look(queued, homeroom):
    assert f"homeroom jobs show {queued}" in homeroom("jobs", "logs", queued).out


@pytest.mark.parametrize("command", ["show", "follow", "cancel", "logs"])
def test_an_unknown_job_is_one_line(homeroom, command):
    told = homeroom("jobs", command, "job-000000000000")
    assert (told.code, "homeroom jobs list" in told.error) == (2, True)


def test_a_job_that_fails_says_why_in_one_line(homeroom):
    with Homeroom.open() as home:
        job = home.jobs.submit("tune", {"dataset": "gone", "recipe": {**material.QUICK, "name": "quick"}})
    told = homeroom("jobs", "follow", job.id)
    assert told.code == 1
    assert "There is no dataset 'gone'" in told.error and "homeroom data" in told.error
    assert homeroom("jobs", "list", "--state", "failed", "--json").json[0]["error_code"] == "dataset-not-found"


def test_a_worker_runs_what_is_queued_until_ctrl_c(start, homeroom, home):
    with Homeroom.open() as opened:
        job = opened.jobs.submit("knit", {})
        worker = start("worker")
        eventually(lambda: opened.jobs.get(job.id).done)
    worker.interrupt()
    told = worker.ended()
    assert (told.code, told.out) == (0, "")
    assert told.err.splitlines()[-1] == "Stopped. A job that ran goes on when a worker runs again."
    assert "Traceback" not in told.err
    assert homeroom("jobs", "show", job.id, "--json").json["error_code"] == "job-kind-unknown"
    assert processes_of(home) == []


def test_a_queued_job_is_paused_listed_as_such_and_resumed(queued, homeroom):
    assert homeroom("jobs", "pause", queued).out == f"{queued}: paused\n"
    (row,) = homeroom("jobs", "list", "--state", "paused", "--json").json
    assert (row["id"], row["state"], row["status"]) == (queued, "queued", "paused")
    assert homeroom("jobs", "list", "--state", "queued", "--json").json == []
    followed = homeroom("jobs", "follow", queued)
    assert (followed.code, f"homeroom jobs resume {queued}" in followed.error) == (1, True)
    assert homeroom("jobs", "resume", queued).out.startswith(f"{queued}: queued")


def test_the_limit_counts_the_jobs_that_are_shown(homeroom):
    """Paused jobs are stored as queued ones: newer ones of the other kind hide none."""
    with Homeroom.open() as home:
        first = [home.jobs.submit("tune", {}).id for _ in range(3)]
        for job_id in first[:2]:
            home.jobs.pause(job_id)
        newer = [home.jobs.submit("tune", {}).id for _ in range(25)]
    assert [job["id"] for job in homeroom("jobs", "list", "--state", "paused", "--json").json] == first[1::-1]
    assert [job["id"] for job in homeroom("jobs", "list", "--state", "paused", "--limit", "1", "--json").json] == [first[1]]
    with Homeroom.open() as home:
        for job_id in newer:
            home.jobs.pause(job_id)
    assert [job["id"] for job in homeroom("jobs", "list", "--state", "queued", "--json").json] == [first[2]]
    assert len(homeroom("jobs", "list", "--state", "paused", "--json").json) == 20


def test_a_job_waits_for_its_hour_or_for_another_job_and_says_so(queued, homeroom, recipe):
    base = ("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--task", "learner", "--no-wait", "--json")
    (later,) = homeroom(*base, "--at", "2099-01-01 08:00", "--priority", "3", "--after", queued).json
    assert (later["priority"], later["depends_on"], later["resource"]) == (3, [queued], "cpu")
    assert "waits until 2099-01-01" in homeroom("jobs", "list").out
    shown = homeroom("jobs", "show", later["id"]).out
    assert "priority 3; needs a slot of cpu; waits until 2099-01-01" in shown
    moved = homeroom(*base[:-1], "--at", "2098-01-01 08:00")
    assert moved.code == 0 and f"job {later['id']} was there before and keeps its own time" in moved.err
    assert "was there before" not in homeroom(*base[:-1]).err, "nothing else was asked for"
    refused = homeroom(*base[:-1], "--again", "--after", "job-nowhere")
    assert (refused.code, "#job-not-found" in refused.error) == (2, True)
    assert homeroom(*base, "--at", "tomorrow").code == 2


def test_old_jobs_are_forgotten_and_those_behind_a_model_stay(tuned, homeroom, home):
    evaluations = [job["id"] for job in homeroom("jobs", "list", "--json").json if job["kind"] == "evaluate"]
    assert homeroom("jobs", "prune", "--days", "1", "--json").json == {"forgotten": []}
    gone = homeroom("jobs", "prune", "--days", "0", "--json").json["forgotten"]
    assert sorted(gone) == sorted(evaluations)
    assert [(home / "jobs" / job_id).exists() for job_id in evaluations] == [False, False]
    (left,) = homeroom("jobs", "list", "--json").json
    assert left["kind"] == "tune" and (home / "jobs" / left["id"]).exists()
    assert homeroom("models", "list", "--json").code == 0
