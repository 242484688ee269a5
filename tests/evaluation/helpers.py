"""Small builders of items and answers."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.evaluation.metrics import metric
from homeroom.schema.evaluation import Answer
from homeroom.schema.examples import Example, Item, Message

PERSONA = (
    "You are Ana, a student in grade 3, talking with your teacher. The task: What is 3 + 4 × 2? Your mistake: you go from left to right. "
    "Your answer: 14. You are stubborn. Speak only as Ana, in one or two short sentences. Change your mind only when the teacher's question makes you see the problem."
)


def tutor(
    *turns: str,
    answer: str = "",
    claim: str = "",
    right: bool | None = None,
    accepted: Sequence[str] = (),
    topic: str = "t",
    **metadata: str,
) -> Item:
    """The last item of a tutor dialogue: user and assistant turns alternate, the reply to judge is to come."""
    messages = [Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(turns)]
    reference = {"answer": answer or None, "accepted": list(accepted), "claim": claim or None, "claim_is_correct": right}
    example = Example(
        (*messages, Message("assistant", "Gold: which part would you check?")),
        {"task": "tutor", "topic": topic, **metadata},
        (),
        reference,
    )
    return list(example.items())[-1]


def learner(*turns: str, gold: str = "But four is more.", answer: str = "11", claim: str = "14", system: str = PERSONA) -> Item:
    """The last item of a dialogue with a simulated learner."""
    messages = [Message("system", system), *(Message("user" if i % 2 == 0 else "assistant", t) for i, t in enumerate(turns))]
    reference = {"answer": answer, "claim": claim, "claim_is_correct": False, "misconception": "goes from left to right"}
    example = Example((*messages, Message("assistant", gold)), {"task": "learner", "topic": "t"}, (), reference)
    return list(example.items())[-1]


def value(name: str, item: Item, reply: str) -> float | None:
    """One measure of one reply."""
    return metric(name).score([item], [Answer(item.id, "s", reply)])[0]


def values(name: str, items: Sequence[Item], replies: Sequence[str]) -> list[float | None]:
    """One measure of a set of replies."""
    return metric(name).score(items, [Answer(item.id, "s", reply) for item, reply in zip(items, replies, strict=True)])
