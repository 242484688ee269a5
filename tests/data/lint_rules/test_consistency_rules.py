"""Consistency: a record is held against the majority of its own file, whatever that majority does."""

from __future__ import annotations

import pytest

from tests.data.lint_rules.showing import hits, record, replied, with_options

# Rule, what the file does, what one record does instead.
DRIFTS = (
    ("CNS001", "Line up the ones of {n}.", "**Line up** the ones."),
    ("CNS001", "Line up the ones of {n}.", "# Ones\nLine them up."),
    ("CNS001", "Line up the ones of {n}.", "Do this:\n- line up the ones\n- add them"),
    ("CNS001", "**Line up** the ones of {n}.", "Line up the ones."),
    ("CNS001", "Is {n} + 5 more than 30?", "Is \\frac{1}{2} more than 30?"),
    ("CNS001", "Do this:\n- look at {n}\n- add it", "Do this:\n* look at 31\n* add it"),
    ("CNS001", "Look at {n} again.", "look at it again."),
    ("CNS002", "Look at {n} again.", "Hello there! Look at it again."),
    ("CNS002", "Hi! Look at {n} again.", "Look at it again."),
    ("CNS002", "Look at {n} again.", "Look at it again. Have a great day!"),
    ("CNS004", "Look at {n} again.", "ur gonna look at it again."),
    ("CNS004", "Look at {n} again.", "Kindly look at it again."),
    ("CNS004", "Look at {n} again.", "Look at it again 🎉"),
    ("CNS004", "Look at {n} again.", "LOOK AT THIS AGAIN."),
    ("CNS004", "Look at {n} again.", "Look at it again!!!"),
    ("CNS004", "Look at {n} again.", "The learner should look at it again."),
    ("CNS007", "Compare 12,000 with {n}.", "Compare 12000 with 31."),
    ("CNS007", "Compare 12000 with {n}.", "Compare 12 000 with 31."),
    ("CNS007", "Compare 1.5 with {n}.", "Compare 1,5 with 31."),
    ("CNS007", "Compare 3 × 4 with {n}.", "Compare 3 * 4 with 31."),
    ("CNS007", "Compare 30% with {n}.", "Compare 30 % with 31."),
    ("CNS008", "You're at {n}.", "You’re at 31."),
    ("CNS008", 'He said "go" at {n}.', "He said “go” at 31."),
    ("CNS008", "Wait... it is {n}.", "Wait… it is 31."),
    ("CNS009", "Compare 15 cm with {n}.", "Compare 15cm with 31."),
    ("CNS010", "Which color has {n}?", "Which colour has 31?"),
    ("CNS010", "Which colour has {n}?", "Which color has 31?"),
)


def file_of(usual: str, odd: str, often: int = 24) -> list[object]:
    return [*(replied(usual.replace("{n}", str(n))) for n in range(1, often + 1)), replied(odd)]


@pytest.mark.parametrize(("code", "usual", "odd"), DRIFTS)
def test_the_one_that_differs_is_reported(code: str, usual: str, odd: str) -> None:
    assert {hit.line for hit in hits(code, file_of(usual, odd))} == {25}


@pytest.mark.parametrize(("code", "usual", "odd"), DRIFTS)
def test_a_file_of_one_kind_is_left_alone(code: str, usual: str, odd: str) -> None:
    assert not hits(code, file_of(usual, usual.replace("{n}", "31")))
    assert not hits(code, [replied(odd) for _ in range(25)])


@pytest.mark.parametrize(("code", "usual", "odd"), [drift for drift in DRIFTS if drift[0] in ("CNS001", "CNS002", "CNS004")])
def test_what_many_do_is_no_drift(code: str, usual: str, odd: str) -> None:
    mixed = [*file_of(usual, odd), *(replied(odd) for _ in range(20))]
    assert not [hit for hit in hits(code, mixed) if hit.line]


def test_a_choice_that_a_file_has_not_made_is_told_once() -> None:
    (found,) = hits("CNS007", [*(replied("Is 3 × 4 more?") for _ in range(9)), *(replied("Is 3 * 4 more?") for _ in range(6))])
    assert (found.line, found.lines) == (0, tuple(range(10, 16)))


