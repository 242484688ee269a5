from __future__ import annotations

import json
from pathlib import Path

import pytest

import homeroom.data
from homeroom.chat.scenarios import PracticeScenario, scenario_from_example, scenarios_from_examples
from homeroom.chat.testing import SCENARIO
from homeroom.schema.examples import Example, Message

COURSE = Path(homeroom.data.__file__).parent / "course" / "learner.jsonl"


@pytest.fixture(scope="module")
def course() -> list[Example]:
    return [Example.from_dict(json.loads(line)) for line in COURSE.read_text(encoding="utf-8").splitlines()]


def test_every_learner_of_the_bundled_course_can_be_practised_on(course: list[Example]) -> None:
    scenarios = scenarios_from_examples(course)
    assert len(scenarios) == len(course)
    assert all(s.answer and s.topic and s.explanation for s in scenarios)


def test_the_system_message_is_the_one_that_the_learner_was_tuned_on(course: list[Example]) -> None:
    for example in course:
        scenario = scenario_from_example(example)
        assert scenario is not None
        assert scenario.system_message == example.messages[0].content


def test_other_system_messages_give_no_scenario() -> None:
    messages = (Message("system", "You are a helpful tutor."), Message("user", "hi"), Message("assistant", "hello"))
    assert scenario_from_example(Example(messages)) is None
    assert scenario_from_example(Example(messages[1:])) is None


@pytest.mark.parametrize(("grade", "title"), [(0, "Kindergarten"), (4, "Grade 4")])
def test_titles(grade: int, title: str) -> None:
    scenario = PracticeScenario("x", "Ana", grade, "reading", "main-idea", "p", "m", "c", "quiet")
    assert (scenario.grade_title, scenario.topic_title) == (title, "Main idea")


def test_a_scenario_survives_its_own_system_message() -> None:
    example = Example((Message("system", SCENARIO.system_message), Message("user", "hi"), Message("assistant", "hi")))
    found = scenario_from_example(example)
    assert found is not None
    assert (found.name, found.problem, found.claim, found.misconception) == (
        SCENARIO.name,
        SCENARIO.problem,
        SCENARIO.claim,
        SCENARIO.misconception,
    )
