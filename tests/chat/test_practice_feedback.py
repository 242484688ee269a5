from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homeroom.data
from homeroom.chat.practice_feedback import LONG_TURN_WORDS, feedback
from homeroom.chat.practice_notes import PracticeFeedback
from homeroom.chat.scenarios import scenario_from_example
from homeroom.chat.testing import SCENARIO
from homeroom.schema.examples import Example, Message

COURSE = Path(homeroom.data.__file__).parent / "course" / "learner.jsonl"


def session(*lines: str) -> list[Message]:
    """Teacher and learner in turn, the teacher first."""
    return [Message("user" if n % 2 == 0 else "assistant", line) for n, line in enumerate(lines)]


def notes(*lines: str) -> PracticeFeedback:
    return feedback(session(*lines), SCENARIO)


def quotes(found: PracticeFeedback, move: str) -> list[str]:
    return [q.text for o in found.observations if o.move == move for q in o.quotes]


GOOD = (
    "How did you get 2/6?",
    "I did one plus one and two plus four, easy peasy.",
    "Is your 2/6 more or less than the half you had at the shop?",
    "It's less. That's weird, I kept walking.",
    "What could you cut the half into, to compare the pieces?",
    "Two quarters! So 3/4 km.",
)
POOR = (
    "Good job! Is that right? Do you see what you did? Are you sure?",
    "Yes, it's 2/6 km.",
    "That's right. You need to find the same bottom number. The answer is 3/4.",
    "Okay.",
)


def test_good_teaching_is_seen_in_the_visitors_own_words() -> None:
    found = notes(*GOOD)
    assert quotes(found, "asked-for-reasoning") == ["How did you get 2/6?"]
    assert "How did you get 2/6?" in quotes(found, "picked-up-words")
    assert quotes(found, "one-question") == [GOOD[0], GOOD[2], GOOD[4]]
    assert found.to_watch == ()
    assert found.learner_got_there is True
    assert found.suggestion.title == "Ask for a check"
    assert found.counts == {"turns": 3, "questions": 3, "open": 2, "yes_no": 0, "words": 30, "learner_words": 23}


def test_poor_teaching_is_seen_in_the_visitors_own_words() -> None:
    found = notes(*POOR)
    assert quotes(found, "confirmed-wrong") == ["Good job!", "That's right."]
    assert quotes(found, "told-answer") == ["The answer is 3/4."]
    assert quotes(found, "told-steps") == ["You need to find the same bottom number."]
    assert quotes(found, "stacked-questions") == [POOR[0]]
    assert quotes(found, "yes-no") == ["Is that right?", "Do you see what you did?", "Are you sure?"]
    assert quotes(found, "empty-praise") == ["Good job!"]
    assert found.strengths == ()
    assert found.learner_got_there is False


def test_the_suggestion_names_what_matters_most_and_quotes_it() -> None:
    found = notes(*POOR)
    assert found.suggestion.title == "Before agreeing, ask where the answer came from"
    assert found.suggestion.about is not None
    assert found.suggestion.about.text == "Good job!"
    assert "2/6 km" in found.suggestion.say


@pytest.mark.parametrize(
    ("lines", "title"),
    [
        (("It's 3/4 km.", "Oh."), "Hold the answer back for one more turn"),
        (("What is 1 + 1?", "2."), "Ask how the learner got there"),
        (("Why? Do you see? Really? Is it more?", "Maybe."), "Turn a yes-or-no question into an open one"),
        (("How did you get that? What did you add?", "Tops."), "Keep the first question, and wait"),
        (("Why? Just find the same bottom.", "Hm."), "Turn a step into a question"),
        (("How did you do it?", "I added."), "Start from the learner's words"),
        (("How did you get 2/6?", "I added."), "Ask for a check"),
        ((), "Say something to the learner"),
    ],
)
def test_each_suggestion_has_its_occasion(lines: tuple[str, ...], title: str) -> None:
    assert notes(*lines).suggestion.title == title


def test_the_answer_may_be_repeated_once_the_learner_said_it() -> None:
    assert quotes(notes("Why?", "Oh, it's 3/4!", "Yes, 3/4 km is right."), "told-answer") == []


def test_confirming_the_right_answer_is_no_mistake() -> None:
    assert quotes(notes("Why?", "Not 2/6 km but 3/4 km!", "That's right."), "confirmed-wrong") == []


def test_using_only_the_problems_numbers_is_not_picking_up() -> None:
    assert quotes(notes("What about 1/2 and 1/4?", "Hm."), "picked-up-words") == []


def test_a_learners_word_that_the_visitor_brought_in_is_not_picked_up() -> None:
    lines = ("Think of chocolate.", "I like chocolate.", "Break the chocolate.", "Snap.")
    assert quotes(notes(*lines), "picked-up-words") == []


def test_long_turns_are_seen() -> None:
    long = "word " * LONG_TURN_WORDS + "end."
    assert quotes(notes(long, "Hm."), "long-turn") == [long]
    assert quotes(notes("word " * (LONG_TURN_WORDS - 1) + "end.", "Hm."), "long-turn") == []


def test_praise_that_says_what_it_is_for_is_a_strength() -> None:
    found = notes("Why?", "I drew it.", "I like how you drew it first.", "Thanks.")
    assert quotes(found, "specific-praise") == ["I like how you drew it first."]
    assert quotes(found, "empty-praise") == []


def test_every_observation_quotes_words_that_were_said_in_that_turn() -> None:
    for line in COURSE.read_text(encoding="utf-8").splitlines():
        example = Example.from_dict(json.loads(line))
        found = feedback(example.messages, scenario_from_example(example))
        turns = [" ".join(m.content.split()) for m in example.messages if m.role == "user"]
        about = [found.suggestion.about] if found.suggestion.about else []
        for quote in [*about, *(q for o in found.observations for q in o.quotes)]:
            assert quote.text in turns[quote.turn - 1]
        assert all(o.quotes for o in found.observations)
        assert found.suggestion.say


def test_the_notes_say_that_they_are_rules() -> None:
    assert "fixed rules" in notes(*GOOD).method


def test_without_a_scenario_only_wording_is_looked_at() -> None:
    found = feedback(session(*POOR))
    assert quotes(found, "told-answer") == []
    assert quotes(found, "stacked-questions") == [POOR[0]]
    assert found.learner_got_there is None


def test_one_word_answers_say_too_little_to_judge_the_end() -> None:
    from dataclasses import replace

    scenario = replace(SCENARIO, claim="no", answer="yes", accepted=())
    assert feedback(session("Is it?", "Yes."), scenario).learner_got_there is None


@given(st.lists(st.text(max_size=120), max_size=8))
def test_any_text_gives_notes(lines: list[str]) -> None:
    found = feedback(session(*lines), SCENARIO)
    assert found.suggestion.title
    assert all(o.quotes for o in found.observations)
