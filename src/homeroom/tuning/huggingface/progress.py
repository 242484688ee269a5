"""What a run tells while it works: a line for people, numbers for charts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from homeroom.schema.jobs import Reporter
from homeroom.tuning.huggingface.batches import Step

ESTIMATE_AFTER = 5
"""Steps after which the time the run will take is worth telling."""


class Progress:
    """Measures speed and reports. ``done_tokens`` is where a resumed run starts.

    Speed counts training only; the time left counts validation as it was measured.
    """

    def __init__(self, reporter: Reporter, steps: Sequence[Step], lengths: Sequence[int], done_tokens: int) -> None:
        self._reporter = reporter
        self._steps = len(steps)
        self._total = sum(lengths[i] for step in steps for i in step.indexes)
        self._done = done_tokens
        self._trained = 0
        self._train_s = self._other_s = 0.0
        self._mark = self._taken = time.monotonic()
        self._stepped = 0

    @property
    def tokens_per_s(self) -> float:
        """Tokens trained a second in this process, 0 before the first step."""
        return self._trained / self._train_s if self._train_s else 0.0

    def take_seconds(self) -> float:
        """Wall time since the last call."""
        now = time.monotonic()
        seconds, self._taken = now - self._taken, now
        return seconds

    def stepped(self, step: int, tokens: int, loss: float, row: Mapping[str, Any]) -> None:  # row: JSON
        """Tell of one optimiser step."""
        self._train_s += self._lap()
        self._trained += tokens
        self._done += tokens
        self._stepped += 1
        left = self._seconds_left()
        rate = f"{self.tokens_per_s:.0f} tokens/s"
        self._reporter.progress(self._fraction(), f"step {step}/{self._steps}  loss {loss:.2f}  {rate}  {_duration(left)} left")
        self._metrics(f"step {step}: loss {loss:.3f}", row)
        if self._stepped == ESTIMATE_AFTER:
            self._reporter.event(
                f"Measured {rate}: the rest of this training takes {_duration(left)}.", data={"seconds_left": left}
            )

    def validated(self, step: int, loss: float, row: Mapping[str, Any]) -> None:  # row: JSON
        """Tell of one validation."""
        self._other_s += self._lap()
        self._reporter.progress(self._fraction(), f"step {step}/{self._steps}  validation loss {loss:.3f}")
        self._metrics(f"step {step}: validation loss {loss:.3f}", row)

    def _metrics(self, message: str, row: Mapping[str, Any]) -> None:
        data = {key: value for key, value in row.items() if value is not None}
        pace: dict[str, Any] = {"total_steps": self._steps, "tokens_per_s": round(self.tokens_per_s, 1)}  # JSON
        if self._trained:
            pace["seconds_left"] = self._seconds_left()
        self._reporter.event(message, type="metrics", data={**data, **pace})

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self._mark = now - self._mark, now
        return lap

    def _fraction(self) -> float:
        return min(1.0, self._done / self._total) if self._total else 1.0

    def _seconds_left(self) -> float:
        per_token = (self._train_s + self._other_s) / max(1, self._trained)
        return round((self._total - self._done) * per_token, 1)


def _duration(seconds: float) -> str:
    """``about 2 min``, ``about 40 s``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
