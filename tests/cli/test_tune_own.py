"""A signature of one's own after its search: judged unseen, and learnt from, by what the search chose by; with all of its inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.data.bundled import PROGRAM_DATA
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

pytest.importorskip("dspy")

Json = dict[str, Any]
SIGNATURES = '''\
import dspy


class Hint(dspy.Signature):
    """Give one hint."""

    problem: str = dspy.InputField()
    tried: str = dspy.InputField()
    hint: str = dspy.OutputField()
    kind: str = dspy.OutputField()


class Summary(dspy.Signature):
    """Say it in one line."""

    passage: str = dspy.InputField()
    reader: str = dspy.InputField()
    line: str = dspy.OutputField()
'''
TOPICS = ("plants", "bread", "roads", "moons", "rivers", "bees", "salt", "clocks")
HINTS: list[Json] = [
    {
        "input": {"problem": f"Why do {topic} differ, case {turn}?", "tried": f"a guess about {topic}"},
        "output": {"hint": f"Count the {topic} in case {turn}.", "kind": "smaller case"},
        "metadata": {"topic": topic},
    }
    for topic in TOPICS
    for turn in range(3)
]
LINES: list[Json] = [
    {
        "messages": [
            {"role": "user", "content": f"All about {topic}, part {turn}."},
            {"role": "assistant", "content": f"It is on {topic} {turn}."},
        ],
        "fields": {"input": {"reader": f"a child who likes {topic}"}},
        "metadata": {"topic": topic},
    }
    for topic in TOPICS
    for turn in range(3)
]
GOLD = {record["input"]["problem"]: record["output"] for record in HINTS}
GOLD_LINES = {record["messages"][0]["content"]: record["messages"][1]["content"] for record in LINES}


def answered(body: Json) -> str:
    """What the author wrote where the whole question is there; nothing of it in half of the cases."""
    asked = body["messages"][-1]["content"]
    for problem, gold in GOLD.items():
        if problem in asked and "Tried:" in asked:
            return json.dumps(gold if "case 1" in problem else {"hint": "Hm.", "kind": "other"})
    for passage, line in GOLD_LINES.items():
        if passage in asked and "Reader:" in asked:
            return f"{line[:-1]} indeed." if "part 1" in passage else "Nothing of it."
    return "lost"


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as made:
        made.reply = answered
        name_school(home, made.address, "large")
        yield made


def store(homeroom: Any, folder: Path, name: str, records: list[Json]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    told = homeroom("data", "split", f"{name}.jsonl")
    assert told.code == 0, told.err


def tuned(homeroom: Any, folder: Path, signature: str, dataset: str) -> tuple[str, str]:
    """The name of a model whose prompt was tuned for a signature of one's own, and what the run said."""
    (folder / "mine.py").write_text(SIGNATURES, encoding="utf-8")
    (folder / "recipe.yaml").write_text(
        f"method: dspy\nname: own\nprogram: mine.py:{signature}\noptimisers: [zero-shot, labelled]\nitems: 4\ntrain_items: 4\n"
        "max_calls: 60\nthreshold: 0.7\ngeneration: {temperature: 0.0, max_tokens: 48}\n",
        encoding="utf-8",
    )
    told = homeroom("tune", "run", "--recipe", "recipe.yaml", "--dataset", dataset, "--base", "school/large", "--yes")
    assert told.code == 0, told.err
    with Homeroom.open() as home:
        return home.registry.list()[0].name, told.out


def test_several_outputs_of_ones_own_are_scored_unseen_by_what_the_search_chose_by(school, homeroom, tmp_path):
    store(homeroom, tmp_path, "hints", HINTS)
    name, said = tuned(homeroom, tmp_path, "Hint", "hints")
    assert f"homeroom tune score {name}" in said, "what it says works"
    with Homeroom.open() as home:
        test, measure = home.datasets.get("hints").part("test"), home.registry.get(name).metrics["metric"]
    before = len(school.charged)
    told = homeroom("tune", "score", name, "--yes", "--json")
    assert told.code == 0, told.err
    found = told.json
    assert (found["program"], found["dataset"], found["measure"]) == ("Hint", "hints@1", measure)
    assert len(found["scores"]) == len(test) == len(school.charged) - before
    assert found["authored"] == 1.0 and "first look" in found["look"]
    right = sum("case 1" in example.messages[0].content for example in test)
    assert found["scores"].count(1.0) == right and found["score"] < 1
    text = homeroom("tune", "score", name, "--yes").out
    assert "words that each reply shares" in text and len(school.charged) - before == len(test), "kept replies are not asked for"
    assert "#program-other" in homeroom("tune", "score", name, "--program", "scenario", "--yes").error


