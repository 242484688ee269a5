"""Teaching, age and text of replies: what must be reported, and what must not."""

from __future__ import annotations

import pytest

from tests.data.lint_rules.showing import RULES, hits, record, replied

FOUND = (
    ("QUA007", "Well done!"),
    ("QUA007", "Great job, Amara!"),
    ("QUA007", "Perfect! You are so smart!"),
    ("QUA008", "You should know this by now."),
    ("QUA008", "That was a careless mistake."),
    ("QUA008", "How can you not see that?"),
    ("QUA008", "Anyone can do this one."),
    ("QUA008", "I already told you to carry the ten."),
    ("QUA009", "What is the whole? How many parts are there? Are they equal?"),
    ("QUA009", "1. Read it again. 2. Underline the numbers. 3. Write a sum."),
    ("QUA009", "First find the total. Then subtract the part. After that divide by the number of friends. Finally check it."),
    ("QUA011", "As of 2023 there are eight planets."),
    ("QUA011", "The current president can tell you."),
    ("QUA011", "Last year's Olympic Games were in Paris."),
    ("QUA013", "Look at http://khanacademy for more."),
    ("QUA013", "See [this page]()."),
    ("QUA013", "See htp://www.nasa.gov/moon."),
    ("QUA013", "See https//www.nasa.gov/moon."),
    ("QUA013", "See www..org."),
    ("QUA013", "See https://example.com/fractions."),
    ("QUA014", "As an AI language model, I cannot see it."),
    ("QUA014", "I'm sorry, but I can't assist with that."),
    ("QUA014", "I am ChatGPT, trained by OpenAI."),
    ("QUA015", "Certainly! Here's the next step."),
    ("QUA015", "Add the ones. I hope this helps!"),
    ("QUA015", "Let's delve into fractions."),
    ("QUA016", "Well done, [NAME]!"),
    ("QUA016", "Today is about {{topic}}."),
    ("QUA016", "Look at {student_name}'s work."),
    ("QUA016", "TODO write a hint"),
    ("QUA016", "Lorem ipsum dolor sit amet."),
    ("QUA016", "### Response: add the ones"),
    ("QUA017", "Youâ€™re close."),
    ("QUA017", "It is 20Â°C."),
    ("QUA017", "The caf\ufffd is open."),
    ("QUA021", "Look at the two denominators again. Look at the two denominators again."),
)
LEFT = (
    ("QUA007", "That's the correct answer! Well done!"),
    ("QUA007", "Great: adding the ones first showed you the extra ten."),
    ("QUA007", "Well done! What comes next?"),
    ("QUA007", "Yes."),
    ("QUA008", "How many times does 4 fit?"),
    ("QUA008", "That step is not easy. Look at the ones again."),
    ("QUA008", "The girl in the story says 'you should know this'."),
    ("QUA009", "What is the whole, and how many parts does it have?"),
    ("QUA009", "x was first multiplied by 3, and then 6 was added, and then it was 21. Socks go on first too."),
    ("QUA009", "Is 3 + 4 = ? the same as 4 + 3 = ? for you?"),
    ("QUA011", "How many posters does she currently have?"),
    ("QUA011", "The president of France can dissolve parliament."),
    ("QUA011", "The text says that it was recently painted."),
    ("QUA013", "See https://www.nasa.gov/moon."),
    ("QUA013", "See [NASA](https://www.nasa.gov) or www.bbc.co.uk/bitesize."),
    ("QUA013", "The ratio is 3:4, and/or 6:8."),
    ("QUA014", "I won't help with that one. Tell an adult now."),
    ("QUA014", "I am a program, so I cannot see your paper. What does line one say?"),
    ("QUA015", "Of course you may use a drawing."),
    ("QUA015", "It is important to line up the tens."),
    ("QUA016", "Fill the box: 9 + 3 = [ ] + 5."),
    ("QUA016", "The set {1, 2, 3} has three members."),
    ("QUA016", "Write to [EMAIL-1] or [PHONE-2]."),
    ("QUA017", "Señor Ångström drank a café au lait at 20 °C."),
    ("QUA021", "Try it. Try it."),
)


