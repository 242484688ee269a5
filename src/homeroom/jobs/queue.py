"""Which job is next: by priority and age, of those whose time has come, whose dependencies are done, and that find a slot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from homeroom.jobs.clock import Instant
from homeroom.jobs.rows import lease_of
from homeroom.storage.tables import JobRow

BACK_OFF_S = (1.0, 5.0, 30.0, 120.0)
"""How long a job waits after its first, second ... death in a row; the last one holds for all further ones."""


def back_off(deaths: int) -> float:
    """Seconds to wait after that many deaths in a row."""
    return BACK_OFF_S[min(max(deaths, 1), len(BACK_OFF_S)) - 1]


def waiting(session: Session, job_id: str | None, *, lock: bool = False) -> Sequence[JobRow]:
    """Queued jobs that are not paused, what is to run first at the top."""
    query = select(JobRow).filter_by(state="queued", paused=False).order_by(JobRow.priority.desc(), JobRow.position)
    if job_id is not None:
        query = query.filter_by(id=job_id)
    return session.scalars(query.with_for_update(skip_locked=True) if lock else query).all()


def abandoned(
    session: Session, job_id: str | None, now: Instant, is_dead: Callable[[str], bool], *, lock: bool = False
) -> tuple[JobRow, ...]:
    """Running jobs whose worker is dead, or let the lease run out."""
    query = select(JobRow).filter_by(state="running").order_by(JobRow.position)
    if job_id is not None:
        query = query.filter_by(id=job_id)
    rows = session.scalars(query.with_for_update(skip_locked=True) if lock else query)
    return tuple(row for row in rows if _is_abandoned(row, now, is_dead))


def due(rows: Sequence[JobRow], now: Instant) -> Iterator[JobRow]:
    """Those whose time has come: the one that was asked for, and the pause after an attempt that died."""
    for row in rows:
        if (row.not_before is None or row.not_before <= now.wall) and lease_of(row).is_past(now):
            yield row


def dependencies(session: Session, row: JobRow) -> Mapping[str, str]:
    """The state of each job that ``row`` waits for; one that was pruned had succeeded."""
    if not row.depends_on:
        return {}
    query = select(JobRow.id, JobRow.state).where(JobRow.id.in_(row.depends_on))
    return {found.id: found.state for found in session.execute(query)}


def free_slots(
    session: Session, slots: Mapping[str, int], now: Instant, is_dead: Callable[[str], bool]
) -> Callable[[JobRow], bool]:
    """Whether a job finds a slot of its resource, counted over all workers. A resource without a limit always has one.

    A job whose worker died holds none: whoever takes it over takes the slot with it.
    """
    running = session.scalars(select(JobRow).filter_by(state="running"))
    taken = Counter(row.resource for row in running if not _is_abandoned(row, now, is_dead))
    return lambda row: taken[row.resource] < slots.get(row.resource, taken[row.resource] + 1)


def next_turn(
    session: Session,
    job_id: str | None,
    now: Instant,
    is_dead: Callable[[str], bool],
    slots: Mapping[str, int],
    *,
    lock: bool = False,
) -> tuple[JobRow, str] | None:
    """The job whose turn it is, and the id of the dependency that it fails for, if any."""
    finds_slot = free_slots(session, slots, now, is_dead)
    for row in due(waiting(session, job_id, lock=lock), now):
        states = dependencies(session, row)
        failed = next((job for job, state in states.items() if state in ("failed", "cancelled")), "")
        if failed or (set(states.values()) <= {"succeeded"} and finds_slot(row)):
            return row, failed
    return None


def _is_abandoned(row: JobRow, now: Instant, is_dead: Callable[[str], bool]) -> bool:
    return lease_of(row).is_past(now) or (row.worker_id is not None and is_dead(row.worker_id))