def test_ones_own_text_is_learnt_from_and_scored_with_all_inputs_by_its_own_measure(school, homeroom, tmp_path):
    store(homeroom, tmp_path, "lines", LINES)
    name, said = tuned(homeroom, tmp_path, "Summary", "lines")
    assert f"homeroom tune score {name}" in said
    told = homeroom("tune", "traces", name, "--dataset", "lines", "--out", "traces.jsonl", "--yes", "--json")
    assert told.code == 0, told.err
    with Homeroom.open() as home:
        train = home.datasets.get("lines").part("train")
    right = sum("part 1" in example.messages[0].content for example in train)
    assert (told.json["asked"], told.json["kept"]) == (len(train), right), "what shares nothing with the author is refused"
    assert sum(told.json["failed"].values()) == len(train) - right
    told = homeroom("tune", "score", name, "--yes", "--json")
    assert told.code == 0 and told.json["measure"] == "reference", told.err
    judged = homeroom("eval", "run", "--model", name, "--items", "2", "--yes")
    assert f"homeroom tune score {name}" in judged.err and "checks do not fit 'Summary'" in judged.err
    assert all("Reader:\na child" in body["messages"][-1]["content"] for body in school.charged)


def test_examples_of_another_program_are_refused_before_their_test_split_is_opened(school, homeroom, tmp_path):
    store(homeroom, tmp_path, "lines", LINES)
    store(homeroom, tmp_path, "hints", HINTS)
    told = homeroom("tune", "score", "school/large", "--program", "feedback_teacher", "--dataset", "hints", "--yes")
    assert told.code == 2 and "#program-fields" in told.error and PROGRAM_DATA["feedback_teacher"] in told.error
    name, _ = tuned(homeroom, tmp_path, "Hint", "hints")
    asked = len(school.charged)
    for command in (("score", name), ("traces", name, "--out", "t.jsonl")):
        told = homeroom("tune", *command, "--dataset", "lines", "--yes")
        assert told.code == 2 and "#program-fields" in told.error and "'kind', 'tried'" in told.error
    assert len(school.charged) == asked and not Path("t.jsonl").exists()
    with Homeroom.open() as home:
        assert not home.held_out.opened("tutor")


def test_an_input_that_no_example_has_is_refused_and_one_that_some_lack_is_told(school, homeroom, tmp_path):
    bare = [{key: value for key, value in record.items() if key != "fields"} for record in LINES]
    store(homeroom, tmp_path, "bare", bare)
    (tmp_path / "mine.py").write_text(SIGNATURES, encoding="utf-8")
    asking = ("tune", "plan", "--method", "dspy", "--program", "mine.py:Summary", "--base", "school/large")
    told = homeroom(*asking, "--dataset", "bare")
    assert told.code == 2 and "#program-fields" in told.error, told.out
    assert "the input 'reader' of the program 'Summary'" in told.error
    assert '{"fields": {"input": {"reader": "..."}}}' in told.error and school.charged == []
    store(homeroom, tmp_path, "some", [*LINES[:12], *bare[12:]])
    (tmp_path / "recipe.yaml").write_text(
        "method: dspy\nname: some\nprogram: mine.py:Summary\noptimisers: [zero-shot]\nitems: 4\nmax_calls: 20\n", encoding="utf-8"
    )
    told = homeroom("tune", "run", "--recipe", "recipe.yaml", "--dataset", "some", "--base", "school/large", "--yes")
    assert told.code == 0 and "warning: Examples lack inputs of 'Summary'" in told.err, told.err
