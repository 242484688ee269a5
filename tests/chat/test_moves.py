"""The wording rules, one table each: what they must find and what they must leave alone."""

from __future__ import annotations

import pytest

from homeroom.chat import moves


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("How? Why so. Good!", ("How?", "Why so.", "Good!")),
        ("Is 3.5 more than 3? Say it.", ("Is 3.5 more than 3?", "Say it.")),
        ("He said “no.” Why?", ("He said “no.", "Why?")),
        ("", ()),
    ],
)
def test_sentences(text: str, parts: tuple[str, ...]) -> None:
    assert moves.sentences(text) == parts


@pytest.mark.parametrize(
    ("sentence", "asks"),
    [
        ("How did you get 2/6?", True),
        ("how did you get that", True),
        ("So what is the bottom number", True),
        ("What I mean is that you count.", False),
        ("Draw both.", False),
        ("He asked “why?”", True),
    ],
)
def test_questions(sentence: str, asks: bool) -> None:
    assert moves.is_question(sentence) is asks


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("How did you get 2/6?", "open"),
        ("Why does it shrink?", "open"),
        ("What would happen if the bottom were 8?", "open"),
        ("What do you notice about the pieces?", "open"),
        ("Can you show me with a drawing?", "open"),
        ("Could you read that line again?", "open"),
        ("Okay, Amara, how do you know?", "open"),
        ("What is 3 + 4?", "short"),
        ("How many pieces are there?", "short"),
        ("Which bread do you want it from?", "short"),
        ("Is it more or less than a half?", "choice"),
        ("Do you see?", "yes-no"),
        ("Is 2/6 more than 1/2?", "yes-no"),
        ("So, does that make sense?", "yes-no"),
        ("You add the tops, right?", "yes-no"),
        ("It gets smaller, doesn't it?", "yes-no"),
        ("Can you see it?", "yes-no"),
        ("Understand?", "yes-no"),
    ],
)
def test_what_can_answer_a_question(sentence: str, kind: str) -> None:
    assert moves.question_kind(sentence) == kind


@pytest.mark.parametrize(
    ("sentence", "asks"),
    [
        ("Why?", True),
        ("Tell me how you got there.", True),
        ("Show me 7 x 2 with plates.", True),
        ("Explain that to me, please.", True),
        ("That's why you add the tops.", False),
        ("Let me explain it.", False),
        ("I'll show you how.", False),
        ("What is 3 + 4?", False),
    ],
)
def test_asking_for_the_thinking(sentence: str, asks: bool) -> None:
    assert moves.asks_for_reasoning(sentence) is asks


@pytest.mark.parametrize(
    ("sentence", "forms", "problem", "told"),
    [
        ("It is 5/6.", ("5/6",), "Work out 1/2 + 1/3.", True),
        ("You get 5/6, right?", ("5/6",), "Work out 1/2 + 1/3.", True),
        ("Could it be 5/6?", ("5/6",), "Work out 1/2 + 1/3.", False),
        ("There are 15 of them.", ("5",), "Count.", False),
        ("That is 5/60.", ("5/6",), "Work out.", False),
        ("No, thirds are bigger. It's 1/3.", ("1/3",), "Which is larger, 1/3 or 1/8?", True),
        ("Look at 1/3 and 1/8 again.", ("1/3",), "Which is larger, 1/3 or 1/8?", False),
        ("21 comes after 19, so 21 is more.", ("21",), "Which is more, 19 or 21?", True),
        ("They are equal.", ("equal",), "Is 0.50 larger?", True),
        ("Draw two equal bars.", ("equal",), "Is 0.50 larger?", False),
        ("Max was scared.", ("scared",), "How did Max feel?", True),
        ("They land together.", ("they land together",), "Which lands first?", True),
        ("Anything.", (), "x", False),
    ],
)
def test_stating_the_answer(sentence: str, forms: tuple[str, ...], problem: str, told: bool) -> None:
    assert moves.states_answer(sentence, forms, problem) is told


@pytest.mark.parametrize(
    ("sentence", "tells"),
    [
        ("You need to find the same bottom.", True),
        ("Just add the tops.", True),
        ("First, you multiply.", True),
        ("Remember that zeros don't count.", True),
        ("Do you need to find the bottom?", False),
        ("Draw both.", False),
    ],
)
def test_telling_the_step(sentence: str, tells: bool) -> None:
    assert moves.tells_procedure(sentence) is tells


@pytest.mark.parametrize(
    ("sentence", "praises", "specific"),
    [
        ("Great job!", True, False),
        ("Good.", True, False),
        ("You are so smart!", True, False),
        ("Good job, you drew both bars!", True, True),
        ("I like how you checked it.", True, True),
        ("Good thinking about the pieces.", True, True),  # "pieces" is the learner's word
        ("That would be a good number to try.", False, False),
        ("Is that a good idea?", False, False),
    ],
)
def test_praise(sentence: str, praises: bool, specific: bool) -> None:
    assert moves.praises(sentence) is praises
    if praises:
        assert moves.praise_is_specific(sentence, frozenset({"pieces"})) is specific


@pytest.mark.parametrize(
    ("sentence", "confirms"),
    [
        ("That's right.", True),
        ("Yes!", True),
        ("Yes, you are right.", True),
        ("Great job!", True),
        ("Correct.", True),
        ("Right, so what comes next?", False),
        ("Yes, but look at the bottom.", False),
        ("You are not there yet.", False),
    ],
)
def test_confirming(sentence: str, confirms: bool) -> None:
    assert moves.confirms(sentence) is confirms


def test_numbers_and_telling_words() -> None:
    assert moves.numbers("From 2 / 6 to 0.5, that is 50 % of 3.") == {"2/6", "0.5", "50%", "3"}
    assert moves.content_words("You said the skinny pieces are bigger.") == {"skinny", "pieces"}
