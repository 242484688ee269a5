"""Checks of scenarios and feedback, attacked: what needs no thought must not pay."""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import mean
from typing import Any

import pytest

from homeroom.data.bundled import PROGRAM_DATA, load_bundled
from homeroom.evaluation.field_checks import COMPLETE, MAIN, ONLY_ONE, OWN_WORDS, FieldChecks, score_fields
from homeroom.schema.examples import Item
from homeroom.tuning.dspy.shipped import shipped

Json = dict[str, Any]
PROGRAMS = sorted(MAIN)
ITEMS = {name: [next(e.items()) for e in load_bundled(PROGRAM_DATA[name])] for name in PROGRAMS}


def authored(program: str, item: Item) -> Json:
    return {shipped(program).reply: item.gold, **item.example.extra["fields"]["output"]}


def given(program: str, item: Item) -> Json:
    return {**item.example.extra["fields"]["input"], MAIN[program]: item.last_user}


def all_as(program: str, reply: Callable[[Json, Json], Json]) -> list[str]:
    """Replies made of each item's inputs and authored outputs."""
    return [json.dumps(reply(given(program, item), authored(program, item))) for item in ITEMS[program]]


def worth(program: str, texts: list[str]) -> float:
    return mean(score.value for score in score_fields(program, ITEMS[program], texts))


def filled(program: str, text: Callable[[Json], str]) -> list[str]:
    """One text in every output that is a text, each a little longer than the one before it; verdicts and lists as an optimist."""
    texts = [field.name for field in shipped(program).outputs if field.kind == {"type": "string"}]

    def reply(inputs: Json, _: Json) -> Json:
        said: Json = {name: text(inputs) + " Really." * number for number, name in enumerate(texts)}
        return {**said, **({"correct": True, "look_again": []} if program == "feedback_learner" else {})}

    return all_as(program, reply)


