"""A study: the trials of a sweep with everything that the search goes by, in a folder that outlives jobs. Whole or as it was."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from homeroom.errors import ConflictError
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import make_private_folder, write_atomically
from homeroom.tuning.sweep.space import Point

FILE = "study.json"
FORMAT = "homeroom-study-1"
TrialState = Literal["running", "complete", "pruned", "diverged", "failed"]


@dataclass(slots=True)
class Trial:
    """One run of the recipe at one point.

    Attributes:
        number: From 0.
        origin: ``recipe``, ``range`` (the middle of one) or ``search``.
        point: What it is trained with.
        state: ``running`` until it is over; a study that was stopped goes on with it.
        checks: Validation loss by step, nats a label token, without the base's own at step 0.
        loss: The lowest validation loss of a trial that is ``complete``.
        best_step: Where it had it.
        seconds: What it took, in all attempts.
        model: The tuned model as JSON; of the best trial only, the others' weights are not kept.
        note: Why it ended as it did.
    """

    number: int
    origin: str
    point: Point
    state: TrialState = "running"
    checks: dict[int, float] = field(default_factory=dict)
    loss: float | None = None
    best_step: int = 0
    seconds: float = 0.0
    model: Mapping[str, Any] | None = None  # JSON
    note: str = ""

    @property
    def shown_loss(self) -> float | None:
        """The loss of a whole trial, or the lowest one of a trial that was stopped."""
        return self.loss if self.loss is not None else min(self.checks.values(), default=None)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Trial:
        """The inverse of `dataclasses.asdict`, through JSON."""
        point = Point(**record["point"])
        return cls(**{**record, "point": point, "checks": {int(step): loss for step, loss in record["checks"].items()}})


@dataclass(slots=True)
class Study:
    """All trials of a sweep. `save` after each change that must survive.

    Attributes:
        folder: Where it lies; each trial has a folder in it while it runs.
        identity: What its trials share, as JSON: a study takes no others.
        base_loss: Validation loss of the base model; None before it was measured.
        batch_tokens: What every trial takes for ``batch_tokens: auto``, so that they are alike; 0 before it is known.
    """

    folder: Path
    identity: Mapping[str, Any]  # JSON
    trials: list[Trial] = field(default_factory=list)
    base_loss: float | None = None
    batch_tokens: int = 0

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, Any]) -> Study:
        """The study in ``folder``, or a new one.

        Raises:
            ConflictError: ``study-mismatch``: the folder holds a study of something else.
        """
        known = cls.read(folder)
        if known is None:
            return cls(folder, dict(identity))
        now = json.loads(json.dumps(identity))
        changed = sorted(key for key in known.identity.keys() | now.keys() if known.identity.get(key) != now.get(key))
        if changed:
            lines = "\n".join(f"  {key}: {_short(known.identity.get(key))} then, {_short(now.get(key))} now" for key in changed)
            raise ConflictError(
                f"The study {folder.name!r} was made of something else:\n{lines}\nUndo the change to go on with it, or begin "
                "another: homeroom tune sweep --study ANOTHER-NAME",
                code="study-mismatch",
            )
        return known

    @classmethod
    def read(cls, folder: Path) -> Study | None:
        """The study in ``folder`` as it was saved last; None when there is none."""
        try:
            record = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        trials = [Trial.from_dict(trial) for trial in record["trials"]]
        return cls(folder, record["identity"], trials, record["base_loss"], record["batch_tokens"])

    def save(self) -> None:
        """Have it on the disk before this returns.

        Raises:
            StorageError: ``no-space``; what was saved before is still there.
        """
        with disk_errors(self.folder):
            make_private_folder(self.folder)
            write_atomically(self.folder / FILE, json.dumps(self.to_dict(), indent=1).encode())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        trials = [asdict(trial) for trial in self.trials]
        known = {"identity": self.identity, "base_loss": self.base_loss, "batch_tokens": self.batch_tokens}
        return {"format": FORMAT, **known, "trials": trials}

    @property
    def seconds(self) -> float:
        """What all trials took."""
        return math.fsum(trial.seconds for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The whole trial with the lowest loss, the earliest of equals."""
        whole = [trial for trial in self.trials if trial.state == "complete" and trial.loss is not None]
        return min(whole, key=lambda trial: (trial.loss, trial.number), default=None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
