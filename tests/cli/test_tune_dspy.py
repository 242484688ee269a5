"""``homeroom tune run --method dspy``: on an endpoint that can be scripted and can fail, and on the tiny model of this machine."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.talk import running_directory
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from tests.doubles.openai_server import KEY, OpenAIDouble

pytest.importorskip("dspy")

Json = dict[str, Any]
RUN = ("tune", "run", "--dataset", "small-course", "--method", "dspy", "--task", "tutor", "--base", "school/large")
GUIDES = (
    "Take a sheet and draw {}. Which part are you sure of?",
    "I hear you say {}. How could a friend check that with counters?",
    "Before we go on from {}: where would you begin if the figures were smaller?",
    "Let us slow down at {}. What happens when you try a case that you know?",
    "Point at {} in the question. Which word there helps you choose?",
    "Suppose somebody doubts {}. What would you show them first?",
    "Write {} on a card, then cover one half. What is missing?",
    "Tell me aloud how you came to {}. At which moment did you guess?",
)


def guides(text: str) -> str:
    """A reply that guides, in other words for each text."""
    return GUIDES[zlib.crc32(text.encode()) % len(GUIDES)].format(" ".join(text.rstrip("?.").split()[-4:]))


def taught(body: Json) -> str:
    """Guides when it was shown how, by demonstrations; gives the same answer away otherwise."""
    messages = body["messages"]
    shown = any(message["role"] == "assistant" for message in messages)
    return guides(messages[-1]["content"]) if shown else "The answer is 7. Well done!"


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    home.mkdir(exist_ok=True)
    with OpenAIDouble() as made:
        made.reply = taught
        (home / "config.yaml").write_text(
            f"endpoints: [{{name: school, base_url: '{made.address}', models: [large, wise], api_key_env: SCHOOL_API_KEY}}]\n"
        )
        yield made


@pytest.fixture
def dataset(homeroom, course: Path, school: OpenAIDouble) -> None:
    assert homeroom("data", "split", course).code == 0


def newest() -> tuple[TunedModel, PromptProgram, list[Json], list[Message]]:
    """The newest model, its program, its table, and what it answers to a question."""
    with Homeroom.open() as home:
        model = home.registry.list()[0]
        folder = home.artifacts.path(model.artifact)
        return model, PromptProgram.load(folder), json.loads((folder / "candidates.json").read_text()), []


def test_several_optimisers_are_tried_and_the_best_prompt_is_served(school, homeroom, dataset):
    told = homeroom(*RUN)
    assert told.code == 0, told.err
    assert "budget 300" in told.err
    model, program, table, _ = newest()
    assert (model.kind, model.method, model.base, model.task) == ("prompt", "dspy", "school/large", "tutor")
    assert model.metrics["selection_score"] > model.metrics["selection_score_first"]
    assert {row["optimiser"] for row in table} == {"plain", "zero-shot", "labelled", "bootstrap", "random-search", "iterative"}
    assert [row["kept"] for row in table] == [True] + [False] * (len(table) - 1)
    assert all(row["wins"] + row["ties"] + row["losses"] == model.metrics["selection_items"] for row in table)
    assert program.demonstrations, "showing was what helped"
    assert model.metrics["requests_sent"] == len(school.charged) <= 300
    question = [Message("user", "Half of 14 is 8.")]
    with Homeroom.open() as home, closing(running_directory(home)) as directory:
        reply = directory.chat_model(model.name).complete(question, GenerationSettings())
    asked = school.charged[-1]["messages"]
    assert asked == [m.to_dict() for m in program.render(question)]
    assert reply.text == guides("Half of 14 is 8.")
