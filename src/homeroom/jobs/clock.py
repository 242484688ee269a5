"""Time for leases: how long a lease still runs must not depend on somebody setting the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A lease that ends further away than this by the wall clock was stamped before the clock was set back.
MAX_LEASE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment: Unix seconds, seconds since the machine started, and which start that was (empty: not known)."""

    wall: float
    elapsed: float
    boot: str

    def plus(self, seconds: float) -> Instant:
        """The moment ``seconds`` later."""
        return replace(self, wall=self.wall + seconds, elapsed=self.elapsed + seconds)

    def is_past(self, now: Instant) -> bool:
        """Whether this deadline is over at ``now``.

        Within one run of the machine the seconds since its start decide, which no clock step touches. A deadline of another
        machine, or of before a restart, can only be judged by the wall clock.
        """
        if self.boot and self.boot == now.boot:
            return self.elapsed <= now.elapsed
        return self.wall <= now.wall or self.wall > now.wall + MAX_LEASE_S


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> Instant:
        """This moment."""
        ...


class SystemClock:
    """The machine's clocks; all processes of one machine agree on them."""

    def __init__(self) -> None:
        try:
            self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            self._boot = ""
        self._clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> Instant:
        """This moment."""
        return Instant(time.time(), time.clock_gettime(self._clock), self._boot)


class ManualClock:
    """A clock that stands still until it is told to move: for tests and simulations."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self._now = Instant(wall, 1000.0, "boot-1")

    def now(self) -> Instant:
        """The moment it was set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now = self._now.plus(seconds)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back, while no time passes."""
        self._now = replace(self._now, wall=self._now.wall + seconds)

    def restart(self, down_s: float = 60.0) -> None:
        """Restart the machine, which takes ``down_s`` seconds."""
        self._now = Instant(self._now.wall + down_s, 1.0, self._now.boot + "+")
