"""What a job left at its endpoint: the losses of its steps, its checkpoints, and whether it went on for too long."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]  # of the provider's making
DEPLOYED = "deployed_from"
"""Among a model's metrics: the checkpoint there that was made to answer."""

RISE = 0.02
"""Share by which the validation loss must have risen over its lowest before it is called overfitting."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. A loss that was not measured is None."""

    step: int
    train_loss: float | None
    valid_loss: float | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model of a step that the endpoint kept. ``loss`` is its validation loss, over all examples where that is told.

    ``source`` is what it was deployed from; empty where a checkpoint answers as it is.
    """

    step: int
    model: str
    loss: float | None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Overfit:
    """The validation loss was lowest at a step and rose until the end."""

    step: int
    best: float
    last: float

    def told(self, epochs: int, better: Sequence[Checkpoint]) -> str:
        """In words, with what to do."""
        use = f"Its checkpoint is registered beside it ({better[0].model}); or tune again" if better else "Tune again"
        return (
            f"It learned the examples by heart: the validation loss was lowest at step {self.step} ({self.best:.3f}) and rose to "
            f"{self.last:.3f} by the end. {use} with fewer epochs than {epochs}, or with more examples."
        )


def steps_of(text: str) -> list[Step]:
    """The steps of a result file; lines that cannot be read are left out. Columns as OpenAI names them."""
    found = []
    for row in csv.DictReader(io.StringIO(text)):
        step = _number(row.get("step"))
        if step is not None:
            valid = _number(row.get("full_valid_loss")) or _number(row.get("valid_loss"))
            found.append(Step(int(step), _number(row.get("train_loss")), valid))
    return sorted(found, key=lambda one: one.step)


def checkpoints_of(rows: Sequence[Json]) -> list[Checkpoint]:
    """The checkpoints that an endpoint lists, the earliest first."""
    found = []
    for row in rows:
        step, model = row.get("step_number"), row.get("fine_tuned_model_checkpoint")
        numbers = row.get("metrics") or {}
        if isinstance(step, int) and isinstance(model, str) and isinstance(numbers, dict):
            loss = _number(numbers.get("full_valid_loss"))
            found.append(Checkpoint(step, model, loss if loss is not None else _number(numbers.get("valid_loss"))))
    return sorted(found, key=lambda one: one.step)


def curve_of(steps: Sequence[Step], checkpoints: Sequence[Checkpoint]) -> list[tuple[int, float]]:
    """Validation loss by step: of the checkpoints where they tell it, which were measured on all examples, else of the steps.

    A step's own loss is of a few examples only, so steps are averaged over a tenth of the run.
    """
    kept = [(one.step, one.loss) for one in checkpoints if one.loss is not None]
    own = [(one.step, one.valid_loss) for one in steps if one.valid_loss is not None]
    if len(kept) >= 2 or not own:
        return kept
    width = max(1, len(own) // 10)
    found = []
    for end in range(width, len(own) + 1):
        window = own[end - width : end]
        found.append((window[-1][0], sum(loss for _, loss in window) / width))
    return found


def final_loss(curve: Sequence[tuple[int, float]]) -> float | None:
    """The validation loss at the end; None where it was not measured."""
    return curve[-1][1] if curve else None


def overfit(curve: Sequence[tuple[int, float]]) -> Overfit | None:
    """Whether the validation loss had been lower before the end, by more than a little."""
    if len(curve) < 2:
        return None
    step, best = min(curve, key=lambda point: point[1])
    last = curve[-1][1]
    return Overfit(step, best, last) if last > best * (1 + RISE) else None


def wanted(
    checkpoints: Sequence[Checkpoint], which: Literal["better", "all", "none"], final: float | None, model: str
) -> list[Checkpoint]:
    """The checkpoints that become models here, the best first. The last one is the model itself."""
    earlier = [one for one in checkpoints[:-1] if one.model != model]
    if which == "better":
        earlier = [one for one in earlier if one.loss is not None and final is not None and final > one.loss * (1 + RISE)]
    if which == "none":
        return []
    return sorted(earlier, key=lambda one: (one.loss is None, one.loss or 0.0, one.step))


def _number(value: object) -> float | None:
    """A number as a provider writes it; None for what is none, for what is not finite, and for OpenAI's -1: not measured."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
