"""How many calls a search is forecast to take, beside how many it took on models that are scripted; and a stronger teacher."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path

import pytest

from homeroom.schema.chat import GenerationSettings
from homeroom.tuning.dspy.expected import Calls, expected_calls, wanted_calls
from homeroom.tuning.dspy.recipe import DspyRecipe, Optimiser
from tests.tuning.test_dspy import Asks, Reply, Run, gold, number_of, writes

pytest.importorskip("dspy")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def right(share: float) -> Reply:
    """Knows the author's answer to a share of what it is asked, whatever it is shown."""

    def reply(messages: Asks, settings: GenerationSettings) -> str:
        drawn = zlib.crc32(repr([(m.role, m.content) for m in messages] + [settings.seed]).encode()) / 2**32
        return gold(number_of(messages[-1].content)) if drawn < share else "I do not know."

    return reply


def writer() -> Reply:
    """New instructions each time."""
    numbers = itertools.count()
    return lambda messages, settings: writes(messages, settings).replace("MAGIC", f"MAGIC {next(numbers)}")


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("optimiser", ["plain", "labelled", "bootstrap", "random-search", "iterative", "gepa", "mipro"])
def test_a_search_takes_no_more_calls_than_the_most_and_no_fewer_than_the_fewest(run, optimiser: Optimiser, share):
    run.model.reply, run.writer.reply = right(share), writer()
    keys = {"prompt_model": "school/wise"} if optimiser in ("gepa", "mipro") else {}
    found = run("zero-shot", optimiser, max_calls=300, **keys).metrics["asked"]
    recipe = DspyRecipe(name="x", optimisers=("zero-shot", optimiser), max_calls=300, **keys)
    expected = expected_calls(recipe, len(run.material.pool), len(run.material.items))
    assert found.keys() <= expected.keys()
    for part, calls in expected.items():
        requests = found.get(part, {"requests": 0})["requests"]
        assert round(calls.low) <= requests <= calls.most, (part, requests, calls)
        assert calls.low <= calls.usual <= calls.most and calls.in_turn <= calls.usual
    if share == 0.5:
        took, usual = sum(one["requests"] for one in found.values()), sum(calls.usual for calls in expected.values())
        assert usual / 2 <= took <= usual * 2


def test_the_budget_bounds_what_is_expected_and_who_comes_late_gets_less():
    whole = DspyRecipe(name="x", optimisers=("zero-shot", "bootstrap", "mipro"), prompt_model="school/wise")
    free = expected_calls(whole, 12, 12)
    assert free["writer"].usual > 10
    tight = expected_calls(whole.model_copy(update={"max_calls": 30}), 12, 12)
    assert sum(calls.usual for calls in tight.values()) == pytest.approx(30)
    assert 0 <= tight["writer"].usual < 1, "the first two have taken all but nothing"
    assert all(calls.most <= 30 for calls in tight.values())
    assert wanted_calls(whole, 12, 12) > 30, "whatever the budget"


def test_who_is_not_tried_is_not_counted():
    asks = expected_calls(DspyRecipe(name="x", prompt_model="school/wise"), 6, 6, leave_one_out=True)
    assert set(asks) == {"task"}, "below ten examples nothing writes instructions"
    without = expected_calls(DspyRecipe(name="x", optimisers=("plain", "gepa")), 12, 12)
    assert without == {"task": Calls(12, 12, 12)}


def knows(messages: Asks, settings: GenerationSettings) -> str:
    """A strong model: the author's answer to every question, in its own hand."""
    return gold(number_of(messages[-1].content)) + "!"


def follows(messages: Asks, settings: GenerationSettings) -> str:
    """A weak one: answers when it was shown how the strong one does it, and in no other case."""
    shown = any(m.role == "assistant" and m.content.endswith("!") for m in messages)
    return gold(number_of(messages[-1].content)) if shown else "I do not know."


@pytest.mark.parametrize("optimiser", ["bootstrap", "random-search", "iterative"])
def test_a_stronger_model_teaches_and_candidates_are_scored_on_the_task_s(run, optimiser):
    run.teacher.reply, run.model.reply = knows, follows
    assert run("zero-shot", optimiser).metrics["selection_score"] == 0, "by itself it has nothing good to show"
    asked = len(run.model.asked)
    found = run("zero-shot", optimiser, teacher_model="school/wise")
    candidate = next(row for row in found.table if row["optimiser"] == optimiser)
    assert candidate["demonstrations"] > 0 and candidate["selection_score"] == 1
    assert run.teacher.asked and len(run.model.asked) > asked
    assert {part: used["requests"] for part, used in found.metrics["asked"].items()} == {
        "task": found.metrics["requests"] - len(run.teacher.asked),
        "teacher": len(run.teacher.asked),
    }
    questions = {example.messages[0].content for example in (item.example for item in run.material.items)}
    assert not questions & {messages[-1].content for messages, _ in run.teacher.asked}, "it sees no selection item"
    for messages, _ in run.teacher.asked:
        assert all(m.content != messages[-1].content for m in messages[:-1]), "no question is shown its own answer"
    expected = expected_calls(
        DspyRecipe(name="x", optimisers=("zero-shot", optimiser), teacher_model="school/wise"),
        len(run.material.pool),
        len(run.material.items),
    )
    assert expected["teacher"].low <= len(run.teacher.asked) <= expected["teacher"].most


def test_the_teacher_counts_against_the_budget(run):
    run.teacher.reply = lambda messages, settings: "nothing good"
    found = run("zero-shot", "bootstrap", "random-search", teacher_model="school/wise", max_calls=15)
    assert len(run.model.asked) + len(run.teacher.asked) == found.metrics["requests"] == 15
    assert "the budget of 15 calls is used up" in found.table[-1]["not_tried"]


def test_the_same_teacher_again_asks_nothing_and_another_one_is_another_search(run):
    run.teacher.reply = knows
    run.others = {"teacher": "at one address"}
    run("zero-shot", "bootstrap", teacher_model="school/wise")
    asked, opened = len(run.teacher.asked), run.opened
    again = run("zero-shot", "bootstrap", teacher_model="school/wise")
    assert (len(run.teacher.asked), run.opened, again.metrics["requests_sent"], again.metrics["asked"]) == (asked, opened, 0, {})
    run.others = {"teacher": "at another"}
    run("zero-shot", "bootstrap", teacher_model="school/wise")
    assert run.opened == opened + 1, "the outcome is another teacher's"


def test_a_recipe_without_a_teacher_is_the_one_that_it_was():
    assert "teacher_model" not in DspyRecipe(name="x").to_dict()
    assert DspyRecipe(name="x", teacher_model="a/b").to_dict()["teacher_model"] == "a/b"
    assert DspyRecipe(name="x", teacher_model="a/b", optimisers=("plain",)).others == {}