def test_learners_are_not_held_against_tutors() -> None:
    tutors = [replied("Line up the ones.") for _ in range(30)]
    learners = [record("What now?", "**umm** 5!!!", task="learner") for _ in range(2)]
    assert not hits("CNS001", tutors + learners)


def test_thresholds_are_options() -> None:
    shown = file_of("Look at {n} again.", "Hi! Look at it again.")
    assert not hits("CNS002", shown, with_options("CNS002", least=100))


# --- length -------------------------------------------------------------------------------------------------------------
def lengths(*counts: int, kind: str = "factual", task: str = "tutor") -> list[object]:
    return [record("What now?", "word " * count, question_type=kind, task=task) for count in counts]


def test_lengths_are_compared_within_a_type_of_question() -> None:
    usual = [12 + n % 5 for n in range(30)]
    assert [hit.line for hit in hits("CNS003", lengths(*usual, 200))] == [31]
    assert [hit.line for hit in hits("CNS003", lengths(*usual, 1))] == [31]
    assert not hits("CNS003", lengths(*usual, 24))
    essays = lengths(*[200 + n for n in range(30)], kind="analytical")
    assert not hits("CNS003", [*lengths(*usual), *essays])
    assert [hit.line for hit in hits("CNS003", [*lengths(*usual), *essays, *lengths(200)])] == [61]


def test_a_learner_may_answer_in_a_word() -> None:
    usual = [12 + n % 5 for n in range(30)]
    assert not hits("CNS003", lengths(*usual, 1, task="learner"))
    assert hits("CNS003", lengths(*usual, 200, task="learner"))


def test_one_long_reply_of_several_is_found() -> None:
    usual = lengths(*[12 + n % 5 for n in range(30)])
    long = record("What now?", "word " * 12, "And then?", "word " * 200, question_type="factual")
    assert [hit.line for hit in hits("CNS003", [*usual, long])] == [31]


def test_contractions_follow_the_file() -> None:
    easy = "It isn't done, and you don't need to. Let's look, you're close, it can't be far."
    stiff = "It is not done, and you do not need to. Let us look, you are close, it cannot be far."
    assert [hit.line for hit in hits("CNS011", [*(replied(easy) for _ in range(20)), replied(stiff)])] == [21]
    assert [hit.line for hit in hits("CNS011", [*(replied(stiff) for _ in range(20)), replied(easy)])] == [21]
    assert not hits("CNS011", [replied(text) for _ in range(12) for text in (easy, stiff)])


# --- terms --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("usual", "odd"),
    [
        ("ten-frame", "tens frame"),
        ("ten frame", "ten-frame"),
        ("number line", "number-line"),
        ("worksheet", "work sheet"),
        ("snow-globe", "snow globe"),
        ("x-axis", "x axis"),
    ],
)
def test_a_term_in_another_spelling_is_found(usual: str, odd: str) -> None:
    (found,) = hits("CNS005", file_of(f"Put {{n}} on the {usual}.", f"Put 31 on the {odd}.", often=6))
    assert (found.line, found.quote) == (7, odd)


@pytest.mark.parametrize(
    ("usual", "odd"),
    [
        ("Look at the number line.", "Look at the number lines."),
        ("Solve this real-world problem.", "How is it in the real world?"),
        ("What is left over?", "What about the leftover?"),
        ("It has two digits.", "It is a two-digit number."),
        ("Both apples cost 5.", "Each apple costs 5."),
        ("Set up a table.", "Is the setup right?"),
    ],
)
def test_two_words_that_only_look_alike_are_left_alone(usual: str, odd: str) -> None:
    assert not hits("CNS005", file_of(usual, odd, often=6))


def test_two_names_for_one_thing_are_told_once_for_a_grade_band() -> None:
    many = [replied("Look at the denominator.", grade_band="3-5") for _ in range(6)]
    one = replied("Look at the bottom number.", grade_band="3-5")
    (found,) = hits("CNS006", [*many, one])
    assert (found.line, found.lines) == (0, (7,))
    assert not hits("CNS006", [*many, replied("Look at the bottom number.", grade_band="K-2")])


def test_a_tutor_may_take_up_the_learners_word() -> None:
    many = [replied("Look at the denominator.", grade_band="3-5") for _ in range(6)]
    mirrored = record("Is the bottom number 4?", "Yes, the bottom number is 4.", grade_band="3-5")
    assert not hits("CNS006", [*many, mirrored])