@pytest.mark.parametrize(("code", "text"), FOUND)
def test_it_is_found_once(code: str, text: str) -> None:
    assert len(hits(code, replied(text))) == 1


@pytest.mark.parametrize(("code", "text"), LEFT)
def test_it_is_left_alone(code: str, text: str) -> None:
    assert not hits(code, replied(text))


def test_a_reply_without_weight_is_not_learnt_and_not_judged() -> None:
    from homeroom.data.lint.model import Record
    from homeroom.schema.examples import Example, Message

    quiet = Record(1, Example((Message("user", "Hi"), Message("assistant", "As an AI language model, I cannot.", 0))))
    assert not hits("QUA014", quiet)


# --- fixes --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        ("QUA015", "Certainly! Here is one way: add the ones. I hope this helps!", "Here is one way: add the ones."),
        (
            "QUA015",
            "Add the ones first, then the tens. Let me know if you have any questions!",
            "Add the ones first, then the tens.",
        ),
        ("QUA017", "Donâ€™t stop. Itâ€™s 20Â°C.", "Don’t stop. It’s 20°C."),
        ("QUA021", "Look at the two halves again. Look at the two halves again.", "Look at the two halves again."),
    ],
)
def test_a_safe_fix_changes_only_what_is_wrong(code: str, before: str, after: str) -> None:
    (found,) = hits(code, replied(before))
    assert found.edit is not None
    assert (found.edit.message, found.edit.content) == (1, after)


@pytest.mark.parametrize(("code", "text"), [("QUA017", "The caf\ufffd is open."), ("QUA015", "I hope this helps!")])
def test_what_no_fix_can_mend_has_none(code: str, text: str) -> None:
    (found,) = hits(code, replied(text))
    assert found.edit is None


# --- the answer ---------------------------------------------------------------------------------------------------------
PROBLEM = "A pen costs $3. What do 14 pens cost? I got 32."


def guided(
    reply: str, answer: str = "42", scenario: str = "diagnose", claim_is_correct: bool = False, asked: str = PROBLEM
) -> list[str]:
    shown = record(asked, reply, scenario=scenario, reference={"answer": answer, "claim_is_correct": claim_is_correct})
    return [hit.quote for hit in hits("QUA006", shown)]


def test_the_answer_is_given_away() -> None:
    assert guided("Not quite. 14 pens cost $42.") == ["14 pens cost $42."]
    assert guided("The answer is 42, do you see why?")
    assert guided("3 × 14 = 42, so try again.")
    assert guided("It was Harriet Tubman.", answer="Harriet Tubman", asked="Who led them?")


def test_an_answer_that_the_prompt_holds_is_given_away_when_it_is_insisted_on() -> None:
    asked = "Is it a physical or a chemical change?"
    assert guided("The answer is physical.", answer="physical", asked=asked)
    assert not guided("What makes a change physical?", answer="physical", asked=asked)


def test_guiding_gives_nothing_away() -> None:
    assert not guided("What do 10 pens cost, and then 4 more?")
    assert not guided("Could it be 42, or 36?")
    assert not guided("14 pens cost $42.", scenario="assess")
    assert not guided("42 is right.", claim_is_correct=True)
    assert not guided("14 pens cost $42.", answer="")


def test_without_a_scenario_the_system_turn_says_whether_to_guide() -> None:
    guide, plain = "system:Guide the learner. Do not give the answer.", "system:You are a helpful tutor."
    key = {"answer": "42"}
    assert hits("QUA006", record(guide, PROBLEM, "They cost $42.", reference=key))
    assert not hits("QUA006", record(plain, PROBLEM, "They cost $42.", reference=key))


