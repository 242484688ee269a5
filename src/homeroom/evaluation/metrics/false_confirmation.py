"""False confirmation: tells a learner with wrong work that it is right. The harm a tutor must not do."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.evaluation.confirmation import stance
from homeroom.evaluation.dialogue import claim_is_live, key
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item


class FalseConfirmation:
    """1 when the reply agrees with a claim that the key contradicts, 0 when it does not.

    Applies where ``claim_is_correct`` is false and the learner's last turn still holds the claim; None elsewhere.
    """

    name = "false_confirmation"
    title = "Confirms wrong work"
    range = (0.0, 1.0)
    direction: Direction = "lower"
    tasks: tuple[str, ...] = ("tutor",)
    source = (
        "proxy: kappa 0.69 (0.51 to 0.84) with people's label 'does not see the mistake', the nearest there is, on 216 "
        "replies of which 25 "
        "carry it; too few to rank tutors (rho 0.30); the phrases were read against these replies "
        "(benchmarks/validate_metrics.py)"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1, 0 or None for each reply."""
        return [
            float(stance(answer.text, key(item).claim) == "confirms")
            if key(item).claim_is_correct is False and claim_is_live(item)
            else None
            for item, answer in zip(items, answers, strict=True)
        ]
