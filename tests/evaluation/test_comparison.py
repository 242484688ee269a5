"""Methods head to head: what is better is named with its figures, what is equal is called so, and nothing lazy ever wins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest

from homeroom.evaluation.comparison import Comparison, Facts, compare
from homeroom.evaluation.comparison_report import render_comparison
from homeroom.evaluation.evaluate import Replies
from homeroom.evaluation.protocol import protocol
from homeroom.evaluation.recommendation import THIS_SERVER
from homeroom.evaluation.results import Role, SystemInfo
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Item
from tests.evaluation.lazy import LEARNERS, TUTORS, Writer, authored, constant, course_items, gives_answers, loops, shuffled

FAST = ("constant question", "constant praise", "empty", "echo")
SLOW = pytest.mark.slow  # the measures of several systems


@cache
def items(task: str) -> tuple[Item, ...]:
    """Replies over ten topics and more: with fewer topics no difference among several systems can be shown."""
    return tuple(course_items(task, 48 if task == "tutor" else 30)[:: 4 if task == "tutor" else 2])


def often(good: Callable[[int], bool], otherwise: Writer = loops) -> Writer:
    """People's replies where ``good`` says so."""
    return lambda asked: [a if good(i) else b for i, (a, b) in enumerate(zip(authored(asked), otherwise(asked), strict=True))]


def compared(
    tuned: Mapping[str, Writer],
    *,
    task: str = "tutor",
    prompt: Writer = loops,
    few_shot: Writer = gives_answers,
    base: Writer = loops,
    ease: int | None = None,
    works: Mapping[str, Mapping[str, float | str]] = {},
) -> Comparison:
    """A comparison of writers, tuned ones in the order in which they are given."""
    rows: list[tuple[str, Role, Writer]] = [
        ("base", "base", base),
        ("prompt", "other", prompt),
        ("few-shot", "few-shot", few_shot),
    ]
    rows += [(name, "candidate", writer) for name, writer in tuned.items()]
    asked = items(task)
    replies = [
        Replies(
            SystemInfo(name, role, name, name),
            [Answer(i.id, name, t, latency_s=0.5) for i, t in zip(asked, w(asked), strict=True)],
        )
        for name, role, w in rows
    ]
    facts = [
        Facts(name, "huggingface", ease=ease, work=works.get(name, {})) if role == "candidate" else Facts(name, "")
        for name, role, _ in rows
    ]
    return compare(asked, replies, facts, plan=replace(protocol(task), draws=400), dataset="course@test")


def test_a_better_model_is_named_with_its_figures() -> None:
    found = compared({"good": authored})
    assert (found.advice.kind, found.advice.system) == ("tuned", "good")
    assert found.advice.headline.startswith("Use good: +")
    assert " against base" in found.advice.headline
    assert {p.better for p in found.pairs if p.difference.candidate == "good"} == {"good"}
    standing = next(s for s in found.standings if s.name == "good")
    assert standing.share is not None and standing.share > 0.8 and standing.latency_p50_s == 0.5
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["format"] == "homeroom-comparison/1" and record["decides"] == "sound_turn"
    assert Comparison.from_dict(record).to_dict() == found.to_dict()
    assert [s["name"] for s in record["systems"]] == ["base", "prompt", "few-shot", "good"]
    assert any("demonstrations" in f.rule for f in found.verdicts["prompt"].findings)
    assert not any("demonstrations" in f.rule for f in found.verdicts["few-shot"].findings), "nothing is compared with itself"


@SLOW
def test_of_two_better_models_that_do_not_differ_the_easier_one_is_advised() -> None:
    found = compared({"prompted": authored, "trained": often(lambda i: i != 3)})
    assert (found.advice.kind, found.advice.system) == ("tuned", "prompted")
    assert any("prompted is not shown to differ from trained" in reason for reason in found.advice.reasons)


