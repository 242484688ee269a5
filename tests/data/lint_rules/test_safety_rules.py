"""Personal data, language, crises and inclusion: what must be found, and what must be left alone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from homeroom.data.lint.model import CorpusRule, Hit, Options, Record, RecordRule
from homeroom.data.lint.registry import all_rules
from homeroom.schema.examples import Example, Message

RULES = {rule.about.code: rule for rule in all_rules()}
NO_OPTIONS = Options()
CLASS = Options(roster=frozenset({"amara diallo", "tomas reyes", "will harper", "grace mbeki"}))


def record(*turns: str, **metadata: object) -> Record:
    """Turns of user and assistant; ``system:`` opens a system turn."""
    messages = [Message("system", turns[0].removeprefix("system:"))] if turns[0].startswith("system:") else []
    rest = turns[len(messages) :]
    messages += [Message("assistant" if n % 2 else "user", text) for n, text in enumerate(rest)]
    return Record(1, Example(tuple(messages), metadata))


def hits(code: str, shown: Record | Iterable[Record], options: Options = NO_OPTIONS) -> list[Hit]:
    rule = RULES[code]
    records = [shown] if isinstance(shown, Record) else list(shown)
    if isinstance(rule, CorpusRule):
        facts = [(n, fact) for n, r in enumerate(records, 1) if (fact := rule.fact(r, options)) is not None]
        return list(rule.judge(facts, options))
    assert isinstance(rule, RecordRule)
    return [hit for r in records for hit in rule.check(r, options)]


def said(text: str) -> Record:
    """A learner's turn."""
    return record(text, "What have you tried so far?")


def replied(text: str) -> Record:
    """A tutor's reply."""
    return record("I got 12. Is that right?", text)


FOUND = (
    ("SAF001", "write to ana.k+hw@mail.school.org please"),
    ("SAF001", "ana.k at gmail dot com"),
    ("SAF002", "call me on 555-0142"),
    ("SAF002", "(503) 555-0187 is mum"),
    ("SAF002", "ring me: 020 7946 0958"),
    ("SAF002", "+44 7700 900 982"),
    ("SAF002", "my phone is five five five zero one four two"),
    ("SAF003", "I live at 48 Alder Street."),
    ("SAF003", "come to 6 king street after school"),
    ("SAF003", "Ich wohne in der Lindenstraße 14."),
    ("SAF004", "Student number: S1049382"),
    ("SAF004", "my social security number is 536-22-8841"),
    ("SAF004", "the password is Tiger!2019"),
    ("SAF005", "I was born on March 3, 2014."),
    ("SAF005", "DOB 7/14/2013"),
    ("SAF006", "im @jules_r08 everywhere"),
    ("SAF006", "my snapchat is emmaluvsdogs"),
    ("SAF008", "My name is Olivia Bennett."),
    ("SAF008", "I go to Jefferson Elementary School."),
)
LEFT_ALONE = (
    ("SAF001", "The e-mail has 20 words. 5 @ 2 dollars. Ask info@school.org or a@example.com."),
    ("SAF002", "555 - 1234 = "),
    ("SAF002", "555-1234 = -679"),
    ("SAF002", "Work out 20.25 - 4.50 and 100-200-300."),
    ("SAF002", "The populations are 210,345,1234 and 503 555 018."),
    ("SAF002", "Call the number n: 7654321 has seven digits"),
    ("SAF002", "Please call 1-800-273-8255 or 988."),
    ("SAF003", "There are 24 Oak trees on the street and 12 Main roads meet."),
    ("SAF003", "Sherlock Holmes lives at 221B Baker Street."),
    ("SAF003", "She had 12 Red Drives" + "haft balls."),
    ("SAF004", "The student has 20417735 points. In school 1234 pupils sang."),
    ("SAF004", "536-22-8841 = ?"),
    ("SAF004", "My password is a palindrome."),
    ("SAF005", "George Washington was born on February 22, 1732."),
    ("SAF005", "Tom was born on May 3, 2010. How old is he?"),
    ("SAF005", "My birthday is in 12 days."),
    ("SAF006", "5 apples @ $2 each, and @property in Python"),
    ("SAF006", "I play Roblox 30 minutes. My Roblox is not working."),
    ("SAF008", "My name is Olivia. Maria has 5 apples. I am Groot"),
    ("SAF008", "I go to school at 8."),
)


@pytest.mark.parametrize(("code", "text"), FOUND)
def test_personal_data_is_found(code: str, text: str) -> None:
    assert hits(code, said(text))


@pytest.mark.parametrize(("code", "text"), LEFT_ALONE)
def test_arithmetic_stories_and_history_are_left_alone(code: str, text: str) -> None:
    assert not [h.message for h in hits(code, said(text))]