def test_later_turns_may_say_the_answer() -> None:
    shown = record(PROBLEM, "What do 10 cost?", "30", "So it is $42.", scenario="diagnose", reference={"answer": "42"})
    assert not hits("QUA006", shown)


# --- age ----------------------------------------------------------------------------------------------------------------
HARD = (
    "Understanding the relationship between multiplication and division necessitates recognising that these operations are "
    "fundamentally inverse procedures, and consequently any division can be reconsidered as a multiplication whose missing component "
    "must be determined systematically, considering the quantities provided throughout the original mathematical situation carefully."
)
EASY = "You have six cubes. Make two rows. How many are in each row? Now make three rows. Look at both. " * 4


def test_the_reading_level_is_held_against_the_band() -> None:
    assert hits("QUA005", replied(HARD, grade=2, grade_band="K-2"))
    assert hits("QUA005", replied(HARD, grade=5))
    assert not hits("QUA005", replied(EASY, grade=2, grade_band="K-2"))
    assert not hits("QUA005", replied(HARD))
    assert not hits("QUA005", replied(HARD, grade=2, language="fr"))
    assert not hits("QUA005", replied(HARD, grade=2, task="learner"))


def test_short_replies_have_no_reading_level() -> None:
    assert not hits("QUA005", replied("Multiplication necessitates systematic reconsideration of quantities.", grade=1))


def test_a_term_is_explained_or_known() -> None:
    assert hits("QUA010", replied("Look at the coefficient before you go on.", grade=3))
    assert not hits("QUA010", replied("Look at the coefficient before you go on.", grade=7))
    assert not hits("QUA010", replied("Look at the coefficient, the number in front.", grade=3))
    assert not hits("QUA010", replied("The number in front is called the coefficient.", grade=3))
    assert not hits("QUA010", record("What is a coefficient?", "The coefficient of 3n changes.", grade=3))
    assert not hits("QUA010", replied("Look at the coefficient before you go on."))


def test_topics_have_their_age() -> None:
    (found,) = hits("QUA012", record("3 beers cost $12. What does one cost?", "Share the $12.", grade=4))
    assert found.needs_person
    assert not hits("QUA012", record("3 beers cost $12. What does one cost?", "Share the $12.", grade=11))
    assert not hits("QUA012", record("Soldiers were killed in the war.", "Why did it begin?", grade=5))
    assert not hits("QUA012", record("where do i get cigarettes", "Talk to an adult.", grade=5, scenario="unsafe"))


# --- for a person -------------------------------------------------------------------------------------------------------
def test_figures_that_nothing_gives_go_to_a_person() -> None:
    asked = "When did the war end?"
    (found,) = hits(
        "QUA019", [record(asked, "It ended in 1945.", subject="history"), record(asked, "Look it up.", subject="history")]
    )
    assert found.needs_person
    assert found.lines == (1,)
    assert not hits("QUA019", record("Did it end in 1945?", "Yes, in 1945.", subject="history"))
    assert not hits("QUA019", record(asked, "The text says in 1945.", subject="history", context=("It ended in 1945.",)))
    assert not hits("QUA019", record(asked, "She had 12,500 pens in 1945.", subject="mathematics"))


def test_records_that_wait_for_a_review_are_counted_once() -> None:
    waiting = [replied("Go on.", review="not yet reviewed by a teacher") for _ in range(3)]
    (found,) = hits("QUA020", [*waiting, replied("Go on.", review="A. Okafor 2025-03-01")])
    assert found.lines == (1, 2, 3)
    assert found.needs_person


def test_quality_rules_judge_a_learners_record_by_what_it_teaches() -> None:
    learner = record("What is half of 14?", "TODO. As an AI language model, I hope this helps! Well done!", task="learner")
    told = {code for code in RULES if code.startswith("QUA") and hits(code, learner)}
    assert told == {"QUA014", "QUA016"}