@SLOW
def test_of_two_that_are_as_easy_to_take_back_the_one_with_the_larger_share_is_advised() -> None:
    found = compared({"first": often(lambda i: i != 3), "second": authored}, ease=1)
    assert (found.advice.kind, found.advice.system) == ("tuned", "second")
    assert any("second is not shown to differ from first" in reason for reason in found.advice.reasons)


@SLOW
def test_a_model_that_is_clearly_better_than_another_tuned_one_is_advised_though_it_is_harder_to_take_back() -> None:
    found = compared({"prompted": often(lambda i: i % 2 == 0), "trained": authored})
    assert found.advice.system == "trained"


WORK = {"dataset": "x", "tokens": 41_493, "epochs": 1.0, "learning rate": 0.001, "of a step": "2 examples"}


@SLOW
def test_one_tuner_behind_two_doors_must_agree_and_it_is_told_when_it_does_not() -> None:
    alike = {"huggingface": WORK, THIS_SERVER: {**WORK, "tokens": 41_500}}
    same = compared({"huggingface": authored, THIS_SERVER: authored}, works=alike)
    assert any(f"{THIS_SERVER} agrees with huggingface within noise" in reason for reason in same.advice.reasons)
    assert Comparison.from_dict(json.loads(json.dumps(same.to_dict()))).facts == same.facts
    other = compared({"huggingface": authored, THIS_SERVER: often(lambda i: i % 2 == 0)}, works=alike)
    assert any(f"{THIS_SERVER} and huggingface do NOT agree" in reason for reason in other.advice.reasons)
    assert not any("plumbing" in reason for reason in compared({"huggingface": authored}).advice.reasons)


@SLOW
@pytest.mark.parametrize("writer", [authored, often(lambda i: i % 2 == 0)], ids=["they agree", "they do not"])
def test_of_two_that_were_not_trained_alike_nothing_is_concluded(writer: Writer) -> None:
    shorter = {"huggingface": {**WORK, "tokens": 15_987, "epochs": 0.39}, THIS_SERVER: WORK}
    for works, told in (
        (shorter, "were not trained alike (tokens 41,493 and 15,987; epochs 1 and 0.39), so whether they agree shows nothing."),
        ({"huggingface": WORK}, "what both were trained on is not known, so whether they agree shows nothing."),
    ):
        reasons = compared({"huggingface": authored, THIS_SERVER: writer}, works=works).advice.reasons
        assert sum(told in reason for reason in reasons) == 1
        assert not any("as it must" in reason or "do NOT agree" in reason for reason in reasons)


def test_equal_models_show_no_difference() -> None:
    found = compared({"same": authored}, base=authored, prompt=authored, few_shot=authored)
    assert (found.advice.kind, found.advice.system) == ("no-difference", "base")
    assert found.advice.headline.startswith("No difference that ")
    assert found.advice.visible is not None and found.advice.visible > 0.05, (
        "nothing varies, and yet a rare fault would not be seen"
    )
    assert not any(p.better for p in found.pairs)


@SLOW
def test_a_model_that_is_a_little_better_by_chance_is_not_called_better() -> None:
    found = compared({"lucky": authored}, base=often(lambda i: i != 5), prompt=authored, few_shot=authored)
    assert found.advice.kind == "no-difference"
    assert "not shown to differ" in " ".join(found.advice.reasons)


@SLOW
def test_where_demonstrations_do_as_well_tuning_is_advised_against() -> None:
    found = compared({"good": authored}, few_shot=authored)
    assert (found.advice.kind, found.advice.system) == ("control", "few-shot")
    assert found.advice.headline.startswith("Do not tune: few-shot is better than the base by +")


@SLOW
def test_a_gain_over_the_base_alone_is_not_enough() -> None:
    found = compared({"good": authored}, base=often(lambda i: i % 5 < 2), prompt=authored, few_shot=often(lambda i: i % 5 < 3))
    assert found.advice.kind == "control" and found.advice.headline.startswith("Do not tune")


