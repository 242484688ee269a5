"""Programs of several inputs after their search: passages are sent wherever the model is asked, and to what it is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

pytest.importorskip("dspy")

Json = dict[str, Any]
TOPICS = ("plants", "bread", "roads", "moons", "rivers", "bees", "salt", "clocks")
RECIPE = """\
method: dspy
name: passages
program: answer_from_context
optimisers: [zero-shot, labelled]
items: 4
train_items: 4
max_calls: 60
generation: {temperature: 0.0, max_tokens: 48}
"""


def written(folder: Path) -> Path:
    """Three questions about each topic, each with a passage of its own."""
    records = [
        {
            "messages": [
                {"role": "user", "content": f"Why is {topic} number {turn} so hard?"},
                {"role": "assistant", "content": f"Read what it says on {topic} first. What do you find there?"},
            ],
            "context": [f"PASSAGE {topic} {turn}: nothing else is said."],
            "metadata": {"topic": topic, "task": "tutor"},
        }
        for topic in TOPICS
        for turn in range(3)
    ]
    file = folder / "passages.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as made:
        made.reply = lambda body: "You ask why it is hard. Look at the first line: what does it say?"
        name_school(home, made.address, "large")
        yield made


@pytest.fixture
def name(school: OpenAIDouble, homeroom: Any, tmp_path: Path) -> str:
    """A model whose prompt was tuned for `answer_from_context`."""
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    assert homeroom("data", "split", written(tmp_path)).code == 0
    told = homeroom(
        "tune", "run", "--recipe", "recipe.yaml", "--dataset", "passages", "--base", "school/large", "--yes", "--json"
    )
    assert told.code == 0, told.err
    with Homeroom.open() as home:
        return home.registry.list()[0].name


def without_passage(sent: list[Json]) -> list[str]:
    """Last turns that lack the passage of what they ask."""
    turns = [body["messages"][-1]["content"] for body in sent]
    return [turn for turn in turns if not (("Context:\n[1] PASSAGE" in turn) and turn.rstrip().endswith("so hard?"))]


def test_every_request_holds_the_passage_the_base_and_its_controls_included(school, homeroom, name):
    assert len(school.charged) > 0 and without_passage(school.charged) == [], "the search sends them"
    asked = len(school.charged)
    for command in (
        ("eval", "run", "--model", name, "--items", "3", "--yes"),
        ("tune", "compare", "--models", name, "--dataset", "passages", "--items", "3", "--yes"),
        ("tune", "traces", name, "--dataset", "passages", "--out", "traces.jsonl", "--yes"),
        ("tune", "unsolved", name, "--out", "unsolved.jsonl", "--yes"),
    ):
        told = homeroom(*command)
        assert len(school.charged) > asked, (command, told.out, told.err)
        assert without_passage(school.charged[asked:]) == [], command
        asked = len(school.charged)
    told = homeroom("eval", "run", "--model", name, "--items", "3", "--yes")
    assert len(school.charged) == asked, "the very same is not asked again"
    shown = [body["messages"] for body in school.charged if any(m["role"] == "assistant" for m in body["messages"])]
    assert shown and all("PASSAGE" in m["content"] for messages in shown for m in messages if m["role"] == "user")
    with Homeroom.open() as home:
        (job,) = home.jobs.list(kind="evaluate")
    assert job.payload["inputs"] == ["question", "context"]


def test_a_model_tuned_for_one_program_of_text_is_not_asked_as_another(school, homeroom, name):
    asked = len(school.charged)
    for other in ("learner", "answer", "scenario"):
        told = homeroom("tune", "ask", name, "teacher=Hello", "--program", other, "--yes")
        assert told.code == 2 and "#program-other" in told.error and "'answer_from_context'" in told.error
    assert len(school.charged) == asked
    told = homeroom("tune", "ask", name, "question=Why?", "context=PASSAGE: so.", "--program", "answer-from-context", "--yes")
    assert told.code == 0, told.err
    assert school.charged[-1]["messages"][-1]["content"] == "Context:\nPASSAGE: so.\n\nQuestion:\nWhy?"
