"""Systems that do not teach, and the stand-ins for base and control they are compared with. None of them may be promoted."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import homeroom
from homeroom.evaluation.dialogue import key
from homeroom.evaluation.evaluate import Replies, assess
from homeroom.evaluation.protocol import protocol
from homeroom.evaluation.results import Evaluation, Role, SystemInfo
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Item

COURSE = Path(homeroom.__file__).parent / "data" / "course"
Writer = Callable[[Sequence[Item]], list[str]]

TEXTBOOK = (
    "A fraction is a part of a whole. The number on top is called the numerator and the number at the bottom is called the denominator. "
    "Fractions with the same denominator can be added by adding the numerators. Plants make their food from light, water and air. "
    "A river carries small stones and sand to the sea. In a story, the setting tells us where and when things happen. "
) * 3


def course_items(task: str, least: int = 24, salt: str = "") -> list[Item]:
    """Items of whole topics of the bundled course, chosen by hash, until there are at least ``least`` examples."""
    examples = [
        Example.from_dict(json.loads(line)) for path in sorted(COURSE.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    mine = [example for example in examples if example.task == task]
    topics = sorted(
        {example.metadata["topic"] for example in mine}, key=lambda t: hashlib.sha256(f"{salt}{t}".encode()).hexdigest()
    )
    chosen: list[Example] = []
    for topic in topics:
        if len(chosen) >= least:
            break
        chosen += [example for example in mine if example.metadata["topic"] == topic]
    return [item for example in chosen for item in example.items()]


def number(item: Item) -> str:
    return key(item).claim or "that"


def first(item: Item) -> str:
    return next(m.content for m in item.prompt if m.role == "user")


def rotate(templates: Sequence[str]) -> Writer:
    return lambda items: [
        templates[i % len(templates)].format(claim=number(item), last=item.last_user) for i, item in enumerate(items)
    ]


def shuffled(items: Sequence[Item]) -> list[str]:
    """The authored reply of another dialogue, for everybody."""
    pool = list(items)
    random.Random(7).shuffle(pool)
    replies = []
    for item in items:
        other = next(o for o in pool if o.example.id != item.example.id)
        pool.remove(other)
        pool.append(other)
        replies.append(other.gold)
    return replies


def solution(items: Sequence[Item]) -> list[str]:
    return [
        f"{item.example.reference.get('solution', '')} The answer is {key(item).answer}. Do you see how that works?"
        for item in items
    ]


def constant(text: str) -> Writer:
    return lambda items: [text] * len(items)


def half(one: Writer, other: Writer) -> Writer:
    """Good at one measure on one half and at another on the other."""
    return lambda items: [(a if i % 2 else b) for i, (a, b) in enumerate(zip(one(items), other(items), strict=True))]


TEMPLATES = (
    "You got {claim}. How did you get {claim}?",
    "I see you wrote {claim}. Which step brought you to {claim}?",
    "Tell me more about {claim}: what did you do first?",
    "Let's check {claim} together. What does the question ask for?",
    "{claim} is where you landed. Can you draw how you got there?",
)
OPENERS = (
    "You wrote {claim}",
    "I see {claim} on your page",
    "So {claim} came out",
    "{claim} is what you have",
    "Your {claim} caught my eye",
    "There it is, {claim}",
    "Thank you for {claim}",
    "Look once more at {claim}",
)
ENDINGS = (
    "which step led there?",
    "what did you do first?",
    "can you draw it for me?",
    "how could you check that?",
    "what would a friend ask you?",
    "which word in the question matters most?",
    "try it with a smaller case.",
    "what happens if you estimate?",
)
BANK = tuple(f"{opener}: {ending}" for opener in OPENERS for ending in ENDINGS)
CHILD = tuple(
    f"{a} {{claim}}{b}"
    for a in ("Um,", "Well, I got", "It's", "My paper says", "I dunno,", "Easy,", "But it's", "I counted")
    for b in (
        " cause I did it.",
        "!",
        ", see?",
        " like before.",
        ". My brother said so.",
        " and that's big.",
        ". Can I go?",
        ", I checked.",
    )
)


def nearest(items: Sequence[Item]) -> list[str]:
    """The authored reply of the most similar other dialogue: retrieval without understanding."""
    from homeroom.evaluation.text import content

    seen = [set(content(" ".join(m.content for m in item.prompt))) for item in items]
    replies = []
    for i, item in enumerate(items):
        others = [j for j, other in enumerate(items) if other.example.id != item.example.id]
        replies.append(items[max(others, key=lambda j: len(seen[i] & seen[j]) / len(seen[i] | seen[j]))].gold)
    return replies


TUTORS: dict[str, Writer] = {
    "constant question": constant("Can you walk me through your solution?"),
    "constant praise": constant("Great job! What do you think?"),
    "whole solution": solution,
    "unrelated reply of another item": shuffled,
    "empty": constant(""),
    "echo": lambda items: [item.last_user for item in items],
    "echo and a question": lambda items: [f"{item.last_user} What do you think?" for item in items],
    "echo and a real question": lambda items: [f"{item.last_user} Which step would you check first?" for item in items],
    "quoting echo": lambda items: [f'You said: "{item.last_user}" Can you show me how you know?' for item in items],
    "textbook page": constant(TEXTBOOK),
    "textbook page and a slot": lambda items: [f"{TEXTBOOK} How did you get {number(item)}?" for item in items],
    "slot template": rotate(TEMPLATES[:1]),
    "five slot templates": rotate(TEMPLATES),
    "always I don't know": constant("I don't know."),
    "half echo, half question": half(
        lambda items: [item.last_user for item in items], constant("Can you walk me through your solution?")
    ),
    "half shuffled, half slot": half(shuffled, rotate(TEMPLATES)),
    "agrees with everything": rotate(("Yes, {claim} is right! How would you explain {claim} to a friend?",)),
    "bank of slot templates": rotate(BANK),
    "reply of the nearest other dialogue": nearest,
    "looping": constant("What is the next step? " * 20),
}
LEARNERS: dict[str, Writer] = {
    "constant question": constant("Can you walk me through your solution?"),
    "constant praise": constant("Great job! What do you think?"),
    "whole solution": lambda items: [f"The answer is {key(item).answer}." for item in items],
    "unrelated reply of another item": shuffled,
    "empty": constant(""),
    "echo of the teacher": lambda items: [item.last_user for item in items],
    "echo and a question": lambda items: [f"{item.last_user} What do you think?" for item in items],
    "textbook page": constant(TEXTBOOK),
    "always I don't know": constant("I don't know."),
    "I don't know, five ways": rotate(("I don't know.", "No idea.", "Um, not sure.", "I don't get it.", "Hmm, what?")),
    "the answer every turn": lambda items: [f"I think it is {number(item)}." for item in items],
    "the mistake every turn": lambda items: [str(item.example.reference.get("misconception", "")) for item in items],
    "the persona verbatim": lambda items: [item.prompt[0].content for item in items],
    "slot templates": rotate(
        (
            "It's {claim}.",
            "I got {claim}.",
            "I still say {claim}!",
            "But it is {claim}, right?",
            "{claim}, because I did it like that.",
        )
    ),
    "half echo, half slot": half(lambda items: [item.last_user for item in items], rotate(("I got {claim}.",))),
    "bank of child phrases": rotate(CHILD),
    "reply of the nearest other dialogue": nearest,
    "teacher talk": rotate(("Let's think about {claim}. Can you explain how you got {claim}?",)),
}


def loops(items: Sequence[Item]) -> list[str]:
    """A small base model: states a wrong result and repeats it."""
    return [f"To solve this problem, we need to calculate. The answer is {97 + i}. " * 4 for i, _ in enumerate(items)]


def gives_answers(items: Sequence[Item]) -> list[str]:
    """The control with demonstrations: kinder, and it tells the answer."""
    return [f"Good try! The answer is {key(item).answer}. Keep going!" for item in items]


def judged(items: Sequence[Item], writer: Writer, *, base: Writer = loops, few_shot: Writer | None = gives_answers) -> Evaluation:
    """The verdict on one writer against weak controls: the easiest case for a cheat."""
    rows: list[tuple[str, Role, Writer]] = [("base", "base", base), ("candidate", "candidate", writer)]
    if few_shot is not None:
        rows.append(("few-shot", "few-shot", few_shot))
    replies = [
        Replies(
            SystemInfo(name, role, name, name),
            [Answer(i.id, name, t, latency_s=0.5) for i, t in zip(items, write(items), strict=True)],
        )
        for name, role, write in rows
    ]
    return assess(items, replies, dataset="course@test", plan=replace(protocol(items[0].example.task), draws=200))


def authored(items: Sequence[Item]) -> list[str]:
    return [item.gold for item in items]
