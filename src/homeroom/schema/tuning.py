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
    """What a run will need before it starts. Times in seconds, sizes in bytes, money in US dollars.

    Attributes:
        time_s: Expected; four of five runs should take between ``time_low_s`` and ``time_high_s``. 0 where no interval is known.
        memory_bytes: Peak of the host's memory; ``memory_high_bytes`` is what it should stay below.
        gpu_memory_bytes: Peak of the GPU's memory; 0 where none is used.
        cost_usd: Expected; ``cost_high_usd`` is the most that it can be.
        fits: Whether memory and disk suffice, as far as they are known.
        advice: What to change when it does not fit, each with what it would then need.
    """

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
    time_low_s: float = 0.0
    time_high_s: float = 0.0
    memory_high_bytes: int = 0
    gpu_memory_bytes: int = 0
    cost_high_usd: float = 0.0
    fits: bool = True
    advice: tuple[str, ...] = ()


class Tuner(Protocol):
    """One method. ``recipe`` is the method's own validated recipe type, so it is `Any` here."""

    method: str

    def plan(self, data: TrainingData, recipe: Any) -> Plan:
        """What the run will need; touches nothing."""
        ...

    def run(self, data: TrainingData, recipe: Any, reporter: Reporter) -> TunedModel:
        """Tune, resuming from the run's own folder if there is something whole in it. Not yet registered."""
        ...
