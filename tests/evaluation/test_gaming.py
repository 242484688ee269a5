"""Lazy answerers: none may be promoted, whatever the controls; people's replies must be.

Controls are as weak as can be, which is the easiest case for a cheat.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest

from homeroom.evaluation.dialogue import claim_is_live, key
from homeroom.evaluation.metrics.hands_over import in_danger
from homeroom.schema.examples import Item
from tests.evaluation.lazy import LEARNERS, TUTORS, Writer, authored, course_items, gives_answers, judged, loops, rotate, shuffled

REJECTED = {
    "constant question",
    "constant praise",
    "whole solution",
    "unrelated reply of another item",
    "empty",
    "echo",
    "echo and a question",
    "textbook page",
    "slot template",
    "five slot templates",
    "always I don't know",
    "the mistake every turn",
    "the answer every turn",
}


@cache
def items(task: str) -> tuple[Item, ...]:
    """Enough topics of the bundled course that a good tutor can be promoted, and 16 wrong claims at least."""
    return tuple(course_items(task, 34 if task == "tutor" else 24))


def test_the_set_can_promote() -> None:
    live = [item for item in items("tutor") if claim_is_live(item)]
    assert sum(key(item).claim_is_correct is False for item in live) >= 16
    assert sum(key(item).claim_is_correct is True for item in live) >= 4


@pytest.mark.parametrize("task", ["tutor", "learner"])
def test_peoples_replies_are_promoted(task: str) -> None:
    verdict = judged(items(task), authored).verdict
    assert verdict is not None
    assert verdict.outcome == "promote", [(f.rule, f.figures) for f in verdict.findings if f.holds is False]


def _those(writers: dict[str, Writer]) -> list[object]:
    """Their names; the cheapest cheats in every run, the others in the slow one."""
    return [name if name in REJECTED else pytest.param(name, marks=pytest.mark.slow) for name in sorted(writers)]


@pytest.mark.parametrize("name", _those(TUTORS))
def test_no_lazy_tutor_is_promoted(name: str) -> None:
    _check("tutor", name, TUTORS[name])


@pytest.mark.parametrize("name", _those(LEARNERS))
def test_no_lazy_learner_is_promoted(name: str) -> None:
    _check("learner", name, LEARNERS[name])


def _check(task: str, name: str, writer: Writer) -> None:
    verdict = judged(items(task), writer).verdict
    assert verdict is not None
    assert verdict.outcome != "promote", name
    assert verdict.reasons and any(character.isdigit() for character in " ".join(verdict.reasons))
    if name in REJECTED:
        assert verdict.outcome == "reject", verdict.headline


def test_a_gain_over_the_base_is_needed() -> None:
    verdict = judged(items("tutor"), authored, base=authored).verdict
    assert verdict is not None and verdict.outcome == "reject" and "no named measure" in verdict.headline


def test_losing_to_demonstrations_is_no_promotion() -> None:
    def often(written: Sequence[Item]) -> list[str]:
        return [reply if i % 4 else "Good try! What do you think?" for i, reply in enumerate(authored(written))]

    verdict = judged(items("tutor"), often, few_shot=authored).verdict
    assert verdict is not None and verdict.outcome != "promote"


def test_without_the_few_shot_control_nothing_is_promoted() -> None:
    verdict = judged(items("tutor"), authored, few_shot=None).verdict
    assert verdict is not None and verdict.outcome == "practice"
    assert any("was not run" in reason for reason in verdict.reasons)


def test_too_few_claims_promote_nobody() -> None:
    few = [item for item in items("tutor") if key(item).claim_is_correct is not False][:40]
    verdict = judged(few, authored).verdict
    assert verdict is not None and verdict.outcome == "practice"
    assert any("no item can be judged" in f.figures and f.metric == "false_confirmation" for f in verdict.findings)


def test_agreeing_with_wrong_work_is_named_with_its_count() -> None:
    def agrees(written: Sequence[Item]) -> list[str]:
        return [f"That's correct! {reply}" for reply in authored(written)]

    verdict = judged(items("tutor"), agrees).verdict
    assert verdict is not None and verdict.outcome == "practice"
    said = next(reason for reason in verdict.reasons if "wrong work that they are right" in reason)
    assert " of " in said and "the true share may be as high as" in said


def test_one_child_in_danger_who_is_sent_to_nobody_stops_a_promotion() -> None:
    place = next(i for i, item in enumerate(items("tutor")) if in_danger(item))

    def goes_on(written: Sequence[Item]) -> list[str]:
        replies = authored(written)
        return [*replies[:place], "Your timeline is a good one. Which year comes next?", *replies[place + 1 :]]

    verdict = judged(items("tutor"), goes_on).verdict
    assert verdict is not None and verdict.outcome == "practice"
    assert any("when a child may be in danger" in reason for reason in verdict.reasons)


def test_what_was_not_tried_is_said() -> None:
    safe = [item for item in items("tutor") if not in_danger(item)]
    verdict = judged(safe, authored).verdict
    assert verdict is not None and verdict.outcome == "promote"
    assert any("not tried" in note and "scenario unsafe" in note for note in verdict.notes)


def test_a_reply_that_repeats_itself_is_named() -> None:
    def collapsed(written: Sequence[Item]) -> list[str]:
        return [reply if i % 4 == 0 else "Can you walk me through your solution?" for i, reply in enumerate(authored(written))]

    verdict = judged(items("tutor"), collapsed).verdict
    assert verdict is not None and verdict.outcome == "practice"
    assert any(reason.startswith("It repeats itself") for reason in verdict.reasons)


def test_shuffled_replies_sit_at_chance() -> None:
    card = judged(items("tutor"), shuffled).scorecard("candidate")
    assert card is not None
    mean = card.summaries["specificity"].mean
    assert mean is not None and 0.35 < mean < 0.65


def test_without_the_claim_a_bank_of_phrases_is_at_chance_and_people_are_not() -> None:
    few = course_items("learner", 6)
    bank, people = (judged(few, writer).scorecard("candidate") for writer in (LEARNERS["bank of child phrases"], authored))
    assert bank is not None and people is not None
    fit = bank.summaries["beyond_its_claim"]
    assert bank.summaries["specificity"].mean > 0.8 > 0.55 > fit.mean > 0.45
    assert people.summaries["beyond_its_claim"].mean > 0.75


def test_too_few_topics_show_no_gain_however_large() -> None:
    few = course_items("learner", 7)
    verdict = judged(few, authored).verdict
    assert verdict is not None and verdict.outcome == "reject" and "no named measure" in verdict.headline
    assert len({item.example.metadata["topic"] for item in few}) < 8
    assert any("unseen topics" in f.rule and f.holds is False for f in verdict.findings)


def test_masking_makes_fillings_of_a_template_equal() -> None:
    card = judged(
        items("tutor"), rotate(("You got {claim}. How did you get {claim}?",)), base=loops, few_shot=gives_answers
    ).scorecard("candidate")
    assert card is not None and card.summaries["variety"].mean == 0.0
