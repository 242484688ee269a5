from __future__ import annotations

import pytest

from homeroom.errors import ConfigError
from homeroom.evaluation.prompts import PlainPrompt, few_shot_prompt, leaks
from homeroom.schema.examples import Example, Message
from tests.evaluation.helpers import PERSONA, learner, tutor


def example(topic: str, n: int = 0, subject: str = "mathematics") -> Example:
    return Example(
        (Message("system", "own"), Message("user", f"question {topic} {n}"), Message("assistant", f"reply {topic} {n}")),
        {"topic": topic, "subject": subject, "task": "tutor"},
    )


TRAIN = [
    example(topic, n, subject) for topic, subject in (("a", "mathematics"), ("b", "science"), ("c", "reading")) for n in range(4)
]


def count(text: str) -> int:
    return len(text.split())


def test_plain_prompt_shows_the_visible_system_text_once() -> None:
    item = tutor("Hello")
    assert PlainPrompt("Be kind.")(item)[0] == Message("system", "Be kind.")
    persona = learner("Hello")
    assert [m.content for m in PlainPrompt("Be kind.")(persona) if m.role == "system"] == [PERSONA]


def test_demonstrations_are_earlier_turns_under_the_same_system_text() -> None:
    prompt = few_shot_prompt(TRAIN, 3, 0, 1000, count, system_text="Be kind.")
    messages = prompt(tutor("Hello"))
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant", "user", "assistant", "user"]
    assert messages[0].content == "Be kind." and messages[-1].content == "Hello"
    assert {e.metadata["topic"] for e in prompt.demonstrations} == {"a", "b", "c"}


def test_a_learner_keeps_its_persona_and_sees_scripts() -> None:
    messages = few_shot_prompt(TRAIN, 1, 0, 1000, count)(learner("What did you get?"))
    assert [m.role for m in messages] == ["system", "user"]
    assert messages[0].content.startswith(PERSONA) and "Teacher: question" in messages[0].content


def test_the_choice_is_seeded_and_independent_of_the_files_order() -> None:
    one = few_shot_prompt(TRAIN, 4, 7, 1000, count).demonstrations
    assert few_shot_prompt(list(reversed(TRAIN)), 4, 7, 1000, count).demonstrations == one
    assert any(few_shot_prompt(TRAIN, 4, seed, 1000, count).demonstrations != one for seed in range(5))


def test_the_budget_holds_and_one_that_fits_nothing_is_an_error() -> None:
    cost = 1 + 3 + 3 + 3 * 6
    assert len(few_shot_prompt(TRAIN, 9, 0, 2 * cost, count).demonstrations) == 2
    with pytest.raises(ConfigError, match="budget of 5 tokens") as caught:
        few_shot_prompt(TRAIN, 2, 0, 5, count)
    assert caught.value.code == "few-shot"
    with pytest.raises(ConfigError, match="-1"):
        few_shot_prompt(TRAIN, -1, 0, 5, count)
    assert few_shot_prompt(TRAIN, 0, 0, 5, count).demonstrations == ()
    assert few_shot_prompt([], 2, 0, 5, count).demonstrations == ()


def test_leaks_name_items_whose_topic_was_shown() -> None:
    prompt = few_shot_prompt(TRAIN[:4], 1, 0, 1000, count)
    seen, unseen, unknown = tutor("x", topic="a"), tutor("y", topic="z"), tutor("z", topic="")
    assert leaks(prompt, [seen, unseen, unknown]) == [seen.id]
