"""What is written into a job's row and its events, within the transaction of whoever calls."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from homeroom.errors import ConflictError
from homeroom.jobs.clock import Instant
from homeroom.jobs.rows import Json, job_of, plain
from homeroom.schema.jobs import FINAL_STATES, Job
from homeroom.storage.tables import JobEventRow, JobRow

MESSAGE_CHARS = 10_000


class LeaseLost(ConflictError):
    """Another worker has the job, or it is over: stop working on it and change nothing."""

    code = "lease-lost"


def held(session: Session, job_id: str, token: int, *, lock: bool = True) -> JobRow:
    """The row of a running job that was claimed with ``token``.

    Raises:
        LeaseLost: the claim is over.
    """
    query = select(JobRow).filter_by(id=job_id, token=token, state="running")
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise LeaseLost(f"The claim {token!r} on the job {job_id!r} is over. See who has it: homeroom jobs show {job_id}")
    return row


def same(earlier: JobRow, kind: str, content: Json) -> Job:
    """The job that an idempotency key belongs to.

    Raises:
        ConflictError: ``idempotency-key-reused``: it has another kind or payload.
    """
    if (earlier.kind, earlier.payload) != (kind, content):
        raise ConflictError(
            f"The idempotency key {earlier.idempotency_key!r} belongs to the job {earlier.id!r}, which has another kind or "
            f"content. Use a new key, or see that job: homeroom jobs show {earlier.id}",
            code="idempotency-key-reused",
        )
    return job_of(earlier)


def say(
    session: Session,
    row: JobRow,
    now: Instant,
    message: str,
    level: str = "info",
    type: str = "message",
    data: Json | None = None,
) -> int:
    """Record an event; returns its number within the job."""
    row.last_event += 1
    event = JobEventRow(
        job_id=row.id,
        seq=row.last_event,
        created_at=now.wall,
        level=level,
        type=type,
        message=message[:MESSAGE_CHARS],
        data=plain(data or {}),
        workspace_id=row.workspace_id,
        owner_id=row.owner_id,
    )
    session.add(event)
    return event.seq


def end(session: Session, row: JobRow, now: Instant, state: str, error: str = "", error_code: str = "") -> None:
    """Put the job into a final state."""
    row.state = state
    row.finished_at = now.wall
    row.paused = row.pause_requested = False
    row.error, row.error_code = error[:MESSAGE_CHARS], error_code
    if row.started_at is not None:
        row.cost = {**(row.cost or {}), "seconds": round(max(0.0, now.wall - row.started_at), 3)}
    if state == "succeeded":
        row.progress = 1.0
    elif state == "failed":
        say(session, row, now, error or "It failed.", "error")
    else:
        say(session, row, now, "It was cancelled.")


def wait_until(row: JobRow, moment: Instant) -> None:
    """Put ``moment`` into the lease columns: when a running job's lease ends, or when a queued one may be tried again."""
    row.lease_wall, row.lease_elapsed, row.lease_boot = moment.wall, moment.elapsed, moment.boot


def take(row: JobRow, worker_id: str, now: Instant, lease_s: float) -> Job:
    """Give the job to a worker."""
    row.state = "running"
    row.attempts += 1
    row.token += 1
    row.worker_id = worker_id
    row.started_at = row.started_at or now.wall
    wait_until(row, now.plus(lease_s))
    return job_of(row)


def pause(session: Session, row: JobRow, now: Instant) -> None:
    """Put the job back until somebody resumes it."""
    row.state = "queued"
    row.token += 1
    row.paused, row.pause_requested = True, False
    wait_until(row, now)  # when it is resumed it may go on at once
    say(session, row, now, f"It is paused. Go on with it: homeroom jobs resume {row.id}")


def keep(row: JobRow, mark: int, of: str) -> None:
    """Note how far a part of the job's work is on the disk; when that is further than ever before, no death counts any more."""
    if mark > (row.kept or {}).get(of, 0):
        row.kept = {**(row.kept or {}), of: mark}
        row.deaths = 0


def may_go_on(session: Session, row: JobRow, now: Instant, reason: str = "its worker died", *, died: bool = True) -> bool:
    """Whether a job that stopped without an outcome is to be tried again; ends or pauses it when not."""
    row.deaths += died
    if row.cancel_requested:
        row.token += 1
        end(session, row, now, "cancelled")
    elif row.deaths >= row.max_attempts:
        row.token += 1
        often = f"{row.deaths} times in a row, and kept nothing new in between" if row.deaths > 1 else "once"
        error = f"It died {often}; the last time: {reason}"
        end(session, row, now, "failed", error, "job-process-died")
    elif row.pause_requested:
        pause(session, row, now)
    return row.state not in FINAL_STATES and not row.paused
