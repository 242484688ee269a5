"""The result of an evaluation as values, to and from plain data: what the JSON report holds and the HTML report shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from homeroom.evaluation.protocol import Protocol
from homeroom.evaluation.transcripts import Transcript
from homeroom.evaluation.verdict import Verdict
from homeroom.schema.evaluation import Difference, Direction, Metric, MetricSummary, Scorecard
from homeroom.schema.examples import Json

FORMAT = "homeroom-evaluation/1"
Role = Literal["candidate", "base", "few-shot", "other", "authored"]


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """A model with its prompt, without the objects: what a report needs to name it."""

    name: str
    role: Role
    title: str
    model: str
    identity: str = ""
    system_text: str = ""
    demonstrations: int = 0
    held_out_loss: float | None = None


@dataclass(frozen=True, slots=True)
class MeasureInfo:
    """A measure as it was when the evaluation ran. ``top`` is None where the range is open."""

    name: str
    title: str
    bottom: float
    top: float | None
    direction: Direction
    source: str

    @classmethod
    def of(cls, metric: Metric) -> MeasureInfo:
        """The description of a registered measure."""
        low, high = metric.range
        return cls(metric.name, metric.title, low, high if math.isfinite(high) else None, metric.direction, metric.source)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything one evaluation found.

    Attributes:
        p_holm: Adjusted p of every gain, by ``metric|role``.
        verdict: None when there was no single candidate to judge.
        replies: One record for each item: prompt, key, authored reply, and every system's answer.
        lineage: Dataset version, base identity, recipe, code version: whatever the caller named.
    """

    task: str
    dataset: str
    protocol: Protocol
    measures: tuple[MeasureInfo, ...]
    systems: tuple[SystemInfo, ...]
    scorecards: tuple[Scorecard, ...]
    differences: tuple[Difference, ...]
    p_holm: Mapping[str, float]
    verdict: Verdict | None
    transcripts: tuple[Transcript, ...]
    replies: tuple[Json, ...] = ()
    settings: Json = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0

    def scorecard(self, role: Role) -> Scorecard | None:
        """The scorecard of the first system that plays ``role``."""
        names = [system.name for system in self.systems if system.role == role]
        return next((card for card in self.scorecards if names and card.system == names[0]), None)

    def summary(self) -> Json:
        """The few figures that the registry keeps with a model: outcome, means, protocol."""
        card = self.scorecard("candidate")
        means = {name: s.mean for name, s in card.summaries.items()} if card else {}
        return {
            "task": self.task,
            "outcome": self.verdict.outcome if self.verdict else "unjudged",
            "headline": self.verdict.headline if self.verdict else "",
            "protocol": self.protocol.hash,
            "items": len(self.replies),
            "means": means,
        }

    def to_dict(self) -> Json:
        """Plain data that `json.dumps` takes; complete."""
        return {
            "format": FORMAT,
            "task": self.task,
            "dataset": self.dataset,
            "created_at": self.created_at,
            "lineage": dict(self.lineage),
            "settings": self.settings,
            "protocol": self.protocol.to_dict(),
            "protocol_hash": self.protocol.hash,
            "measures": [asdict(measure) for measure in self.measures],
            "systems": [asdict(system) for system in self.systems],
            "verdict": self.verdict.to_dict() if self.verdict else None,
            "scorecards": [_card_to_dict(card) for card in self.scorecards],
            "differences": [asdict(difference) for difference in self.differences],
            "p_holm": dict(self.p_holm),
            "transcripts": [transcript.to_dict() for transcript in self.transcripts],
            "replies": list(self.replies),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_dict`."""
        return cls(
            task=record["task"],
            dataset=record["dataset"],
            protocol=Protocol.from_dict(record["protocol"]),
            measures=tuple(MeasureInfo(**measure) for measure in record["measures"]),
            systems=tuple(SystemInfo(**system) for system in record["systems"]),
            scorecards=tuple(_card_from_dict(card) for card in record["scorecards"]),
            differences=tuple(Difference(**difference) for difference in record["differences"]),
            p_holm=dict(record["p_holm"]),
            verdict=Verdict.from_dict(record["verdict"]) if record["verdict"] else None,
            transcripts=tuple(Transcript.from_dict(transcript) for transcript in record["transcripts"]),
            replies=tuple(record["replies"]),
            settings=dict(record["settings"]),
            lineage=dict(record["lineage"]),
            created_at=record["created_at"],
        )


def _card_to_dict(card: Scorecard) -> Json:
    return {
        "system": card.system,
        "model": card.model,
        "dataset": card.dataset,
        "task": card.task,
        "item_ids": list(card.item_ids),
        "summaries": {name: asdict(summary) for name, summary in card.summaries.items()},
        "values": {name: list(row) for name, row in card.values.items()},
        "extra": dict(card.extra),
    }


def _card_from_dict(record: Mapping[str, Any]) -> Scorecard:
    return Scorecard(
        system=record["system"],
        model=record["model"],
        dataset=record["dataset"],
        task=record["task"],
        item_ids=tuple(record["item_ids"]),
        summaries={name: MetricSummary(**summary) for name, summary in record["summaries"].items()},
        values={name: list(row) for name, row in record["values"].items()},
        extra=dict(record["extra"]),
    )
