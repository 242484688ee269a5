"""Running the command line: inside this process where a command only looks and writes, as a process where it starts others."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from homeroom.cli.main import run
from tests.app import material
from tests.cli.commands import Command, Outcome, kill_all
from tests.cli.stories import Story, play_demo, play_stopped_demo, play_tuning

TIMEOUT_S = 900  # the stories are played in the set-up of the first test that asks for one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
            if {"tuning", "stopped_demo"} & set(getattr(item, "fixturenames", ())):  # several trainings
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.tiny_cache(tmp_path_factory)


@pytest.fixture(autouse=True)
def _tiny(_hermetic: None, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    material.use_tiny(monkeypatch, cache)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def homeroom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs a command in this process: `homeroom("models", "list")`."""

    def command(*arguments: str | Path, typed: str = "") -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Command]]:
    """Starts a command as a process; whatever still runs at the end of the test is killed."""
    commands: list[Command] = []

    def command(*arguments: str | Path, **settings: Any) -> Command:
        commands.append(Command(home, *arguments, **settings))
        return commands[-1]

    yield command
    for one in commands:
        one.process.kill()
        one.process.communicate()
    kill_all(home)


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with examples of both tasks."""
    folder = tmp_path_factory.mktemp("course")
    return material.write_jsonl(folder / "small-course.jsonl", [*material.tutor_records(), *material.learner_records()])


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a quick run for both tasks at once."""
    return material.write_recipe(tmp_path_factory.mktemp("recipe") / "quick.yaml", material.BOTH_TASKS)


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a quick run for each task."""
    return material.write_recipe(tmp_path_factory.mktemp("recipe") / "two.yaml", material.TWO_RUNS)


@contextmanager
def _played(folder: Path, cache: Path, play: Callable[[Story], None]) -> Iterator[Story]:
    story = Story(folder / "home")
    with pytest.MonkeyPatch.context() as monkeypatch:
        material.use_tiny(monkeypatch, cache)
        try:
            play(story)
        finally:
            kill_all(story.home)
    yield story


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, cache: Path, course: Path, recipe: Path) -> Iterator[Story]:
    """A whole demo, once for all tests: what it said, and the home it left."""
    with _played(tmp_path_factory.mktemp("demo"), cache, lambda story: play_demo(story, course, recipe)) as story:
        yield story


@pytest.fixture(scope="session")
def stopped_demo(tmp_path_factory: pytest.TempPathFactory, cache: Path, course: Path, recipe: Path) -> Iterator[Story]:
    """A demo that was stopped and started again, once for all tests."""
    with _played(tmp_path_factory.mktemp("stopped"), cache, lambda story: play_stopped_demo(story, course, recipe)) as story:
        yield story


@pytest.fixture(scope="session")
def tuning(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Story]:
    """A tuning run that was stopped in every way, once for all tests."""
    with _played(tmp_path_factory.mktemp("tuning"), cache, play_tuning) as story:
        yield story


@pytest.fixture
def tuned(demo: Story, home: Path) -> Path:
    """This test's home: a copy of the demo's, with a tutor and a simulated learner, judged."""
    assert demo.outcome.code == 0, demo.outcome.err
    shutil.copytree(demo.home, home)
    return home
