"""What a job said, as OpenAI's events: newest first, in pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from homeroom.app.fine_tuning.errors import FieldError
from homeroom.app.fine_tuning.paging import Page, cut
from homeroom.app.fine_tuning.records import FineTuningJob
from homeroom.schema.jobs import OUTCOME
from homeroom.storage import Database
from homeroom.storage.tables import JobEventRow

_LEVELS = {"warning": "warn", "error": "error"}
# Our names of numbers to OpenAI's; what else a step tells goes out under our name.
_NAMES = {"train_accuracy": "train_mean_token_accuracy", "valid_accuracy": "valid_mean_token_accuracy"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something a job said. ``seq`` grows within the job; 0 is that it was ordered."""

    job: str
    seq: int
    created_at: float
    level: str
    type: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_openai(self) -> dict[str, Any]:
        """OpenAI's object ``fine_tuning.job.event``."""
        return {
            "object": "fine_tuning.job.event",
            "id": f"ftevent-{self.job.removeprefix('ftjob-')}-{self.seq}",
            "created_at": int(self.created_at),
            "level": _LEVELS.get(self.level, "info"),
            "message": self.message,
            "type": self.type,
            "data": dict(self.data),
        }


def events_of(database: Database, job: FineTuningJob, *, after: str | None = None, limit: int = 20) -> Page[Event]:
    """A page of a job's events, newest first.

    Raises:
        FieldError: the job has no event ``after``.
    """
    query = select(JobEventRow).filter_by(job_id=job.job_id).order_by(JobEventRow.seq.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(JobEventRow.seq < _seq(job, after))
    with database.read() as session:
        found = [_event(job, row) for row in session.scalars(query)]
    if len(found) <= limit and (after is None or _seq(job, after) > 0):
        found.append(Event(job.id, 0, job.created_at, "info", "message", f"Created fine-tuning job: {job.id}"))
    return cut(found, limit)


def _seq(job: FineTuningJob, event_id: str) -> int:
    prefix = f"ftevent-{job.id.removeprefix('ftjob-')}-"
    number = event_id.removeprefix(prefix)
    if not event_id.startswith(prefix) or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise FieldError(f"The job {job.id!r} has no event {event_id[:80]!r} to go on after", param="after")
    return int(number)


def _event(job: FineTuningJob, row: JobEventRow) -> Event:
    data = {_NAMES.get(name, name): value for name, value in row.data.items()}
    message = _metrics(data) if row.type == "metrics" and "step" in data else row.message
    kind = "message" if row.type == OUTCOME else row.type  # the API knows no other kinds
    return Event(job.id, row.seq, row.created_at, row.level, kind, message, data)


def _metrics(data: Mapping[str, Any]) -> str:
    """``Step 3/40: training loss=2.10, validation loss=2.31``."""
    of = f"/{data['total_steps']}" if "total_steps" in data else ""
    named = (("train_loss", "training loss"), ("valid_loss", "validation loss"))
    losses = [f"{words}={data[name]:.2f}" for name, words in named if data.get(name) is not None]
    return f"Step {data['step']}{of}: {', '.join(losses)}"
