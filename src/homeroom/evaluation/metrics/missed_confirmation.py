"""Missed confirmation: leaves a learner whose work is right without hearing it."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.evaluation.confirmation import recognises
from homeroom.evaluation.dialogue import claim_is_live, key
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item


class MissedConfirmation:
    """1 when a right claim is denied or passed over, 0 when the reply says that it is right; None where there is no right claim.

    It is the other side of `FalseConfirmation`: a tutor that never agrees with anything cannot be good at both.
    """

    name = "missed_confirmation"
    title = "Does not confirm right work"
    range = (0.0, 1.0)
    direction: Direction = "lower"
    tasks: tuple[str, ...] = ("tutor",)
    source = "proxy: phrases of agreement; not tested against people"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1, 0 or None for each reply."""
        return [
            float(not recognises(answer.text, key(item).claim)) if key(item).claim_is_correct and claim_is_live(item) else None
            for item, answer in zip(items, answers, strict=True)
        ]
