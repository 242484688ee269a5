"""Practice scenarios: a simulated learner with a problem, a wrong answer and a reason for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from homeroom.schema.examples import Example

# One sentence pattern for training, evaluation and the chat: a learner tuned on the course knows it.
SYSTEM_PATTERN = (
    "You are {name}, a student in grade {grade}, talking with your teacher. The task: {problem} Your mistake: {misconception}. "
    "Your answer: {claim}. You are {temperament}. Speak only as {name}, in one or two short sentences. "
    "Change your mind only when the teacher's question makes you see the problem."
)
_SYSTEM = re.compile(
    r"^You are (?P<name>[^,]+), a student in grade (?P<grade>\d+), talking with your teacher\. "
    r"The task: (?P<problem>.+?) Your mistake: (?P<misconception>.+?)\. "
    r"Your answer: (?P<claim>.+?)\. You are (?P<temperament>[\w-]+)\. Speak only as",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PracticeScenario:
    """One learner to practise on.

    Attributes:
        id: Stable and unique among the scenarios: part of an address.
        grade: 0 (kindergarten) to 12.
        misconception: One clause in the second person, as the learner is told it: ``you add the tops and the bottoms``.
        claim: The learner's wrong answer.
        answer: The right answer; ``accepted`` holds other forms of it. Used only for the notes at the end.
        explanation: What is behind the mistake, shown after the session.
    """

    id: str
    name: str
    grade: int
    subject: str
    topic: str
    problem: str
    misconception: str
    claim: str
    temperament: str
    answer: str = ""
    accepted: tuple[str, ...] = ()
    explanation: str = ""

    @property
    def system_message(self) -> str:
        """What the model is told, in the words that learners were tuned on."""
        return SYSTEM_PATTERN.format(
            name=self.name,
            grade=self.grade,
            problem=self.problem.strip(),
            misconception=self.misconception.strip().rstrip("."),
            claim=self.claim.strip().rstrip("."),
            temperament=self.temperament,
        )

    @property
    def topic_title(self) -> str:
        """The topic as a person reads it: ``Comparing fractions``."""
        return self.topic.replace("-", " ").strip().capitalize()

    @property
    def grade_title(self) -> str:
        """``Kindergarten`` or ``Grade 4``."""
        return "Kindergarten" if self.grade == 0 else f"Grade {self.grade}"


def scenario_from_example(example: Example) -> PracticeScenario | None:
    """The scenario behind a learner dialogue, or None when its system message follows another pattern."""
    first = example.messages[0] if example.messages else None
    if first is None or first.role != "system":
        return None
    found = _SYSTEM.match(first.content)
    if found is None:
        return None
    metadata, reference = example.metadata, example.reference
    return PracticeScenario(
        id=str(metadata.get("id") or example.id),
        name=found["name"],
        grade=int(found["grade"]),
        subject=str(metadata.get("subject") or ""),
        topic=str(metadata.get("topic") or ""),
        problem=found["problem"],
        misconception=found["misconception"],
        claim=found["claim"],
        temperament=found["temperament"],
        answer=str(reference.get("answer") or ""),
        accepted=tuple(str(form) for form in reference.get("accepted") or ()),
        explanation=str(reference.get("misconception") or ""),
    )


def scenarios_from_examples(examples: Iterable[Example]) -> tuple[PracticeScenario, ...]:
    """Every scenario that the learner dialogues among ``examples`` hold, in order, each id once."""
    found: dict[str, PracticeScenario] = {}
    for example in examples:
        scenario = scenario_from_example(example)
        if scenario is not None:
            found.setdefault(scenario.id, scenario)
    return tuple(found.values())
