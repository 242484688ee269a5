"""Running the command line: inside this process where a command only looks and writes, as a process where it starts others."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeroom.cli.main import run
from tests.app import material

SOURCE = Path(__file__).parents[2] / "src"
PATIENCE_S = 280.0  # never reached on a machine that is not overloaded


@dataclass(frozen=True)
class Outcome:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of an error, checked to be one line and no traceback."""
        assert "Traceback" not in self.out + self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert lines[0] == self.err.splitlines()[-1]
        return lines[0]


class Command:
    """A command that runs as a process of its own, in its own process group as a shell gives it."""

    def __init__(self, home: Path, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homeroom", *map(str, arguments)],
            env=environment(home, env),
            cwd=home.parent,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def ended(self) -> Outcome:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Outcome(self.process.returncode, out, err)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)


def environment(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """This test's environment for a process that works on ``home``."""
    return {**os.environ, "HOMEROOM_HOME": str(home), "PYTHONPATH": str(SOURCE), **(more or {})}


def processes_of(home: Path) -> list[int]:
    """Every process that was started for ``home``, found by its environment: children in groups of their own too."""
    mark = f"HOMEROOM_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if mark in (folder / "environ").read_bytes().split(b"\0") and state not in "ZX":
                found.append(int(folder.name))
    return found


def eventually(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What ``condition`` gives, once it is true."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.02)
    return value


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
def home(tmp_path: Path) -> Path:
    """The home that commands of this test work on."""
    return tmp_path / "home"


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
    for pid in processes_of(home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with examples of both tasks."""
    folder = tmp_path_factory.mktemp("course")
    return material.write_jsonl(folder / "small-course.jsonl", [*material.tutor_records(), *material.learner_records()])


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a quick run for each task."""
    return material.write_recipe(tmp_path_factory.mktemp("recipe") / "quick.yaml", material.BOTH_TASKS)


@dataclass(frozen=True)
class Demo:
    """A whole demo, once for all tests: what it said, and the home it left."""

    home: Path
    outcome: Outcome
    arguments: tuple[str, ...]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, cache: Path, course: Path, recipe: Path) -> Demo:
    home = tmp_path_factory.mktemp("demo") / "home"
    arguments = ("demo", "--no-serve", "--data", str(course), "--recipe", str(recipe))
    with pytest.MonkeyPatch.context() as monkeypatch:
        material.use_tiny(monkeypatch, cache)
        return Demo(home, Command(home, *arguments).ended(), arguments)


@pytest.fixture
def tuned(demo: Demo, home: Path) -> Path:
    """This test's home: a copy of the demo's, with a tutor and a simulated learner, judged."""
    assert demo.outcome.code == 0, demo.outcome.err
    shutil.copytree(demo.home, home)
    return home
