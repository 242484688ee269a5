"""Chooses a process of a home and kills it with signal 9."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.bed import Process

# Role -> what its command line holds. The first that fits counts; what stands between parent and child carries both names.
ROLES = (
    ("launcher", "runtime/launcher.py"),
    ("job", "homeroom.app.run_job"),
    ("worker", "homeroom.app.run_worker"),
    ("web", "homeroom.server"),
    ("engine", "engine_child"),
    ("supervisor", "-m homeroom serve"),
    ("command", "-m homeroom "),
)


def role_of(process: Process) -> str:
    """What the process is for; empty when it is of no known kind."""
    return next((role for role, part in ROLES if part in process.command), "")


@dataclass(frozen=True)
class Strike:
    """One kill: what it hit, and every process of the home at that moment."""

    at: float
    role: str
    pid: int
    others: tuple[Process, ...]


# Which roles are hit, and how often beside each other.
WEIGHTS = {"supervisor": 1.5, "web": 2.0, "worker": 2.0, "job": 3.0, "engine": 2.0, "launcher": 1.0, "command": 1.5}


@dataclass
class Killer:
    """Kills at random. Who is next is drawn first and then waited for: what is rarely there would otherwise rarely be hit.

    Args:
        processes: Lists the living processes of the home.
        random: Decides.
    """

    processes: Callable[[], list[Process]]
    random: random.Random
    strikes: list[Strike] = field(default_factory=list)

    def draw(self) -> str:
        """The role to hit next."""
        return self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def strike(self, role: str) -> Strike | None:
        """Kill one process of that role; None when there is none."""
        living = self.processes()
        victims = sorted((process for process in living if role_of(process) == role), key=lambda process: process.pid)
        if not victims:
            return None
        victim = self.random.choice(victims)
        if not victim.kill():
            return None
        struck = Strike(time.monotonic(), role, victim.pid, tuple(living))
        self.strikes.append(struck)
        return struck