PRAISE = "Great job! You are doing wonderful work and should be very proud of yourself. Keep it up!"
GENERIC = {
    "feedback_teacher": {
        "feedback": "You did a nice job with this student. You could ask more open questions, because that helps students think.",
        "strength": "You were friendly and patient with the student.",
        "next_step": "Ask more open questions and wait for the student to answer.",
    },
    "feedback_learner": {
        "feedback": "You worked hard on this one. Some of it is good and some is not there yet. Can you check your steps?",
        "correct": False,
        "look_again": ["your steps"],
    },
    "scenario": {
        "situation": "A class works in pairs on a worksheet. One student finishes early and raises a hand.",
        "task": "What is the answer to the first question on the worksheet?",
        "mistake": "The student thinks that the first question has another answer.",
        "student_says": "I think the first answer on the worksheet is 12.",
    },
}
LAZY: dict[str, Callable[[str], list[str]]] = {
    "nothing": lambda program: [""] * len(ITEMS[program]),
    "no JSON": lambda program: [PRAISE] * len(ITEMS[program]),
    "empty fields": lambda program: filled(program, lambda inputs: " "),
    "praise": lambda program: filled(program, lambda inputs: PRAISE),
    "what was asked, copied": lambda program: filled(program, lambda inputs: " ".join(map(str, inputs.values()))),
    "its main input, copied": lambda program: filled(program, lambda inputs: str(inputs[MAIN[program]])),
    "good advice for anyone": lambda program: [json.dumps(GENERIC[program])] * len(ITEMS[program]),
    "one good reply for all": lambda program: [json.dumps(authored(program, ITEMS[program][0]))] * len(ITEMS[program]),
    "good replies to others": lambda program: [
        json.dumps(authored(program, item)) for item in (*ITEMS[program][1:], ITEMS[program][0])
    ],
    "a template with its words put in": lambda program: filled(
        program, lambda inputs: f"You said {str(inputs[MAIN[program]])[:40]} and that is a start. Ask what comes after it?"
    ),
    "its words, shuffled": lambda program: filled(
        program, lambda inputs: " ".join(sorted(" ".join(map(str, inputs.values())).split()))
    ),
    "the same word over and over": lambda program: filled(program, lambda inputs: "Ask about it. " * 30),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_written_examples_pass(program):
    texts = all_as(program, lambda inputs, said: said)
    assert worth(program, texts) >= 0.99
    judge = FieldChecks(program)
    assert mean(judge.scores([i], [t])[0] for i, t in zip(ITEMS[program], texts, strict=True)) >= 0.99, "also one by one"
    assert judge.advice(ITEMS[program][0], texts[0]) == ""


@pytest.mark.parametrize("lazy", LAZY)
@pytest.mark.parametrize("program", PROGRAMS)
def test_laziness_does_not_pay(program, lazy):
    assert worth(program, LAZY[lazy](program)) <= 0.35


@pytest.mark.parametrize(
    "lazy", ["nothing", "no JSON", "empty fields", "what was asked, copied", "its main input, copied", "its words, shuffled"]
)
@pytest.mark.parametrize("program", PROGRAMS)
def test_saying_nothing_is_worth_nothing(program, lazy):
    assert worth(program, LAZY[lazy](program)) == 0


@pytest.mark.parametrize("lazy", ["praise", "good advice for anyone", "the same word over and over"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_reply_at_a_time_is_no_way_around(program, lazy):
    """As a search scores a model's own replies before it shows them: with no others to compare."""
    texts = LAZY[lazy](program)
    assert mean(score_fields(program, [i], [t])[0].value for i, t in zip(ITEMS[program], texts, strict=True)) < 0.6


def changed(program: str, **changes: Callable[[Json, Json], Any]) -> tuple[float, set[str]]:
    """What written replies are worth with fields changed, and what is said of them."""
    texts = all_as(program, lambda inputs, said: {**said, **{name: make(inputs, said) for name, make in changes.items()}})
    found = score_fields(program, ITEMS[program], texts)
    return mean(score.value for score in found), set.union(*(set(score.failed) for score in found))


@pytest.mark.parametrize(
    ("program", "field", "change", "title"),
    [
        ("feedback_teacher", "feedback", lambda i, s: s["feedback"] + " You always do this, it was careless.", "shames nobody"),
        ("feedback_learner", "feedback", lambda i, s: "That was a silly one. " + s["feedback"], "shames nobody"),
        ("feedback_teacher", "strength", lambda i, s: "You were kind and patient throughout.", "names a strength of this reply"),
        ("feedback_teacher", "next_step", lambda i, s: "It depends on the class and on the day.", "one next step, about this reply"),
        ("feedback_teacher", "next_step", lambda i, s: s["next_step"] + " Ask again. Then wait. Then let them draw.",
         "one next step, about this reply"),
        ("feedback_learner", "correct", lambda i, s: not s["correct"], "says rightly whether the answer is right"),
        ("feedback_learner", "look_again", lambda i, s: ["everything that you did"],
         "points at the place, or at none where all is right"),
        ("feedback_learner", "feedback", lambda i, s: s["feedback"] + " That is all there was on the page.", "asks for a next step"),
        ("scenario", "task", lambda i, s: "Nobody knows.", "sets a task"),
        ("scenario", "student_says", lambda i, s: "My mistake is that I think so. " + s["student_says"],
         "lets the student speak, who sees no mistake"),
        ("scenario", "student_says", lambda i, s: s["student_says"] + " " + "And so on and on. " * 9,
         "lets the student speak, who sees no mistake"),
        ("scenario", "mistake", lambda i, s: "They have a misconception here.", "says what the student believes"),
    ],
)  # fmt: skip
def test_each_check_sees_what_it_is_for(program, field, change, title):
    value, failed = changed(program, **{field: change})
    assert title in failed and value < 0.95


def test_feedback_that_hands_over_the_answer_is_seen():
    wrong = [item for item in ITEMS["feedback_learner"] if not authored("feedback_learner", item)["correct"]]
    told = [
        json.dumps({**authored("feedback_learner", i), "feedback": f"{i.gold} The answer is {i.example.reference['answer']}."})
        for i in wrong
    ]
    found = score_fields("feedback_learner", wrong, told)
    assert mean("keeps the answer back" in score.failed for score in found) >= 0.8


def test_saying_that_all_is_right_is_seen_where_it_is_not():
    said: dict[str, Callable[[Json, Json], Any]] = {"correct": lambda i, s: True, "look_again": lambda i, s: []}
    value, failed = changed("feedback_learner", **said)
    assert "says rightly whether the answer is right" in failed and value < 0.85


def test_hard_words_for_small_children_are_seen():
    hard = "Your preliminary enumeration demonstrates considerable methodological sophistication regarding numbers"
    small = [item for item in ITEMS["feedback_learner"] if item.example.metadata["grade_band"] == "K-2"]
    texts = [json.dumps({**authored("feedback_learner", item), "feedback": f"{hard} {item.gold}"}) for item in small]
    assert all("readable for the grade" in s.failed for s in score_fields("feedback_learner", small, texts))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_reply_without_a_field_or_with_one_of_another_kind_is_worth_nothing(program):
    item = ITEMS[program][0]
    whole = authored(program, item)
    for name in whole:
        for broken in ({k: v for k, v in whole.items() if k != name}, {**whole, name: None}, {**whole, name: 7}):
            (score,) = score_fields(program, [item], [json.dumps(broken)])
            assert (score.value, score.failed) == (0, (COMPLETE,))
    (score,) = score_fields(program, [item], [json.dumps([whole])])
    assert score.value == 0


def test_what_is_said_of_a_copy_and_of_a_duplicate():
    items = ITEMS["feedback_teacher"]
    copied = {"feedback": items[0].last_user, "strength": "You asked Amina to count again.", "next_step": "Ask about the bears."}
    assert score_fields("feedback_teacher", items[:1], [json.dumps(copied)])[0].failed == (OWN_WORDS,)
    same = [json.dumps(authored("feedback_teacher", items[0]))] * 2
    first, second = score_fields("feedback_teacher", items[:2], same)
    assert ONLY_ONE in first.failed and ONLY_ONE in second.failed and first.value > second.value
    advice = FieldChecks("feedback_teacher").advice(items[0], json.dumps(GENERIC["feedback_teacher"]))
    assert "names a strength of this reply" in advice and items[0].gold in advice


def test_outputs_written_as_a_json_reply_are_read_as_well():
    item = ITEMS["feedback_learner"][0]
    said = authored("feedback_learner", item)
    from dataclasses import replace

    plain = replace(
        item, gold=json.dumps(said), example=replace(item.example, extra={"fields": {"input": given("feedback_learner", item)}})
    )
    assert score_fields("feedback_learner", [plain], [json.dumps(said)])[0].value == 1
    wrong = json.dumps({**said, "correct": not said["correct"]})
    assert "says rightly whether the answer is right" in score_fields("feedback_learner", [plain], [wrong])[0].failed
