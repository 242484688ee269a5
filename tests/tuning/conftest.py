"""The tiny base model and a few dialogues, small enough to train on in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeroom.models import prepared, tiny
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message
from homeroom.schema.jobs import NullReporter
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import TrainingData
from homeroom.storage.artifacts import ArtifactStore
from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

SMALL: dict[str, Any] = {
    "name": "small",
    "threads": 1,
    "dtype": "float32",
    "epochs": 4,
    "accumulation": {"examples": 2},
    "batch_tokens": 256,
    "data": {"max_sequence_tokens": 256},
    "optimiser": {"learning_rate": 0.01},
    "validation": {"every_steps": 3, "patience": 0},
    "checkpoint": {"every_steps": 2},
}


def recipe_of(**changes: Any) -> Recipe:
    """The small recipe with other values; mappings are merged one level deep."""
    merged = {k: {**v, **changes.pop(k, {})} if isinstance(v, dict) and k != "accumulation" else v for k, v in SMALL.items()}
    return parse_recipe({**merged, **changes})


def dialogue(question: str, *replies: str, task: str = "tutor", **metadata: Any) -> Example:
    """Turns that alternate, the learner's follow-ups made up."""
    messages = [Message("user", question)]
    for reply in replies:
        messages += [Message("assistant", reply), Message("user", "why?")]
    return Example(tuple(messages[:-1]), {"task": task, **metadata})


TRAIN = (
    dialogue("What is half of six?", "Draw six and split them. What do you see?", topic="halves"),
    dialogue("I think 1/2 and 1/3 is 2/5.", "Which piece is larger? Draw both.", "Try it with quarters first.", topic="thirds"),
    dialogue("Do plants eat?", "What does the plant need to grow?", topic="plants"),
    dialogue("Is the earth flat?", "How could we test that? Tell me what you notice.", topic="earth"),
    dialogue("What is 3 and 4?", "Show me on the number line where you would put it.", topic="adding"),
    dialogue("Why do you think so?", "Read the sentence again.", "Find the word that tells you.", topic="reading"),
)
VALIDATION = (
    dialogue("What is half of four?", "Draw four and split them. What do you see?", topic="halving"),
    dialogue("Do trees eat?", "What does the tree need to grow?", topic="trees"),
)
DATA = TrainingData("course-v1", TRAIN, VALIDATION)


class Recorder(NullReporter):
    """A reporter that keeps what it is told, and asks to stop at the n-th question whether it should."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.lines: list[str] = []
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.questions = 0
        self._stop_at = stop_at

    def progress(self, fraction: float, message: str) -> None:
        assert 0 <= fraction <= 1
        self.lines.append(message)

    def event(self, message: str, *, level: str = "info", type: str = "message", data: Any = None) -> None:
        self.events.append((type, message, dict(data or {})))

    def should_stop(self) -> bool:
        self.questions += 1
        return self.questions == self._stop_at

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [data for type, _, data in self.events if type == "metrics"]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return prepared.prepare_folder(tiny.build(tmp_path_factory.mktemp("tiny")), tiny.NAME, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tokenizer(base: BaseFiles) -> ChatTokenizer:
    return ChatTokenizer(base.weights)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def tuner(base: BaseFiles, store: ArtifactStore, tmp_path: Path) -> Callable[..., HuggingFaceTuner]:
    def make(work: str = "run", **settings: Any) -> HuggingFaceTuner:
        return HuggingFaceTuner(base, tmp_path / work, store, **settings)

    return make
