"""Three stories that take the time of several trainings. Each is played once; many tests look at how it went."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from homeroom.app.home import Homeroom
from homeroom.settings import load_settings
from tests.app import material
from tests.cli.commands import Command, Outcome, eventually, processes_of


@dataclass
class Story:
    """A home and what happened in it.

    Attributes:
        outcomes: How each command ended, by the name that the story gives it.
        left: Processes that were still there ten seconds after it.
        states: State of the newest tuning job after it.
        arguments: Of the command that the story is about.
    """

    home: Path
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    left: dict[str, list[int]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """How the last command ended."""
        return list(self.outcomes.values())[-1]

    def start(self, *arguments: str | Path) -> Command:
        return Command(self.home, *arguments)

    def open(self) -> Homeroom:
        return Homeroom.open(load_settings({"home": str(self.home)}))

    def training(self, after: int = 0) -> int:
        """The newest checkpoint's step once there is one beyond ``after``."""

        def newest() -> int:
            steps = [int(path.name.removeprefix("step-")) for path in self.home.glob("jobs/*/work/checkpoints/step-*")]
            return max((step for step in steps if step > after), default=0)

        return int(eventually(newest))

    def ended(self, name: str, command: Command) -> None:
        """Note how ``command`` ended, and what was left of it."""
        self.outcomes[name] = command.ended()
        started = time.monotonic()
        while (left := processes_of(self.home)) and time.monotonic() < started + 10:
            time.sleep(0.02)
        self.left[name] = left
        with self.open() as home:
            self.states[name] = home.jobs.list(kind="tune")[0].state


def play_demo(story: Story, course: Path, recipe: Path) -> None:
    """`homeroom demo` with a file."""
    story.arguments = ("demo", "--no-serve", "--data", str(course), "--recipe", str(recipe))
    story.ended("demo", story.start(*story.arguments))


def play_stopped_demo(story: Story, course: Path, recipe: Path) -> None:
    """`homeroom demo` with a file: Ctrl-C twice in a row while it trains, then the same command again."""
    story.arguments = ("demo", "--no-serve", "--data", str(course), "--recipe", str(recipe))
    first = story.start(*story.arguments)
    story.training()
    first.interrupt()
    time.sleep(0.1)
    first.interrupt()
    story.ended("interrupted", first)
    story.ended("again", story.start(*story.arguments))


def play_tuning(story: Story) -> None:
    """`homeroom tune run`: Ctrl-C, kill -9, the same command twice at once; then a demo with that file of one task."""
    folder = story.home.parent
    data = material.write_jsonl(folder / "mine.jsonl", material.tutor_records())
    recipe = material.write_recipe(folder / "long.yaml", material.LONG)
    story.start("data", "split", data).ended()
    story.arguments = ("tune", "run", "--dataset", "mine", "--recipe", str(recipe))

    first = story.start(*story.arguments)
    story.training()
    first.interrupt()
    story.ended("interrupted", first)

    second = story.start(*story.arguments)
    story.training(after=story.training())
    second.process.kill()
    story.ended("killed", second)

    both = [story.start(*story.arguments) for _ in range(2)]
    story.ended("one", both[0])
    story.ended("other", both[1])
    story.ended("demo", story.start("demo", "--no-serve", "--data", data, "--recipe", recipe))
