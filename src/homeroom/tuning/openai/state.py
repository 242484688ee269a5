"""What a run has done so far. Each change is on the disk before the next thing is done, so that a restart goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically

FILE = "run.json"
SUCCEEDED = "succeeded"
FINAL = ("succeeded", "failed", "cancelled")


@dataclass(slots=True)
class Rung:
    """One job there: on all examples, or on a subset of them.

    Attributes:
        examples: How many it trains on.
        epochs: How often each is seen.
        most_tokens: That it can be charged for.
        turn: How often it was begun anew, after a job that failed there.
        file: Id of its training file there.
        asked: A job was asked for; whether there is one is not known until ``job`` names it.
        job: Its id there.
        past: Ids of jobs that did not succeed.
        doubted: Another job may have been created before this one: its confirmation was lost, and no list showed it.
        missed_at: Unix time at which it was first looked for and not found, after the run was given up; 0 where it was not.
        vanished: Jobs that the endpoint did not know any more, each with its line of the ledger: what they cost, nobody knows.
        cost: The line of the ledger; empty where nothing is counted. ``left`` are lines of jobs that nobody knows the end of.
        paid: That line is settled.
        event: The last event that was told; ``done`` is how much of it was done then, 0 to 1.
        outcome: The job as it was at its end.
    """

    examples: int
    epochs: int
    most_tokens: int
    turn: int = 0
    file: str = ""
    asked: bool = False
    job: str = ""
    past: list[str] = field(default_factory=list)
    doubted: bool = False
    missed_at: float = 0.0
    vanished: dict[str, str] = field(default_factory=dict)
    cost: str = ""
    left: list[str] = field(default_factory=list)
    paid: bool = False
    event: str = ""
    done: float = 0.0
    outcome: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        """How its job ended; empty while it has not."""
        return str(self.outcome["status"]) if self.outcome else ""

    @property
    def open(self) -> bool:
        """Whether there is a job there, or may be one, whose end nobody has seen."""
        return self.outcome is None and bool(self.job or self.asked)

    @property
    def unasked(self) -> bool:
        """Whether money is held for it, and no job was asked for."""
        return bool(self.cost) and not (self.paid or self.asked or self.job)

    @property
    def lines(self) -> tuple[str, ...]:
        """Every line of the ledger that it knows of."""
        return tuple(line for line in (self.cost, *self.left, *self.vanished.values()) if line)

    def vanish(self) -> None:
        """The endpoint does not know the job any more: what it cost, nobody knows, so it stays held."""
        self.vanished[self.job] = self.cost
        self.cost, self.paid = "", True
        self.outcome = {"status": "failed", "error": {"message": "the endpoint does not know it any more"}}

    def take_up(self, job: str) -> None:
        """The endpoint knows a job again that had vanished: it is followed, and its money is what was held for it."""
        self.cost, self.job, self.asked = self.vanished.pop(job), job, True
        self.past = [one for one in self.past if one != job]


@dataclass(slots=True)
class Deployment:
    """A checkpoint that is made to answer there.

    Attributes:
        source: The checkpoint, as the endpoint names it: ``JOB:CHECKPOINT``.
        name: That was asked for; part of the name that it gets.
        asked: It was asked for; whether it is there is not known until ``model`` names it.
        model: The name by which it answers.
        past: Names of earlier ones that never answered.
    """

    source: str
    name: str
    asked: bool = False
    model: str = ""
    past: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Upload:
    """A file that was sent there, or was about to be.

    Attributes:
        name: Under which; only this run's files have it.
        at: Unix time of the last attempt.
        file: Its id there; empty while nobody knows whether it arrived.
    """

    name: str
    at: float
    file: str = ""


@dataclass(slots=True)
class RunState:
    """A run. ``save`` after every change.

    ``files`` are the ids of what is known to lie there. What lies there besides has a name of ``uploads``.
    """

    path: Path
    tag: str
    begun_at: float
    rungs: list[Rung]
    validation: str = ""
    admitted: bool = False
    files: list[str] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    model: str = ""
    deployed: list[Deployment] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path, tag: str, rungs: Sequence[Rung]) -> RunState:
        """The state in ``folder``, or a new one of ``rungs``. What did not succeed there is begun anew."""
        state = cls.read(folder)
        if state is None:
            state = cls(folder / FILE, tag, time.time(), list(rungs))
            state.save()
            return state
        for rung in state.rungs:
            if rung.outcome is not None and rung.status != SUCCEEDED and rung.paid:
                rung.past.append(rung.job)
                rung.turn, rung.asked, rung.job, rung.event, rung.done, rung.outcome = rung.turn + 1, False, "", "", 0.0, None
                rung.doubted, rung.missed_at = False, 0.0
                rung.cost, rung.paid, rung.file, state.validation = "", False, "", ""
        state.save()
        return state

    @classmethod
    def read(cls, folder: Path) -> RunState | None:
        """The state in ``folder`` as it is; None where no run has begun."""
        path = folder / FILE
        if not path.exists():
            return None
        record = json.loads(path.read_text("utf-8"))
        rungs = [Rung(**rung) for rung in record["rungs"]]
        deployed = [Deployment(**one) for one in record.get("deployed", ())]
        uploads = [Upload(**one) for one in record.get("uploads", ())]
        return cls(**{**record, "path": path, "rungs": rungs, "deployed": deployed, "uploads": uploads})

    def uploading(self, name: str) -> Upload:
        """Note, before it is sent, that a file of this name may lie there from now on."""
        found = next((one for one in self.uploads if one.name == name), None)
        if found is None:
            found = Upload(name, 0.0)
            self.uploads.append(found)
        found.at = time.time()
        self.save()
        return found

    def uploaded(self, one: Upload, file_id: str) -> None:
        """Note the id that a file has there."""
        one.file = file_id
        self.files = [*dict.fromkeys((*self.files, file_id))]
        self.save()

    @property
    def perhaps(self) -> int:
        """How many files may lie there of which nobody knows."""
        return sum(not one.file for one in self.uploads)

    @property
    def unfinished(self) -> bool:
        """Whether one of its jobs may go on there."""
        return any(rung.open for rung in self.rungs)

    @property
    def unsettled(self) -> bool:
        """Whether one of its jobs may go on there, or money is held for one that was never asked for."""
        return self.unfinished or any(rung.unasked for rung in self.rungs)

    def save(self) -> None:
        """Write it; it is on the disk when this returns.

        Raises:
            StorageError: the disk refused.
        """
        record = {key: value for key, value in asdict(self).items() if key != "path"}
        with disk_errors(self.path):
            write_atomically(self.path, json.dumps(record, indent=1).encode())

    def tag_of(self, rung: Rung) -> str:
        """By which a job of this run is found again, and by which the endpoint may know a repeated request."""
        return f"{self.tag}-{rung.examples}" + (f"-{rung.turn}" if rung.turn else "")
