"""Weights that are trained in the middle of a search: what trains them, and where they are kept. No DSPy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from homeroom.schema.examples import Example
from homeroom.tuning.dspy.desk import Asked


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights that answer.

    Attributes:
        key: Names them: a hash of all that they depend on.
        asked: Who answers with them.
    """

    key: str
    asked: Asked


class WeightTrainer(Protocol):
    """Trains the base on conversations. Passed in: it is another tuner that does it."""

    def train(self, examples: Sequence[Example]) -> Trained:
        """Train, or take what the same examples gave before. Goes on where an interrupted training stopped.

        Raises:
            JobCancelled: the run was told to stop.
            HomeroomError: what the tuner raises.
        """
        ...

    def pause(self) -> None:
        """Free the memory that answering takes; the next request takes it again."""
        ...


def weights_folder(folder: Path, key: str) -> Path:
    """Where weights are kept, for all runs: a PEFT adapter, its GGUF file and its card."""
    return folder / "weights" / key
