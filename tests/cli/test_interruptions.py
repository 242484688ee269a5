"""Ctrl-C, kill -9 and two at once, in the middle of tuning: nothing is left running, nothing is lost, nothing is done twice."""

from __future__ import annotations

import signal
import subprocess
import sys

LOST = """
import signal, time
from homeroom.cli import main

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def run(argv):
    Finalized()
    time.sleep(60)
    return 0

main.run = run
main.main([])
"""


def test_ctrl_c_ends_everything_in_one_line(tuning):
    told = tuning.outcomes["interrupted"]
    assert told.code == 130
    assert told.err.splitlines()[-1] == "Stopped. What was finished is kept; run the same command to continue."
    assert "Traceback" not in told.err
    assert tuning.left["interrupted"] == []
    assert tuning.states["interrupted"] == "queued"


def test_kill_9_leaves_no_process(tuning):
    assert tuning.outcomes["killed"].code == -9
    assert tuning.left["killed"] == []


def test_two_at_once_give_the_same_model(tuning):
    one, other = tuning.outcomes["one"], tuning.outcomes["other"]
    assert (one.code, other.code) == (0, 0), one.err + other.err
    assert one.out == other.out
    assert one.out.startswith("Registered ft:tiny:homeroom:long:")
    with tuning.open() as home:
        (model,) = home.registry.list()
        assert f"Registered {model.name}" in one.out


def test_every_start_continued_from_the_last_checkpoint(tuning):
    with tuning.open() as home:
        (job,) = home.jobs.list(kind="tune")
        (model,) = home.registry.list()
        continued = [e.message for e in home.jobs.events(job.id, limit=10_000) if e.message.startswith("Continuing")]
    steps = [int(message.split("step ")[1].split()[0]) for message in continued]
    assert len(steps) == 2 and 0 < steps[0] < steps[1] < model.metrics["steps"]
    assert (job.state, model.job_id) == ("succeeded", job.id)


def test_ctrl_c_twice_is_no_worse_than_once(stopped_demo):
    told = stopped_demo.outcomes["interrupted"]
    assert told.code in (130, -signal.SIGINT)  # a shell reports both as 130
    assert "Traceback" not in told.err
    assert stopped_demo.left["interrupted"] == []


def test_the_interrupted_demo_goes_on_with_the_same_job(stopped_demo):
    assert stopped_demo.outcomes["again"].code == 0, stopped_demo.outcomes["again"].err
    with stopped_demo.open() as home:
        learner = next(model for model in home.registry.list() if model.task == "learner")
        messages = [event.message for event in home.jobs.events(learner.job_id)]
        assert len(home.jobs.list(kind="tune")) == 1
    assert any(message.startswith("Continuing from the checkpoint at step ") for message in messages)
    assert stopped_demo.left["again"] == []


def test_ctrl_c_that_fell_into_a_finalizer_is_neither_lost_nor_printed():
    told = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=50, check=False)
    assert (told.returncode, told.stderr) == (130, "")
