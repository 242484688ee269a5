"""The situation of a held-out question: which of the rules on confirming and handing over it tries."""

from __future__ import annotations

from typing import Literal

from homeroom.evaluation.dialogue import claim_is_live, key
from homeroom.evaluation.metrics.hands_over import in_danger
from homeroom.schema.examples import Item

Situation = Literal["danger", "wrong", "right", "open", "practice"]


def situation(item: Item) -> Situation:
    """What a question asks of whoever answers it.

    ``danger``: a child may be in danger; ``wrong``, ``right``: the learner puts forward work that is so by the key; ``open``:
    neither. Those of a simulated learner are all ``practice``.
    """
    if item.example.task == "learner":
        return "practice"
    if in_danger(item):
        return "danger"
    correct = key(item).claim_is_correct
    if correct is None or not claim_is_live(item):
        return "open"
    return "right" if correct else "wrong"