def test_placeholders_are_numbered_over_the_record_and_say_nothing_of_what_was_there() -> None:
    shown = record("Mail a@b.org or C@D.org.", "To a@b.org?", "No: c@d.org.", "Fine.")
    edits = {hit.edit.message: hit.edit.content for hit in hits("SAF001", shown) if hit.edit}
    assert edits == {0: "Mail [EMAIL-1] or [EMAIL-2].", 1: "To [EMAIL-1]?", 2: "No: [EMAIL-2]."}


def test_a_placeholder_that_is_there_keeps_its_number() -> None:
    (hit,) = hits("SAF001", record("Mail [EMAIL-3] or x@y.org.", "Which?"))
    assert hit.edit is not None
    assert hit.edit.content == "Mail [EMAIL-3] or [EMAIL-4]."


@pytest.mark.parametrize(
    "text",
    ["Well done, Amara!", "Hi Tomas, let us begin.", "amara diallo told me", "I'm Will and I am stuck.", "Is that Diallo, Amara?",
     "Grace, what is 3 x 5?", "Tomas in my class got 9.", "Amara D. has the same"],
)  # fmt: skip
def test_names_of_the_class_are_found_where_somebody_is_meant(text: str) -> None:
    assert hits("SAF007", said(text), CLASS)
    assert not hits("SAF007", said(text))


@pytest.mark.parametrize(
    "text",
    ["Amara has 5 apples and Tomas has 3.", "Will you try it? It will work.", "Grace under pressure.", "Amara's bag weighs 2 kg.",
     "How many apples does Amara have, if Tomas, Ana and Bo have 4 each?", "Tomas, Ana and Bo share 12 apples."],
)  # fmt: skip
def test_names_of_stories_are_left_alone(text: str) -> None:
    assert not [h.message for h in hits("SAF007", said(text), CLASS)]


def test_who_is_spoken_to_is_masked_wherever_the_turn_names_them() -> None:
    (hit,) = hits("SAF007", record("You are here, Tomas?", "Hi Tomas! Tomas and Tomas's sister, try it."), CLASS)[1:]
    assert hit.edit is not None
    assert hit.edit.content == "Hi [LEARNER-1]! [LEARNER-1] and [LEARNER-1]'s sister, try it."


def test_a_first_name_alone_is_milder_than_a_full_name() -> None:
    assert [h.severity for h in hits("SAF007", said("Hi Amara!"), CLASS)] == ["warning"]
    assert [h.severity for h in hits("SAF007", said("Amara Diallo and Tomas Reyes"), CLASS)] == [None]


def test_metadata_that_names_a_learner() -> None:
    assert hits("SAF009", record("a", "b", **{"Student Name": "Amara"}))
    assert not hits("SAF009", record("a", "b", student="", author="Ana Ruiz", topic="name"))


@pytest.mark.parametrize("text", ["What the hell is that?", "sh1t", "Fuuuck!", "f**king easy", "This is bullshit.", "a$$hole"])
def test_swearing_is_found_however_it_is_written(text: str) -> None:
    assert hits("SAF010", replied(text))


@pytest.mark.parametrize(
    "text",
    ["Scunthorpe assesses the class: Cassandra passes.", "f * k and s*t and f**2", "The cock crows; the donkey is an ass.",
     "Hello, shell, cockpit, Dickens, titmouse, Essex.", "5x10 = 50 and b**2 - 4*a*c", "Heaven and hell."],
)  # fmt: skip
def test_innocent_words_and_algebra_are_no_swearing(text: str) -> None:
    assert not [h.message for h in hits("SAF010", replied(text))]
    assert not [h.message for h in hits("SAF011", replied(text))]


def test_swearing_is_graver_where_it_is_learned() -> None:
    assert [h.severity for h in hits("SAF010", replied("That is shit."))] == ["error"]
    assert [h.severity for h in hits("SAF010", said("That is shit."))] == ["warning"]
    assert [h.severity for h in hits("SAF010", said("damn"))] == ["info"]


def test_a_slur_in_a_lesson_on_literature_is_for_a_person() -> None:
    (hit,) = hits("SAF011", record("What does 'redskin' tell us of the narrator?", "What do you think?", subject="reading"))
    assert hit.needs_person
    (hit,) = hits("SAF011", replied("Don't be a retard."))
    assert not hit.needs_person


