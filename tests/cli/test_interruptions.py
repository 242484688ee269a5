"""Ctrl-C, kill -9 and two at once, in the middle of tuning: nothing is left running, nothing is lost, nothing is done twice.

A process that trains takes seconds to start, so each story is played once and its tests look at how it went.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from homeroom.settings import load_settings
from tests.app import material
from tests.cli.conftest import Command, Outcome, eventually, processes_of


@dataclass
class Story:
    """A home and what happened in it."""

    home: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    left: dict[str, list[int]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def open(self) -> Homeroom:
        return Homeroom.open(load_settings({"home": str(self.home)}))

    def training(self, after: int = 0) -> int:
        """The newest checkpoint's step once there is one beyond ``after``."""

        def newest() -> int:
            steps = [int(path.name.removeprefix("step-")) for path in self.home.glob("jobs/*/work/checkpoints/step-*")]
            return max((step for step in steps if step > after), default=0)

        return eventually(newest)

    def ended(self, name: str, command: Command) -> None:
        """Note how ``command`` ended, and what was left a moment later."""
        self.outcomes[name] = command.ended()
        started = time.monotonic()
        while (left := processes_of(self.home)) and time.monotonic() < started + 10:
            time.sleep(0.02)
        self.left[name], self.seconds[name] = left, time.monotonic() - started
        with self.open() as home:
            self.states[name] = home.jobs.list(kind="tune")[0].state


@pytest.fixture(scope="module")
def _environment(cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        material.use_tiny(monkeypatch, cache)
        yield


@pytest.fixture(scope="module")
def tuning(_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """`homeroom tune run`: interrupted, killed, and then started twice at the same time."""
    folder = tmp_path_factory.mktemp("tuning")
    story = Story(folder / "home")
    data = material.write_jsonl(folder / "mine.jsonl", material.tutor_records())
    recipe = material.write_recipe(folder / "long.yaml", material.LONG)
    Command(story.home, "data", "split", data).ended()
    run = ("tune", "run", "--dataset", "mine", "--recipe", recipe)

    first = Command(story.home, *run)
    story.training()
    first.interrupt()
    story.ended("interrupted", first)

    second = Command(story.home, *run)
    story.training(after=story.training())
    second.process.kill()
    story.ended("killed", second)

    both = [Command(story.home, *run) for _ in range(2)]
    story.ended("one", both[0])
    story.ended("other", both[1])
    return story


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
    assert tuning.seconds["killed"] < 5


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


@pytest.fixture(scope="module")
def demo_of_one_task(_environment: None, tmp_path_factory: pytest.TempPathFactory, recipe: Path) -> Story:
    """`homeroom demo` with a file of one task: Ctrl-C twice in a row while it trains, then the same command again."""
    folder = tmp_path_factory.mktemp("demo-of-one-task")
    story = Story(folder / "home")
    data = material.write_jsonl(folder / "tutors.jsonl", material.tutor_records())
    demo = ("demo", "--no-serve", "--data", data, "--recipe", recipe)
    first = Command(story.home, *demo)
    story.training()
    first.interrupt()
    time.sleep(0.1)
    first.interrupt()
    story.ended("interrupted", first)
    story.ended("again", Command(story.home, *demo))
    return story


def test_ctrl_c_twice_is_no_worse_than_once(demo_of_one_task):
    told = demo_of_one_task.outcomes["interrupted"]
    assert told.code in (130, -signal.SIGINT)  # a shell reports both as 130
    assert "Traceback" not in told.err
    assert demo_of_one_task.left["interrupted"] == []


def test_the_demo_continues_and_leaves_out_the_act_that_has_no_examples(demo_of_one_task):
    told = demo_of_one_task.outcomes["again"]
    assert told.code == 0, told.err
    assert "No learner examples in this file: that act is left out." in told.out
    with demo_of_one_task.open() as home:
        (model,) = home.registry.list()
        assert (model.task, len(home.registry.scorecards(model.name))) == ("tutor", 1)
        assert {job.state for job in home.jobs.list()} == {"succeeded"}
    assert demo_of_one_task.left["again"] == []
