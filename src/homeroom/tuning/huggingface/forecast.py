"""How long a run takes, from what a few layers were measured to take on this machine. No PyTorch here: arithmetic only.

A micro-batch of N positions in rows of T, with n labels, through k layers with LoRA and f without, is taken to cost

    k (a N + q Σ T² + c)  +  f (the same, forward only)  +  h n + b

and each step an update for each LoRA weight. `calibrate.py` measures the coefficients with one and three layers of the base's
shape; everything else (rank, modules, layers, lengths, batches, epochs) follows from the recipe and the order of its steps.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 3
"""Raised when the coefficients mean something else: kept calibrations are then measured anew."""
START_S = 4.0
"""Loading the base, comparing tokens with the engine, writing the result: until runs here have shown what it takes."""
FACTORS = (0.7, 1.6)
"""Of the expected time: the interval for four of five runs, until runs here have shown how wide it is."""
ENOUGH_RUNS = 9
"""Runs after which this machine's own record decides about the interval: a tenth run lies between the lowest and the highest of
nine in four of five cases, whatever their distribution."""
RECORD = 20
"""Newest runs that are looked at."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds of one layer for a micro-batch: ``token`` each position, ``square`` each T² of a row, ``fixed`` once."""

    token: float
    square: float
    fixed: float

    def seconds(self, batch: BatchShape) -> float:
        """Of one layer for one micro-batch."""
        return self.token * batch.positions + self.square * batch.squares + self.fixed


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What a micro-batch's time depends on: positions with padding, the sum of T² over its rows, tokens with loss."""

    positions: int
    squares: int
    labels: int

    @classmethod
    def of(cls, lengths: Sequence[int], labels: int, *, packed: bool) -> BatchShape:
        """Of sequences of these lengths, one after the other or padded to the longest."""
        if packed:
            return cls(sum(lengths), sum(n * n for n in lengths), labels)
        width = max(lengths, default=0)
        return cls(width * len(lengths), width * width * len(lengths), labels)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What this machine was measured to take for a base's shape. Seconds.

    Attributes:
        train: A layer with LoRA of rank ``rank`` on every linear layer, forward and back.
        forward: A layer forward only.
        label: The head, for each token with loss, when training; ``label_forward`` when only measuring.
        batch: Once for each micro-batch.
        update: One optimiser step, for each LoRA weight.
        rank: That it was measured with.
        probe_flops: Speed of a plain matrix product at which the seconds hold. What speed there is now, another one tells at each
            plan.
        error: Median relative error of the fit to its own measurements.
        facts: Of machine, code and shape: what it holds for.
    """

    train: Pass
    forward: Pass
    label: float
    label_forward: float
    batch: float
    update: float
    rank: int
    probe_flops: float
    error: float
    facts: Mapping[str, Any]  # JSON

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Calibration | None:
        """The inverse of `to_dict`; None for anything else."""
        try:
            if record["format"] != FORMAT:
                return None
            values = {k: float(record[k]) for k in ("label", "label_forward", "batch", "update", "probe_flops", "error")}
            train, forward = (Pass(**{k: float(v) for k, v in record[name].items()}) for name in ("train", "forward"))
            return cls(train=train, forward=forward, rank=int(record["rank"]), facts=dict(record["facts"]), **values)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Work:
    """What a run computes.

    Attributes:
        batches: Training micro-batches, in all epochs.
        frozen_batches: Those that also go through the layers without LoRA; fewer where these are kept.
        validation: Micro-batches of one validation.
        checks: How often it is validated.
        steps: Of the optimiser.
        adapted, frozen: Layers with LoRA and without.
        lora_parameters: Weights that are trained.
        layer_share: Operations of a layer with the recipe's LoRA, to one with the calibration's.
    """

    batches: Sequence[BatchShape]
    frozen_batches: Sequence[BatchShape]
    validation: Sequence[BatchShape]
    checks: int
    steps: int
    adapted: int
    frozen: int
    lora_parameters: int
    layer_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Past:
    """A run that was made here: what was forecast and what it took.

    Attributes:
        machine: The key of machine, number type and threads that it ran with; empty where that is not known.
    """

    forecast_s: float
    actual_s: float
    forecast_bytes: int = 0
    actual_bytes: int = 0
    low_s: float = 0.0
    high_s: float = 0.0
    overhead_s: float | None = None
    machine: str = ""

    @property
    def ratio(self) -> float:
        """Actual to forecast."""
        return self.actual_s / self.forecast_s


def train_seconds(found: Calibration, work: Work, probe_flops: float) -> float:
    """Seconds of training and validating, at the speed that the machine has now."""
    layers = sum(found.train.seconds(b) for b in work.batches) * work.adapted * work.layer_share
    layers += sum(found.forward.seconds(b) for b in work.frozen_batches) * work.frozen
    head = sum(found.label * b.labels + found.batch for b in work.batches)
    checked = sum(
        found.forward.seconds(b) * (work.adapted + work.frozen) + found.label_forward * b.labels + found.batch
        for b in work.validation
    )
    updates = work.steps * work.lora_parameters * found.update
    slower = min(8.0, max(1 / 8, found.probe_flops / probe_flops)) if probe_flops > 0 and found.probe_flops > 0 else 1.0
    return (layers + head + checked * work.checks + updates) * slower


def corrected(train_s: float, record: Sequence[Past], start_s: float = START_S) -> tuple[float, float, float]:
    """Expected, low and high seconds of the whole run, from the record of runs that this machine made (the newest last).

    The record moves the forecast by its median ratio once there are three runs, and widens or narrows the interval to what held
    four of five of them once there are `ENOUGH_RUNS`.
    """
    past = [one for one in record if one.forecast_s > 0 and one.actual_s > 0][-RECORD:]
    shift = statistics.median(one.ratio for one in past) if len(past) >= 3 else 1.0
    starts = [one.overhead_s for one in past if one.overhead_s is not None]
    start = statistics.median(starts) if starts else start_s
    low, high = FACTORS
    if len(past) >= ENOUGH_RUNS:
        ratios = sorted(one.ratio / shift for one in past)
        low, high = min(0.95, next_quantile(ratios, 0.1)), max(1.05, next_quantile(ratios, 0.9))
    whole = start + train_s * shift
    return whole, whole * low, whole * high


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` (sorted) lie; between two of them by distance."""
    place = share * (len(values) - 1)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def next_quantile(values: Sequence[float], share: float) -> float:
    """The value that one more, of the same kind as ``values`` (sorted), is below with the chance ``share``; never beyond them.

    The k-th of n values has k / (n + 1) of what comes next below it, so the ends of a `quantile` of few values lie too far in
    (David and Nagaraja 2003, Order Statistics, chapter 7).
    """
    place = min(len(values) - 1.0, max(0.0, share * (len(values) + 1) - 1))
    return quantile(values, place / max(1, len(values) - 1))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well forecasts held: relative errors of the time, and the share of runs inside their interval."""

    runs: int
    median_error: float
    p90_error: float
    inside: float | None
    memory_median_error: float | None


def accuracy(record: Iterable[Past]) -> Accuracy | None:
    """Of runs that were made; None without any."""
    past = [one for one in record if one.forecast_s > 0 and one.actual_s > 0]
    if not past:
        return None
    errors = sorted(abs(one.forecast_s - one.actual_s) / one.actual_s for one in past)
    told = [one for one in past if one.high_s]
    memory = sorted(abs(p.forecast_bytes - p.actual_bytes) / p.actual_bytes for p in past if p.actual_bytes and p.forecast_bytes)
    inside = sum(one.low_s <= one.actual_s <= one.high_s for one in told) / len(told) if told else None
    return Accuracy(len(past), quantile(errors, 0.5), quantile(errors, 0.9), inside, quantile(memory, 0.5) if memory else None)
