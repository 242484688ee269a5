"""Which method is recommended: explicit answers, every input used, every reason of the guide kept."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from homeroom.errors import ConfigError
from homeroom.tuning.recommend import INPUTS, METHODS, RULES, Situation, recommend
from homeroom.tuning.recommend.guide import LINES
from homeroom.tuning.recommend.inputs import Input
from homeroom.tuning.recommend.rules import BANDS, When

NUMBERS = {"examples": (0, 3, 8, 15, 30, 200, 1000, 5000), "budget_usd": (None, 0.0, 10.0, 500.0), "memory_gb": (1.0, 4.0, 16.0)}
DAYS = (date(2026, 11, 22), date(2027, 1, 5), date(2027, 1, 6))


def values(entry: Input) -> tuple[Any, ...]:
    """Every value of an input that could matter."""
    if entry.kind == "yes-no":
        return (False, True)
    return entry.choices or (DAYS if entry.kind == "date" else NUMBERS[entry.name])


def situations(count: int = 400, seed: int = 3) -> list[Situation]:
    """Situations drawn at random; mostly what is taken for granted, so that single inputs matter."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        chosen = {
            e.name: rng.choice(values(e)) for e in INPUTS if rng.random() < 0.3 or e.name in ("examples", "access", "today")
        }
        made.append(Situation(**chosen))
    return made


def points(situation: Situation, method: str) -> tuple[bool, int]:
    score = next(s for s in recommend(situation).scores if s.method == method)
    return not score.excluded, score.points


def lead(situation: Situation, method: str) -> tuple[float, ...]:
    """How far ``method`` is ahead of each other one; a method that is excluded is infinitely behind."""
    own = points(situation, method)
    others = [points(situation, m) for m in METHODS if m not in (method, "prompt")]
    worth = own[1] if own[0] else -1000
    return tuple(worth - (p if possible else -1000) for possible, p in others)


def test_the_inputs_are_the_fields() -> None:
    assert [e.name for e in INPUTS] == [f.name for f in fields(Situation)]
    assert {w.input for rule in RULES for w in rule.when} == {e.name for e in INPUTS}, "an input that no rule looks at"


@pytest.mark.parametrize("entry", INPUTS, ids=lambda e: e.name)
def test_every_input_can_change_the_answer(entry: Input) -> None:
    for situation in situations():
        if len({recommend(replace(situation, **{entry.name: value})).method for value in values(entry)}) > 1:
            return
    raise AssertionError(f"{entry.name} never changes what is recommended")


@pytest.mark.parametrize("entry", [e for e in INPUTS if e.choices], ids=lambda e: e.name)
def test_every_choice_says_something_of_its_own(entry: Input) -> None:
    """But for choices that stand for knowing nothing: no two values may lead to the same points everywhere."""
    silent = {"quality": {"unknown"}}
    for value in set(entry.choices) - silent.get(entry.name, set()) - {entry.default}:
        assert any(
            [s.points for s in recommend(replace(one, **{entry.name: value})).scores]
            != [s.points for s in recommend(replace(one, **{entry.name: entry.default})).scores]
            or recommend(replace(one, **{entry.name: value})).method
            != recommend(replace(one, **{entry.name: entry.default})).method
            for one in situations(50)
        ), value


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.part}, {line.says}")
def test_every_reason_of_the_guide_speaks_for_its_method(line: Any) -> None:
    entry = next(e for e in INPUTS if e.name == line.input)
    others = [v for v in values(entry) if v != line.value]
    for base in (Situation(examples=15), Situation(examples=300), Situation(examples=3000)):
        with_it = replace(base, **{line.input: line.value})
        for other in others:
            better, without = lead(with_it, line.method), lead(replace(base, **{line.input: other}), line.method)
            if all(a >= b for a, b in zip(better, without, strict=True)) and better != without:
                return
    raise AssertionError(f"{line.says!r} does not bring {line.method} forward")


