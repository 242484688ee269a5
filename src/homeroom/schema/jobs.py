"""Jobs: durable units of background work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
REPLIES_A_MARK = 10
"""Replies that are told as kept at once (see `Reporter.saved`): telling each one would write to the database for each one."""
OUTCOME = "outcome"
"""The type of an event that says what came of the work: a terminal shows it, as it shows warnings."""
FINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the job table. Times are Unix seconds; ``progress`` runs from 0 to 1.

    Attributes:
        error: Message of the `HomeroomError` that ended it; ``error_code`` is its code.
        priority: Of two jobs that could run now the one with the higher number does.
        resource: What it needs a slot of: ``cpu``, ``gpu`` or ``api``; empty when it needs none.
        not_before: It waits until then.
        depends_on: Jobs that must have succeeded first.
        paused: It is queued and waits until somebody resumes it.
        pause_requested: It is running and will be paused when what it has is saved.
        cost: What it took: ``seconds`` of running, and what its handler adds.
        attempts: How often it was started.
        deaths: How often its process or its worker died since it last kept something new; at ``max_attempts`` it is given up.
        kept: How far each part of its work was ever kept: see `Reporter.saved`.
    """

    id: str
    kind: str
    state: JobState
    payload: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: str = ""
    progress: float = 0.0
    message: str = ""
    attempts: int = 0
    max_attempts: int = 3
    cancel_requested: bool = False
    token: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    error_code: str = ""
    priority: int = 0
    resource: str = ""
    not_before: float | None = None
    depends_on: tuple[str, ...] = ()
    paused: bool = False
    pause_requested: bool = False
    cost: Mapping[str, Any] | None = None
    deaths: int = 0
    kept: Mapping[str, int] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The state as people are told it: a queued job that is paused is ``paused``."""
        return "paused" if self.paused and self.state == "queued" else self.state

    @property
    def done(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something a job said. ``seq`` grows by one within a job; ``type`` is ``message``, ``metrics`` or ``outcome``."""

    job_id: str
    seq: int
    created_at: float
    level: str
    type: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Reporter(Protocol):
    """How long work tells of itself and learns that it should stop."""

    def saved(self, mark: int, of: str = "") -> None:
        """Tell that work is on the disk which the next attempt need not do again: a checkpoint, replies.

        Deaths before it count no more when it is further than ever before. So a long job outlives any number of deaths, and one
        that dies at the same place each time is still given up.

        Args:
            mark: How far it is, from 1 upwards: a step, a number of replies.
            of: Which part of the work, where it has several that are kept one by one.
        """
        ...

    def progress(self, fraction: float, message: str) -> None:
        """How far it is, 0 to 1, and what it is doing now."""
        ...

    def event(self, message: str, *, level: str = "info", type: str = "message", data: Mapping[str, Any] | None = None) -> None:
        """Record something worth keeping: a log line, numbers with ``type="metrics"``, or what came of it: `OUTCOME`."""
        ...

    def should_stop(self) -> bool:
        """Whether cancellation or a pause was asked for: save what is whole, then raise `JobCancelled`."""
        ...


class JobCancelled(Exception):
    """Raised inside a handler after `Reporter.should_stop` said so. Not an error of the user's.

    Whether the job is over or only paused is in the job table: a handler does the same for both.
    """


class JobContext(Reporter, Protocol):
    """What a job handler gets: the job, a durable folder of its own, and the reporter's calls."""

    job: Job
    work_dir: Path


Handler = Callable[[JobContext], Mapping[str, Any]]


class NullReporter:
    """A `Reporter` that says nothing: for notebooks and tests."""

    def saved(self, mark: int, of: str = "") -> None:
        """Ignored."""

    def progress(self, fraction: float, message: str) -> None:
        """Ignored."""

    def event(self, message: str, *, level: str = "info", type: str = "message", data: Mapping[str, Any] | None = None) -> None:
        """Ignored."""

    def should_stop(self) -> bool:
        """Never."""
        return False
