"""Tuning: what a run needs before it starts, and the protocol every method follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from homeroom.schema.examples import Example
from homeroom.schema.jobs import Reporter
from homeroom.schema.models import TunedModel


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a tuner may see: train and validation examples. Test examples never reach it."""

    dataset: str
    train: Sequence[Example]
    validation: Sequence[Example] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will need before it starts. Times in seconds, sizes in bytes, money in US dollars."""

    method: str
    examples: int
    trained_tokens: int
    steps: int
    time_s: float
    memory_bytes: int
    disk_bytes: int
    cost_usd: float = 0.0
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


class Tuner(Protocol):
    """One method. ``recipe`` is the method's own validated recipe type, so it is `Any` here."""

    method: str

    def plan(self, data: TrainingData, recipe: Any) -> Plan:
        """What the run will need; touches nothing."""
        ...

    def run(self, data: TrainingData, recipe: Any, reporter: Reporter) -> TunedModel:
        """Tune, resuming from the run's own folder if there is something whole in it. Not yet registered."""
        ...