@pytest.mark.parametrize(
    ("examples", "method", "second", "said"),
    [
        (0, "prompt", "dspy", "With no example"),
        (1, "prompt", "dspy", "With 1 to 4 examples do not tune"),
        (4, "prompt", "dspy", "With 1 to 4 examples do not tune"),
        (5, "dspy", "prompt", "5 to 20"),
        (20, "dspy", "prompt", "5 to 20"),
        (21, "dspy", "huggingface", "21 to 49 examples lie between"),
        (49, "dspy", "huggingface", "21 to 49 examples lie between"),
        (50, "openai", "huggingface", "50 to 1,000"),
        (999, "openai", "huggingface", "50 to 1,000"),
        (1000, "openai", "huggingface", "1,000 examples and more"),
        (1001, "huggingface", "dspy", "1,000 examples and more"),
        (100_000, "huggingface", "dspy", "1,000 examples and more"),
    ],
)
def test_the_number_of_examples_alone(examples: int, method: str, second: str, said: str) -> None:
    answer = recommend(Situation(examples=examples))
    assert (answer.method, answer.second) == (method, second)
    assert answer.on_examples.startswith(said)
    assert (answer.second_later == "once there are 5 examples") == (examples < 5)
    assert "examples" in answer.decided_by


def test_bands_leave_no_number_out() -> None:
    assert BANDS[0].low == 0 and BANDS[-1].high is None
    assert [b.low for b in BANDS[1:]] == [(b.high or 0) + 1 for b in BANDS[:-1]]


@pytest.mark.parametrize("change", [{"private": True}, {"offline": True}, {"connectivity": "none"}, {"budget_usd": 0.0}])
def test_what_rules_a_provider_out_is_cited(change: dict[str, Any]) -> None:
    answer = recommend(Situation(examples=400, consistency=True, standards=True, **change))
    assert answer.method == "huggingface"
    (name,) = change
    assert name in answer.decided_by
    assert any(reason.startswith("not openai: ") and f"{name} = " in reason for reason in answer.reasons)
    assert next(s for s in answer.scores if s.method == "openai").excluded


def test_nothing_that_is_excluded_is_recommended() -> None:
    for situation in situations(300, seed=5):
        answer = recommend(situation)
        assert not answer.scores[0].excluded
        assert answer.second != answer.method
        excluded = {s.method for s in answer.scores if s.excluded}
        assert answer.second not in excluded or (len(excluded) == 3 and answer.second_later)
        if situation.private or situation.offline or situation.connectivity == "none":
            assert "openai" in excluded
        assert answer == recommend(situation)


def test_the_inputs_that_decided_are_those_that_change_it() -> None:
    situation = Situation(examples=400, private=True, gpu=True)
    answer = recommend(situation)
    assert answer.method == "huggingface"
    assert answer.decided_by[0] == "examples" or answer.decided_by[0] == "private"
    assert recommend(replace(situation, private=False, gpu=False)).method == "openai"
    assert "speed" not in answer.decided_by


@pytest.mark.parametrize("access", ["key", "active"])
def test_openais_closing_is_told_and_then_excludes(access: Any) -> None:
    wanted = {"examples": 400, "consistency": True, "standards": True, "no_upkeep": True, "deployment": "wide", "access": access}
    before = recommend(Situation(**wanted, today=date(2027, 1, 5)))
    assert before.method == "openai"
    assert any("from 2027-01-06 on, in 1 day." in w for w in before.warnings)
    assert any("end on 2027-01-14" in w for w in before.warnings)
    after = recommend(Situation(**wanted, today=date(2027, 1, 6)))
    assert after.method != "openai" and after.second != "openai"
    assert any("since 2027-01-06" in w and "homeroom serve" in w for w in after.warnings)
    assert recommend(Situation(**{**wanted, "access": "other"}, today=date(2027, 2, 1))).method == "openai"


def test_bad_data_is_mended_first_and_not_put_into_weights() -> None:
    good, bad = (Situation(examples=60, access="none", quality=q) for q in ("good", "errors"))
    assert (recommend(good).method, recommend(bad).method) == ("huggingface", "dspy")
    assert any("homeroom data fix" in w for w in recommend(bad).warnings)
    assert "quality" in recommend(bad).decided_by


@pytest.mark.parametrize("change", [{"examples": -1}, {"speed": "soon"}, {"memory_gb": float("nan")}, {"access": ""}])
def test_values_that_mean_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))) as caught:
        Situation(**change)
    assert caught.value.code == "recommend-input"


def test_conditions_read_as_what_they_mean() -> None:
    assert str(When("examples", low=5, high=20)) == "examples = 5 to 20"
    assert str(When("examples", low=1000)) == "examples ≥ 1000"
    assert str(When("memory_gb", high=2)) == "memory_gb ≤ 2"
    assert str(When("private", True)) == "private = yes"
    assert str(When("budget_usd", low=0, high=0)) == "budget_usd = 0"
