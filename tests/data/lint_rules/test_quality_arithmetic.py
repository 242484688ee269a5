"""Arithmetic in replies: what is wrong must be found whatever it is written like, and nothing else."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.lint_rules.showing import hits, record, replied

RIGHT = """3 + 4 = 7
3 × 4 = 12 and 5 more
$0.05 x 40 = $2
20% of 50 is 10
15/20 x 100 = 75%
3/4 of 20 = 15
100 + 10% = 110
10/3 = 3.33
22 ÷ 7 = 3 r 1
17 ÷ 5 = 3 remainder 2
1 2/3 + 1/3 = 2
½ + ¼ = ¾
3(4 + 2) = 18
3² + 4² = 25
2^10 = 1024
1/2 ÷ 1/4 = 2
24 ÷ 6/2 = 2
24 ÷ 6/2 = 8
Great - 3 + 4 = 7
33.3 + 33.3 + 33.3 = 100
five plus six is eleven
105 - 103 = 2 g
60 g ÷ 80 cm³ = 0.75 g/cm³
60 miles / 2 hours = 30 miles/hour
1,000 + 2,500 = 3,500
10 - 3 = 7!
3 + 4 = 10 - 3
-3 + 4 = 1
5 - 8 = -3
12 divided by 4 is 3
7 plus 5 is the same as 10 + 2
50% = 0.5
3/4 = 6/8
5 packs x $3 each = $15
$3/$1.5 per pound = 2 pounds
12 apples - 3 apples = 9 apples.
3 glasses of water x 5 = 15 glasses
\\frac{1}{2} + \\frac{1}{4} = \\frac{3}{4}
**3 + 4 = 7**""".splitlines()

NOT_ARITHMETIC = """2x + 3 = 12
9 + 3 = [ ] + 5
4 + __ = 11
4 + ? = 11
f(2) = 5 when f(x) = x + 4
1 hour 30 minutes + 45 minutes = 2 hours 15 minutes
3 tens + 4 ones = 34
1 foot = 12 inches
2 m + 50 cm = 2.5 m
1/2 = 6 cookies
3:4 = 6:9
5! = 120
3 + 4 = 7 hundred
pages 5 - 9 is 4 pages
3 + 4 is 7 more than 1
5m + 3 = 18
48/12 = 4 sets of 12
on 12/05/2024 we had 3 tests
call 555-0142 = my number
a score of 3-2 is 5 points
x + 3 x 4 = 20
chapters 3 - 5 is your homework
3.5.2 = 4.1.1
y = 3 + 2x = 9
the ratio 2/3 is 4 to 6""".splitlines()

WRONG = """3 + 4 = 8
3 × 4 = 13 and 5 more
$0.05 x 40 = $3
20% of 50 is 12
15/20 x 100 = 70%
3/4 of 20 = 16
10/3 = 3.43
1 2/3 + 1/3 = 3
½ + ¼ = ⅔
3(4 + 2) = 14
5 boxes x 12 pencils = 65 pencils
3 groups of 4 = 13
3² = 6
1/2 ÷ 1/4 = 1/8
Great - 3 + 4 = 6
five plus six is twelve
1/2 + 1/3 = 2/5
60 miles / 2 hours = 40 miles/hour
1,000 + 2,500 = 35,000
5 - 8 = 3
12 divided by 4 is 4
7 plus 5 is the same as 10 + 3
50% = 0.05
3/4 = 6/9
0.3 + 0.4 = 0.07
3 + 4 x 2 = 14
6 = 2 x 4
(18 - 6) / 2 = 15
five times three makes sixteen
six take away two leaves 3
8/2 = 3
105 - 103 = 3 g
-3 + 4 = 7
\\frac{1}{2} + \\frac{1}{4} = \\frac{2}{6}
**3 + 4 = 8**
1) 3 + 4 = 8
so 4 x 5 = 25 glasses of water""".splitlines()


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_equation_is_found(text: str) -> None:
    found = hits("QUA001", replied(f"Look at this: {text}."))
    assert len(found) == 1
    assert found[0].severity is None


@pytest.mark.parametrize("text", [*RIGHT, *NOT_ARITHMETIC])
def test_what_is_right_or_no_arithmetic_is_left_alone(text: str) -> None:
    assert not hits("QUA001", replied(f"Look at this: {text}."))


@given(st.integers(-99, 999), st.integers(1, 99), st.sampled_from("+-×÷"), st.integers(-3, 3))
def test_whole_numbers_are_worked_out_exactly(a: int, b: int, sign: str, off: int) -> None:
    exact = {"+": Fraction(a + b), "-": Fraction(a - b), "×": Fraction(a * b), "÷": Fraction(a, b)}[sign]
    if exact.denominator != 1:
        return
    found = hits("QUA001", replied(f"So {a} {sign} {b} = {exact + off}."))
    assert bool(found) == (off != 0)


def test_the_message_says_what_is_right() -> None:
    (found,) = hits("QUA001", replied("We need 6 × 12 = 74 pencils."))
    assert "'6 × 12 = 74" in found.message
    assert "6 × 12 is 72" in found.message


def test_a_run_on_equals_sign_is_a_warning() -> None:
    (found,) = hits("QUA001", replied("So 3 + 4 = 7 + 2 = 9."))
    assert found.severity == "warning"


@pytest.mark.parametrize(
    "reply",
    [
        "You wrote 3 × 4 = 13. Draw three rows of four.",
        "'3 × 4 = 13' is on your paper. Draw it.",
        "Does 3 × 4 = 13?",
        "Is it true that 3 × 4 = 13? Draw it.",
        "3 × 4 = 13 is not right yet.",
        "3 × 4 is not 13.",
        "Suppose 3 × 4 = 13. What would 3 × 5 be?",
    ],
)
def test_a_mistake_that_is_quoted_or_questioned_is_left_alone(reply: str) -> None:
    assert not hits("QUA001", record("I got 13 for 3 × 4.", reply))


def test_the_learners_own_equation_is_left_alone_unless_it_is_confirmed() -> None:
    asked = "My work: 3 × 4 = 13."
    assert not hits("QUA001", record(asked, "3 × 4 = 13, hmm. Draw three rows of four."))
    assert hits("QUA001", record(asked, "Yes, 3 × 4 = 13!"))


def test_a_learners_record_may_hold_mistakes() -> None:
    assert not hits("QUA001", record("What is 3 × 4?", "3 × 4 = 13!", task="learner"))


def test_only_replies_are_judged() -> None:
    assert not hits("QUA001", record("3 × 4 = 13", "Draw three rows of four."))


# --- units --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "1 hour is 100 minutes.",
        "There are 10 centimetres in a metre.",
        "A foot is 10 inches.",
        "1 inch is 3.54 cm.",
        "1 kg = 100 g, so weigh it.",
        "There are 356 days in a year.",
        "1 m² is 100 cm².",
        "2 square metres is 200 square centimetres.",
        "4 litres is the same as 400 millilitres.",
    ],
)
def test_a_wrong_conversion_is_found(text: str) -> None:
    assert len(hits("QUA002", replied(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "1 hour is 60 minutes.",
        "There are 100 centimetres in a metre.",
        "1 inch is 2.54 cm.",
        "An inch is about 2.5 cm.",
        "A mile is 1.6 km.",
        "1 kg = 1,000 g",
        "There are 366 days in a leap year, and 365 days in a year.",
        "1 m² is 10,000 cm².",
        "A month has 30 days.",
        "On the map 1 inch is 50 miles.",
        "A working day is 8 hours.",
        "5 feet is 2 inches taller.",
        "The first second is 3 metres.",
        "You said 1 hour is 100 minutes.",
    ],
)
def test_a_right_conversion_is_left_alone(text: str) -> None:
    assert not hits("QUA002", replied(text))


@pytest.mark.parametrize(
    "text",
    [
        "The area of the rectangle is 24 cm.",
        "The perimeter is 24 cm².",
        "The volume of the box is 30 square inches.",
        "The probability of rolling a six is 1.4.",
        "The angles of a triangle add up to 190 degrees.",
        "The angle in this triangle is 193 degrees.",
        "It weighs 5 litres.",
        "There are -8 apples in the basket.",
    ],
)
def test_an_impossible_quantity_is_found(text: str) -> None:
    assert len(hits("QUA003", replied(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "The area of the rectangle is 24 cm².",
        "The area of the rectangle is 24 square cm.",
        "The length is 5 cm by 3 cm.",
        "The probability of heads is 50%.",
        "The probability is 1 in 6.",
        "The angles of a quadrilateral add up to 360 degrees.",
        "The temperature is 20 degrees.",
        "Is the area 24 cm? Look at the unit.",
        "The area of a square with side 5 cm",
        "The height of the tower is 30 m.",
    ],
)
def test_a_possible_quantity_is_left_alone(text: str) -> None:
    assert not hits("QUA003", replied(text))


# --- contradictions -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Add them. The answer is 12.", "Count on. The answer is 13."),
        ("Yes, it is a prime.", "No, it is not a prime."),
        ("The capital is Canberra. Can you find it on a map?", "The capital is Sydney. Can you find it on a map?"),
        ("Paris.", "Lyon."),
        ("Start with 6 × 7 = 42", "Start with 6 × 7 = 48"),
    ],
)
def test_two_replies_to_one_question_that_disagree_are_found(first: str, second: str) -> None:
    asked = "What do you get, and why?"
    (found,) = hits("QUA004", [record(asked, first), record("Something else?", "No."), record(asked.upper(), second)])
    assert (found.line, found.lines) == (3, (1,))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Add them. The answer is 12.", "Count on. The answer is 12.0"),
        ("What have you tried?", "Which part is hard?"),
        ("The capital is Canberra.", "Canberra is the capital of Australia."),
        ("Draw 12 dots first.", "Draw 15 dots and look at the rows that you can make of them now."),
    ],
)
def test_two_ways_to_reply_are_no_contradiction(first: str, second: str) -> None:
    assert not hits("QUA004", [record("What do you get?", first), record("What do you get?", second)])


def test_answer_keys_that_disagree_are_found() -> None:
    two = [record("How many?", "What do you see?", reference={"answer": key}) for key in ("12 apples", "13 apples")]
    assert len(hits("QUA004", two)) == 1
    assert not hits("QUA004", two[:1] * 2)
