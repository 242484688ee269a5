"""Evaluation: answers, metrics, and the scorecard of one model on one dataset version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from homeroom.schema.examples import Item

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated reply to one item, by one system (a model with its prompt)."""

    item_id: str
    system: str
    text: str
    finish_reason: str = "stop"
    latency_s: float = 0.0
    completion_tokens: int = 0


class Metric(Protocol):
    """Scores one reply, or one reply among all replies of its system.

    Attributes:
        name: Snake case, stable: it is a key in every report.
        title: What a person reads.
        range: Lowest and highest value.
        direction: Whether more is better; ``"neither"`` for facts such as length.
        tasks: Which tasks it judges: ``("tutor",)``, ``("learner",)`` or both.
        source: Where the definition and its validity come from: ``validated``, ``proxy`` or ``judge-only``, and the reference.
    """

    name: str
    title: str
    range: tuple[float, float]
    direction: Direction
    tasks: tuple[str, ...]
    source: str

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """One value for each item, in order; None where the metric does not apply (no key, too short)."""
        ...


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric over all items of one system: mean with a percentile bootstrap interval."""

    name: str
    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired comparison on one metric: candidate minus control on the same items.

    ``p_better`` is the share of bootstrap resamples in which the candidate is better in the metric's direction.
    """

    name: str
    candidate: str
    control: str
    mean: float | None
    low: float | None
    high: float | None
    n: int
    wins: int
    ties: int
    losses: int
    p_better: float | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The evaluation of one system on one dataset version. ``values`` maps a metric to one value per item."""

    system: str
    model: str
    dataset: str
    task: str
    item_ids: tuple[str, ...]
    summaries: Mapping[str, MetricSummary]
    values: Mapping[str, Sequence[float | None]]
    extra: Mapping[str, Any] = field(default_factory=dict)
