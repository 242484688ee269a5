"""What a reply of several fields is worth beside the authored one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from homeroom.app.dspy_job import judge_of
from homeroom.data.formats import dspy as records
from homeroom.schema.examples import Example, Item, Message
from homeroom.tuning.dspy.recipe import DspyRecipe
from homeroom.tuning.dspy.spec import InputField, OutputField, ProgramSpec

pytest.importorskip("dspy")

SPEC = ProgramSpec(
    "Hint",
    "Give one hint.",
    (InputField("problem"),),
    (
        OutputField("right", "", {"type": "boolean"}),
        OutputField("hint", "", {"type": "string"}),
        OutputField("kind", "", {"type": "string", "enum": ["draw it", "smaller case"]}),
        OutputField("places", "", {"type": "array", "items": {"type": "string"}}),
        OutputField("steps", "", {"type": "integer"}),
    ),
)
GOLD: dict[str, Any] = {"right": False, "hint": "Draw four bags.", "kind": "draw it", "places": ["the 4", "the 6"], "steps": 2}


def item(outputs: dict[str, Any] = GOLD) -> Item:
    """As a record in DSPy's format is read."""
    (read,) = records.FORMAT.read({"input": {"problem": "4 bags of 6?"}, "output": outputs})
    messages = tuple(Message(m["role"], m["content"]) for m in read["messages"])
    return next(Example(messages, extra={"fields": read["fields"]}).items())


@pytest.mark.parametrize(
    ("changes", "worth"),
    [
        ({}, 1.0),
        ({"right": True}, 0.8),
        ({"kind": "smaller case"}, 0.8),
        ({"hint": "Draw four circles."}, 0.8 + 0.2 * 2 / 3),
        ({"places": ["The 6"]}, 0.8 + 0.2 * 2 / 3),
        ({"steps": 1}, 0.8),
        ({"steps": 2.0}, 1.0),
        ({"steps": True, "right": 0}, 0.6),
        ({"places": None}, 0.8),
    ],
)
def test_every_output_counts_in_the_way_of_its_kind(changes, worth):
    judge = judge_of(DspyRecipe(name="x", program="mine.py:Hint"), SPEC)
    assert judge.whole and judge.name == "reference-fields"
    assert judge.scores([item()], [json.dumps({**GOLD, **changes})]) == [pytest.approx(worth)]
    said = judge.advice(item(), json.dumps({**GOLD, **changes}))
    assert all(name in said for name in changes) if worth < 1 else said == ""


def test_what_is_no_object_is_worth_nothing_and_what_the_author_left_out_is_not_compared():
    judge = judge_of(DspyRecipe(name="x", program="mine.py:Hint"), SPEC)
    assert judge.scores([item()], ["Draw it."]) == [0]
    part = {"hint": "Draw four bags.", "right": True}
    assert judge.scores([item(part)], [json.dumps({**GOLD, "right": True, "kind": "smaller case"})]) == [1]


def test_one_output_that_is_no_text_is_compared_as_what_it_is():
    one = ProgramSpec("Level", "", (InputField("text"),), (OutputField("level", "", {"type": "integer"}),))
    judge = judge_of(DspyRecipe(name="x", program="mine.py:Level"), one)
    gold = next(Example((Message("user", "?"), Message("assistant", "3"))).items())
    assert judge.scores([gold, gold], ['{"level": 3}', '{"level": 4}']) == [1, 0]
