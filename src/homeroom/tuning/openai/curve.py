"""The learning curve: validation loss over the number of examples, and whether more of them will help.

Losses of models that learn from examples fall as a power of their number (Hestness et al. 2017, https://arxiv.org/abs/1712.00409),
so that each doubling takes the same share of the loss away. Of the points of a run that share is the slope on logarithmic axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

HELPS = 0.02
"""Share of the loss that another doubling must take away before it is worth writing so many examples."""


@dataclass(frozen=True, slots=True)
class Point:
    """Validation loss after tuning on so many examples."""

    examples: int
    loss: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What the points say.

    Attributes:
        per_doubling: Share of the loss that a doubling of the examples took away, over all points; negative: it rose.
        newest: The same between the last two points.
        predicted: The loss at twice as many examples, if it goes on so.
    """

    points: tuple[Point, ...]
    per_doubling: float
    newest: float
    predicted: float

    @property
    def more_helps(self) -> bool:
        """Whether more examples will probably help: the curve falls, and still did at its end."""
        return min(self.per_doubling, self.newest) >= HELPS

    def told(self) -> str:
        """In words."""
        points = ", ".join(f"{p.examples} examples {p.loss:.3f}" for p in self.points)
        last = self.points[-1]
        if self.more_helps:
            so = (
                f"Each doubling took {self.per_doubling:.0%} off the loss, the last one {self.newest:.0%}: more examples will "
                f"probably help. With {2 * last.examples} expect about {self.predicted:.3f}."
            )
        elif self.per_doubling >= HELPS:
            so = (
                f"Each doubling took {self.per_doubling:.0%} off the loss, but at the end only {self.newest:.0%}: more examples "
                "of this kind will help little. Look for kinds that are missing."
            )
        elif self.per_doubling <= -HELPS:
            so = (
                f"The loss rose with the number of examples ({-self.per_doubling:.0%} a doubling): more of the same will not "
                "help. Look for examples that contradict one another, or that differ from those it is validated on."
            )
        else:
            so = (
                f"The loss hardly changes with the number of examples ({self.per_doubling:.0%} a doubling): more of the same "
                "will not help. Better examples, or another base, may."
            )
        return f"Validation loss: {points}. {so}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "more_helps": self.more_helps, "told": self.told()}


def learning_curve(points: Sequence[Point]) -> LearningCurve | None:
    """The curve through at least two points; None with fewer, or where a loss is not above 0."""
    found = sorted(points, key=lambda point: point.examples)
    if len({point.examples for point in found}) < 2 or min(point.loss for point in found) <= 0:
        return None
    x = [math.log2(point.examples) for point in found]
    y = [math.log2(point.loss) for point in found]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return LearningCurve(tuple(found), 1 - 2**slope, 1 - 2**last, found[-1].loss * 2 ** min(slope, 0.0))
