"""Running the command line: inside this process where a command only looks and writes, as a process where it starts others."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homeroom.cli.main import run
from tests.app import material
from tests.cli.commands import Command, Outcome, kill_all
from tests.cli.stories import Story, play_demo, play_tuning

TIMEOUT_S = 900  # the stories are played in the set-up of the first test that asks for one


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


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


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory, cache: Path, course: Path, recipe: Path) -> Iterator[tuple[Story, Story]]:
    """Both long stories, once for all tests, side by side on two cores."""
    demo, tuning = Story(tmp_path_factory.mktemp("demo") / "home"), Story(tmp_path_factory.mktemp("tuning") / "home")
    with pytest.MonkeyPatch.context() as monkeypatch, ThreadPoolExecutor(2) as pool:
        material.use_tiny(monkeypatch, cache)
        try:
            for played in (pool.submit(play_demo, demo, course, recipe), pool.submit(play_tuning, tuning)):
                played.result()
        finally:
            for story in (demo, tuning):
                kill_all(story.home)
    yield demo, tuning


@pytest.fixture
def demo(stories: tuple[Story, Story]) -> Story:
    """A whole demo: what it said, and the home it left."""
    return stories[0]


@pytest.fixture
def tuning(stories: tuple[Story, Story]) -> Story:
    """A tuning run that was stopped in every way."""
    return stories[1]


@pytest.fixture
def tuned(demo: Story, home: Path) -> Path:
    """This test's home: a copy of the demo's, with a tutor and a simulated learner, judged."""
    assert demo.outcome.code == 0, demo.outcome.err
    shutil.copytree(demo.home, home)
    return home
