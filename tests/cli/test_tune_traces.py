"""``homeroom tune traces``: a model's good replies as the next dataset, on an endpoint that is scripted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.traces import good_traces
from homeroom.cli.tune import command as tune
from homeroom.data.course import COURSE_NAME
from homeroom.errors import ConfigError
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.examples import Example, Message
from homeroom.schema.models import TunedModel
from tests.app import material
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

Json = dict[str, Any]
TRACES = ("tune", "traces", "school/large", "--dataset", "small-course")


def guides(body: Json) -> str:
    """Guides where it is about mathematics in the course, gives the answer away otherwise; never the same words twice."""
    said = body["messages"][-1]["content"]
    if any(word in said for word in ("14", "yard", "3 is 8", "angle")):
        return f"You wrote: {said.rstrip('?.')}. Draw it on a sheet first. What do you notice there?"
    return "No. The answer is 7, 90, warmth, water, iron, run, Ana, signs and 20th."


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as made:
        made.reply = guides
        name_school(home, made.address, "large")
        yield made


@pytest.fixture
def train(homeroom, school, course) -> list[Example]:
    """The train part, of which alone something may be asked."""
    assert homeroom("data", "split", course).code == 0
    with Homeroom.open() as home:
        return home.datasets.get("small-course").part("train", "tutor")


def test_every_command_takes_the_same_dataset_when_none_is_named() -> None:
    defaults = {
        name: option.default
        for name, command in tune.commands.items()
        for option in command.params
        if "--dataset" in option.opts and isinstance(option.default, str) and option.default
    }
    assert {"plan", "run", "sweep", "compare", "traces"} <= defaults.keys()
    assert set(defaults.values()) == {COURSE_NAME}


def test_good_replies_become_a_dataset_that_says_where_it_comes_from(school, homeroom, train):
    told = homeroom(*TRACES, "--out", "traces.jsonl")
    assert told.code == 0, told.err
    questions = {e.messages[0].content for e in train}
    assert {c["messages"][-1]["content"] for c in school.charged} == questions, "the train part and nothing else"
    written = [Example.from_dict(json.loads(line)) for line in Path("traces.jsonl").read_text().splitlines()]
    assert 0 < len(written) < len(train), "some replies are good"
    for example in written:
        assert example.messages[-1].content == guides({"messages": [{"content": example.messages[-2].content}]})
        assert example.messages[-2].content in questions
        meta = example.metadata
        assert (meta["source"], meta["author"], meta["consent"]) == ("generated", "school/large", "not-required")
        assert (meta["task"], meta["split"], meta["origin"]["dataset"]) == ("tutor", "train", "small-course@1")
        assert example.reference["answer"], "what is checked by stays with it"
    split = homeroom("data", "split", "traces.jsonl")
    assert split.code == 0, split.err
    with Homeroom.open() as home:
        assert len(home.datasets.get("traces").examples) == len(written)


@pytest.mark.slow
def test_a_reply_is_asked_once_and_attempts_are_other_replies(school, homeroom, train):
    assert homeroom(*TRACES, "--out", "a.jsonl").code == 0
    once = len(school.charged)
    assert once == len(train)
    assert "#file-exists" in homeroom(*TRACES, "--out", "a.jsonl").error
    assert homeroom(*TRACES, "--out", "a.jsonl", "--force").code == 0 and len(school.charged) == once
    school.reply = lambda body: guides(body).replace("You wrote", "So you wrote")
    found = homeroom(*TRACES, "--out", "b.jsonl", "--attempts", "2", "--json").json
    assert (found["asked"], len(school.charged)) == (2 * once, 2 * once)
    assert found["kept"] == len(Path("b.jsonl").read_text().splitlines()) == 2 * len(Path("a.jsonl").read_text().splitlines())
    limited = homeroom(*TRACES, "--out", "c.jsonl", "--limit", "2", "--json")
    assert limited.code in (0, 2) and len(school.charged) == 2 * once


@pytest.mark.slow
def test_what_the_author_said_and_what_is_cut_off_is_left_out(school, homeroom, train):
    gold = {e.messages[0].content: e.messages[1].content for e in train}
    school.reply = lambda body: gold[body["messages"][-1]["content"]]
    told = homeroom(*TRACES, "--out", "none.jsonl")
    assert told.code == 2 and "#nothing-left" in told.error and not Path("none.jsonl").exists()
    assert "; as the author said: 12)" in told.error
    school.reply = lambda body: " "
    told = homeroom(*TRACES, "--attempts", "2", "--out", "none.jsonl")
    assert f"; as the author said: 12; empty or cut off: {len(train)})" in told.error
    with Homeroom.open() as home:
        found = good_traces(home, "school/large", "small-course")
        for wrong in ({"attempts": 0}, {"attempts": -1}, {"limit": 0}):
            with pytest.raises(ConfigError, match=r"=-?\d asks nothing"):
                good_traces(home, "school/large", "small-course", **wrong)
    assert found.examples == () and found.authored > 0 and found.asked == len(train)


@pytest.mark.slow
def test_no_question_is_shown_its_own_answer(school, homeroom, train):
    shown = tuple(e.messages for e in train[:3])
    with Homeroom.open() as home:
        with home.artifacts.write("model") as draft:
            PromptProgram("Guide.", shown, "turns", "school/large", "x").save(draft.folder)
        about = {"method": "dspy", "kind": "prompt", "task": "tutor", "suffix": "mine", "suitability": "trainee"}
        name = "ft:school/large:homeroom:mine:abcd1234"
        home.registry.register(TunedModel(name, "school/large", "x", artifact=draft.id, **about))
    assert homeroom("tune", "traces", "mine", "--dataset", "small-course", "--out", "own.jsonl").code == 0
    counts = set()
    for charge in school.charged:
        texts = [m["content"] for m in charge["messages"]]
        assert texts.count(texts[-1]) == 1, "its own answer was shown"
        assert texts[0] == "Guide."
        counts.add(sum(m["role"] == "assistant" for m in charge["messages"]))
    assert counts == {2, 3}
    first = json.loads(Path("own.jsonl").read_text().splitlines()[0])
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"], "the prompt is not part of the example"
    assert first["metadata"]["author"] == name


def test_a_dialogue_is_answered_turn_by_turn_and_only_the_new_reply_is_learnt(school, homeroom, tmp_path):
    turns = ("Half of 14 is 8?", "Draw 14 dots in two rows. What do you see?", "Two rows of 14?", "Count one row. How many?")
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns)]
    records = [{"messages": messages, "metadata": {"task": "tutor", "topic": "halves"}, "reference": {"answer": "7"}}]
    file = material.write_jsonl(tmp_path / "one.jsonl", records)
    with Homeroom.open() as home:
        examples = [Example.from_dict(json.loads(line)) for line in file.read_text().splitlines()]
        home.datasets.create("one", examples, assigned={examples[0].id: "train"})
        found = good_traces(home, "school/large", "one")
    longest = max(found.examples, key=lambda e: len(e.messages))
    assert [m.weight for m in longest.messages] == [None, 0, None, None]
    assert longest.messages[:3] == (Message("user", turns[0]), Message("assistant", turns[1], 0), Message("user", turns[2]))


@pytest.mark.slow
def test_wrong_names_are_one_line_each(school, homeroom, train):
    assert "#model-not-found" in homeroom("tune", "traces", "nobody", "--dataset", "small-course", "--out", "x.jsonl").error
    assert "#dataset-not-found" in homeroom("tune", "traces", "school/large", "--dataset", "nothing", "--out", "x.jsonl").error
    with Homeroom.open() as home:
        home.datasets.create("tutors", train, assigned={e.id: "train" for e in train})
    told = homeroom("tune", "traces", "school/large", "--dataset", "tutors", "--task", "learner", "--out", "x.jsonl")
    assert "#no-items" in told.error
    assert school.charged == []
