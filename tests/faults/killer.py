"""Chooses a process of a home and kills it with signal 9."""

from __future__ import annotations

import os
import random
import signal
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


@dataclass
class Killer:
    """Kills at random; equal seeds choose alike among equal processes.

    Args:
        processes: Lists the living processes of the home.
        random: Decides.
        roles: Which roles are hit, and how often beside each other.
    """

    processes: Callable[[], list[Process]]
    random: random.Random
    roles: dict[str, float] = field(
        default_factory=lambda: {
            "supervisor": 1.0,
            "web": 1.5,
            "worker": 1.5,
            "job": 3.0,
            "engine": 1.5,
            "launcher": 0.5,
            "command": 1.0,
        }
    )
    strikes: list[Strike] = field(default_factory=list)

    def strike(self) -> Strike | None:
        """Kill one; None when nothing of the home runs."""
        living = self.processes()
        by_role: dict[str, list[Process]] = {}
        for process in living:
            by_role.setdefault(role_of(process), []).append(process)
        present = [role for role in self.roles if role in by_role]
        if not present:
            return None
        role = self.random.choices(present, [self.roles[name] for name in present])[0]
        victim = self.random.choice(sorted(by_role[role], key=lambda process: process.pid))
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        struck = Strike(time.monotonic(), role, victim.pid, tuple(living))
        self.strikes.append(struck)
        return struck
