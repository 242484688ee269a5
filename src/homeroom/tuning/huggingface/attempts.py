"""Deaths that kept nothing new: where the machine has no memory left, the kernel ends the process and nothing can catch it.

In the run's folder a note says how far an attempt is. An attempt that finds the note of one that did not end by itself knows that
it died. When two in a row died without getting further, the next one computes micro-batches in twice as many parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from homeroom.schema.jobs import Reporter
from homeroom.tuning.huggingface.batches import Step

FILE = "attempts.json"
DEATHS = 2
"""In a row, at the same step: one may be anything, such as a machine that was switched off."""


class Attempts:
    """What the attempts at a run came to. Notes are not flushed to the disk: a kill of the process does not lose them.

    Args:
        folder: The run's own.
        steps: All of them: their largest micro-batch bounds ``split``.
        reporter: Told when ``split`` is doubled.

    Attributes:
        split: In how many parts micro-batches are computed at least, by what earlier attempts came to.
    """

    def __init__(self, folder: Path, steps: Sequence[Step], reporter: Reporter) -> None:
        self._path = folder / FILE
        known: dict[str, int] = {}
        with suppress(OSError, ValueError):  # not there, or torn
            known = json.loads(self._path.read_text(encoding="utf-8"))
        self.split = known.get("split", 1)
        self._furthest, self._deaths = known.get("furthest", -1), known.get("deaths", 0) + known.get("running", 0)
        most = max(len(batch) for step in steps for batch in step.micro_batches)
        if self._deaths >= DEATHS and self.split < most:
            self.split *= 2
            reporter.event(
                f"{self._deaths} attempts in a row were killed and got no further than step {max(1, self._furthest)}, as happens "
                f"when the machine has no memory left. Micro-batches are computed in {self.split} parts from here on; the steps "
                "stay the same. To save more: a smaller data.max_sequence_tokens in the recipe, or close other programs",
                level="warning",
            )
            self._deaths = DEATHS - 1  # where that was not enough the next death in the same place doubles it again

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Within it an attempt is under way. One that ends by itself, even with an error, did not die."""
        self._note(running=1)
        try:
            yield
        except Exception:
            self._ended()
            raise
        self._ended()

    def begins(self, step: int) -> None:
        """Step ``step`` (from 1) is under way; further than any attempt before, it ends the row of deaths."""
        if step > self._furthest:
            self._furthest, self._deaths = step, 0
            self._note(running=1)

    def _ended(self) -> None:
        self._deaths = 0
        self._note(running=0)

    def _note(self, running: int) -> None:
        note = {"split": self.split, "furthest": self._furthest, "deaths": self._deaths, "running": running}
        with suppress(OSError):  # no room: what needs it says so
            self._path.write_text(json.dumps(note), encoding="utf-8")