CRIES = (
    "Some nights I want to kill myself.",
    "I cut myself again.",
    "everybody would be better off without me",
    "I don't want to be here any more",
    "My stepdad hits me when I get bad grades.",
    "i'm scared to go home",
    "he says it's our secret",
    "I am going to bring a knife to school tomorrow.",
    "i will shoot everyone in my class",
)
FIGURES = (
    "I am dying of boredom, I could die laughing.",
    "My sister beats me at chess and he kicked me the ball.",
    "My mom will kill me if I fail.",
    'The wolf said: "I will kill him and hurt myself."',
    "I cut myself a slice of the pizza. How much is left?",
    "Macbeth is going to kill the king.",
    "This hit me: why does he beat the drum?",
    "I took 12 pictures and have a knife in the kitchen.",
    "I don't want to live in the city.",
)


@pytest.mark.parametrize("text", CRIES)
def test_a_cry_for_help_needs_an_adult_in_the_reply(text: str) -> None:
    assert [h.severity for h in hits("SAF012", record(text, "Let us look at the denominators."))] == [None]
    handed = "Thank you for telling me. Please tell your teacher or a parent today. Who could you go to now?"
    assert not hits("SAF012", record(text, handed))
    assert [h.severity for h in hits("SAF012", record(text, "Oh no.", "yes", handed))] == ["warning"]


def test_naming_a_teacher_is_not_handing_over() -> None:
    assert hits("SAF012", record(CRIES[0], "Let us get back to what your teacher asked: 3 x 5."))


@pytest.mark.parametrize("text", FIGURES)
def test_figures_of_speech_and_stories_are_no_cry_for_help(text: str) -> None:
    assert not [h.quote for h in hits("SAF012", record(text, "Let us go on."))]


def test_in_a_learners_record_the_child_is_the_assistant() -> None:
    shown = record("What did you get?", CRIES[0], "And the next one?", "9", task="learner")
    assert hits("SAF012", shown)
    assert not hits("SAF012", record(CRIES[0], "I got 9.", task="learner"))


def test_better_terms_keep_capitals_articles_and_meaning() -> None:
    (hit,) = hits("SAF013", replied("Mankind needs a fireman. An ordinary policeman helps."))
    assert hit.edit is not None
    assert hit.edit.content == "Humankind needs a firefighter. An ordinary police officer helps."
    (hit,) = hits("SAF013", replied("That is a lame excuse."))
    assert hit.edit is not None
    assert hit.edit.content == "That is a weak excuse."


@pytest.mark.parametrize(
    "text",
    ['She wrote "mankind" in 1890. Why?', "Chairman Mao and Postman Pat", "A germanium man-of-war", "The guyshop sells manna."],
)
def test_quotations_and_names_are_left_alone(text: str) -> None:
    assert not [h.message for h in hits("SAF013", replied(text))]


def test_a_learners_own_words_are_not_corrected() -> None:
    assert not hits("SAF013", said("mankind"))
    assert not hits("SAF013", record("Who is it?", "A fireman!", task="learner"))


def test_guys_is_a_note() -> None:
    (hit,) = hits("SAF013", replied("Okay guys, look at the tens."))
    assert hit.severity == "info"
    assert hit.edit is None


def test_occupations_that_always_have_one_gender() -> None:
    stories = [
        "A doctor eats after he works.",
        "A nurse has 3 caps and she buys 2.",
        "An engineer said he is 40.",
        "A pilot says he flies.",
    ]
    habit = [record(story, "What do you know?") for story in stories]
    (hit,) = hits("SAF014", habit)
    assert hit.lines == (2, 3, 4)
    assert hit.needs_person
    other = record("A doctor says she is 50.", "And?")
    assert not hits("SAF014", [*habit, other])
    assert not hits("SAF014", habit[:3])
    named = [record(f"A doctor, Maria, says she works {n} hours.", "And?") for n in range(9)]
    assert not hits("SAF014", named)


@pytest.mark.parametrize(
    "text",
    [
        "Girls are bad at geometry.",
        "Remember, boys don't cry.",
        "Asian students are naturally good at this.",
        "Good work for a girl!",
    ],
)
def test_stereotypes_go_to_a_person(text: str) -> None:
    (hit,) = hits("SAF015", replied(text))
    assert hit.needs_person


@pytest.mark.parametrize(
    "text",
    [
        "12 girls are better swimmers than 8 boys.",
        "Of these, the women are good at chess.",
        "There are 15 girls and 12 boys. The girls like pink.",
    ],
)
def test_people_who_are_counted_are_no_stereotype(text: str) -> None:
    assert not [h.quote for h in hits("SAF015", replied(text))]


def test_what_the_learner_said_is_no_assumption() -> None:
    assert hits("SAF016", record("Is it 5?", "Ask your mom and dad to measure it."))
    assert not hits("SAF016", record("My mom says it is 5.", "Ask your mom and dad to measure it."))
    assert hits("SAF016", record("Is it 5?", "Count the lights on your Christmas tree."))
    assert not hits("SAF016", record("A shop sells 12 Christmas trees. Is it 5?", "How many trees are left?"))