@SLOW
def test_a_worse_model_is_said_to_be_worse() -> None:
    found = compared({"bad": shuffled, "worse": gives_answers}, base=authored, prompt=authored, few_shot=authored)
    assert (found.advice.kind, found.advice.headline) == (
        "no-difference",
        "No tuned model is fit to be used. Keep the base with its prompt.",
    )


def test_too_few_replies_show_nothing_however_large_the_difference() -> None:
    few = items("tutor")[:10]
    rows = [("base", "base", loops), ("good", "candidate", authored)]
    replies = [
        Replies(SystemInfo(n, r, n, n), [Answer(i.id, n, t) for i, t in zip(few, w(few), strict=True)])  # type: ignore[arg-type]
        for n, r, w in rows
    ]
    found = compare(few, replies, [Facts("base"), Facts("good", model="<script>x</script>")], plan=protocol("tutor"))
    assert found.advice.kind == "too-few" and "10 replies" in found.advice.headline
    page = render_comparison(found)
    assert "<script" not in page and "&lt;script&gt;x" in page, "what a model is called is text"
    assert "Too few examples" in page and page.count("<svg") >= 2


@SLOW
def test_seven_topics_that_agree_do_not_choose_among_several_systems() -> None:
    """Chance alone lets all seven favour one of two equal systems once in 64 times, and six pairs are looked at."""
    by_topic: dict[str, list[Item]] = {}
    for item in course_items("tutor", 400):
        by_topic.setdefault(str(item.example.metadata["topic"]), []).append(item)
    seven = [item for topic in sorted(by_topic, key=lambda t: -len(by_topic[t]))[:7] for item in by_topic[topic][:3]]
    assert len(seven) == 21
    rows = [("base", "base", loops), *((name, "candidate", authored) for name in ("one", "two", "three"))]
    replies = [
        Replies(SystemInfo(n, r, n, n), [Answer(i.id, n, t) for i, t in zip(seven, w(seven), strict=True)])  # type: ignore[arg-type]
        for n, r, w in rows
    ]
    found = compare(
        seven, replies, [Facts(n, "huggingface" if r == "candidate" else "") for n, r, _ in rows], plan=protocol("tutor")
    )
    against_base = [p for p in found.pairs if p.difference.control == "base"]
    assert len(against_base) == 3 and all(p.difference.mean and p.difference.mean > 0.8 for p in against_base)
    assert [p.p_holm for p in against_base] == pytest.approx([6 * 2 / 128] * 3)
    assert found.advice.kind == "no-difference"


def test_the_measure_that_decides_cannot_be_won_by_being_alike() -> None:
    assert refused({name: TUTORS[name] for name in FAST})


@SLOW
@pytest.mark.parametrize(("task", "writers"), [("tutor", TUTORS), ("learner", LEARNERS)])
def test_nothing_lazy_wins_or_ties_as_better_whatever_it_does(task: str, writers: dict[str, Writer]) -> None:
    assert refused(writers, task)
    beside = compared({**writers, "good": authored}, task=task)
    assert beside.advice.system == "good"
    assert not any("not shown to differ from" in reason for reason in beside.advice.reasons), "nothing lazy ties with it"


def refused(writers: Mapping[str, Writer], task: str = "tutor") -> bool:
    """Against the weakest controls no lazy model is advised, and each is told why."""
    found = compared(writers, task=task)
    assert found.advice.system == "base" and found.advice.kind == "no-difference", found.advice
    assert found.advice.headline.startswith("No ")
    for name in writers:
        standing = next(s for s in found.standings if s.name == name)
        lost = next((p for p in found.pairs if name in (p.difference.candidate, p.difference.control)), None)
        assert standing.doubts or (lost is not None and lost.better != name), name
        assert any(reason.startswith(f"{name}: ") for reason in found.advice.reasons)
    return True


@SLOW
def test_a_lazy_control_is_not_advised_either() -> None:
    found = compared({"good": often(lambda i: i % 2 == 0)}, prompt=constant("Can you walk me through your solution?"))
    assert found.advice.system not in ("prompt", "few-shot")
    assert next(s for s in found.standings if s.name == "prompt").doubts
