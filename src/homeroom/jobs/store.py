"""The job table: submit, claim, report and finish, each in one short transaction.

A worker *claims* a job for some seconds (its lease) and prolongs the lease while it lives. Each claim raises the job's *token*; a
write with an older token is refused (`LeaseLost`), so a worker that was thought dead can change nothing any more. A job whose
lease has run out is claimed again, at most ``max_attempts`` times.

    queued ──claim──► running ──finish──► succeeded | failed | cancelled
       ▲                 │                                │
       ├────release──────┘                                │   its process died, or its worker ended
       └────retry─────────────────────────────────────────┘   somebody asked for it again, unless it succeeded
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from homeroom.errors import ConflictError, NotFoundError
from homeroom.jobs.clock import MAX_LEASE_S, Clock, SystemClock
from homeroom.jobs.rows import Json, event_of, job_of, lease_of, plain
from homeroom.schema.jobs import FINAL_STATES, Job, JobEvent, JobState
from homeroom.storage import LOCAL, Database, Scope
from homeroom.storage.tables import JobEventRow, JobRow, new_id

_MESSAGE_CHARS = 10_000


class LeaseLost(ConflictError):
    """Another worker has the job, or it is over: stop working on it and change nothing."""

    code = "lease-lost"


class JobStore:
    """Jobs in the database. Thread-safe.

    `submit`, `get`, `list`, `events` and `request_cancel` are a person's and stay within ``scope``. The others are a worker's:
    they serve the jobs of every scope and are guarded by the token of the claim.
    """

    def __init__(self, database: Database, *, scope: Scope = LOCAL, clock: Clock | None = None) -> None:
        self._database = database
        self._scope = scope
        self._clock = clock or SystemClock()

    def submit(self, kind: str, payload: Json, *, idempotency_key: str | None = None, max_attempts: int = 3) -> Job:
        """Put a job at the end of the queue. It is on the disk when this returns.

        Args:
            kind: Which handler runs it.
            payload: What the handler gets; plain JSON data.
            idempotency_key: A second call with the same key returns the first one's job.
            max_attempts: How often it is started when its process dies, at least 1.

        Raises:
            ConflictError: code ``idempotency-key-reused``, when the key belongs to a job of another kind or payload.
        """
        if max_attempts < 1:
            raise ValueError(f"max_attempts is at least 1, not {max_attempts!r}")
        content = plain(payload)
        with self._database.write() as session:
            if idempotency_key is not None:
                query = select(JobRow).filter_by(idempotency_key=idempotency_key, **self._scope.columns())
                if (earlier := session.scalar(query)) is not None:
                    return self._same(earlier, kind, content)
            row = JobRow(
                id=new_id("job"),
                position=self._last_position(session) + 1,
                kind=kind,
                payload=content,
                idempotency_key=idempotency_key,
                max_attempts=max_attempts,
                created_at=self._clock.now().wall,
                **self._scope.columns(),
            )
            session.add(row)
            session.flush()
            return job_of(row)

    def get(self, job_id: str) -> Job:
        """The job as it is now.

        Raises:
            NotFoundError: code ``job-not-found``.
        """
        with self._database.read() as session:
            return job_of(self._mine(session, job_id))

    def list(self, state: str | None = None, kind: str | None = None, limit: int = 50) -> tuple[Job, ...]:
        """The newest jobs first, optionally of one state or kind."""
        wanted = {name: value for name, value in (("state", state), ("kind", kind)) if value is not None}
        query = select(JobRow).filter_by(**wanted, **self._scope.columns()).order_by(JobRow.position.desc()).limit(limit)
        with self._database.read() as session:
            return tuple(job_of(row) for row in session.scalars(query))

    def events(self, job_id: str, after: int = 0, limit: int = 500) -> tuple[JobEvent, ...]:
        """What the job said after event ``after``, oldest first. Cheap to poll.

        Raises:
            NotFoundError: code ``job-not-found``.
        """
        query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.seq > after)
        with self._database.read() as session:
            self._mine(session, job_id)
            return tuple(event_of(row) for row in session.scalars(query.order_by(JobEventRow.seq).limit(limit)))

    def request_cancel(self, job_id: str) -> Job:
        """Cancel a job: at once when nothing works on it, otherwise as soon as its handler has saved what is whole.

        Raises:
            NotFoundError: code ``job-not-found``.
            ConflictError: code ``job-finished``, when it succeeded or failed before.
        """
        with self._database.write() as session:
            row = self._mine(session, job_id, lock=True)
            if row.state in ("succeeded", "failed"):
                raise ConflictError(
                    f"The job {job_id!r} has already {row.state} and cannot be cancelled. See it: homeroom jobs show {job_id}",
                    code="job-finished",
                )
            if row.state == "queued" or (row.state == "running" and lease_of(row).is_past(self._clock.now())):
                row.token += 1
                self._end(session, row, "cancelled")
            elif row.state == "running" and not row.cancel_requested:
                row.cancel_requested = True
                self._say(session, row, "Cancellation was asked for.")
            return job_of(row)

    def retry(self, job_id: str) -> Job:
        """Put a job that failed or was cancelled back at the end of the queue, with all its attempts before it.

        It keeps its id, its events and its folder, and so what an attempt has saved there. A job in any other state stays as it
        is: of two that ask at once, the second finds it queued.

        Raises:
            NotFoundError: code ``job-not-found``.
        """
        with self._database.write() as session:
            row = self._mine(session, job_id, lock=True)
            if row.state in ("failed", "cancelled"):
                before = row.state
                row.state = "queued"
                row.position = self._last_position(session) + 1
                row.token += 1
                row.attempts = 0
                row.cancel_requested = False
                row.error, row.error_code, row.finished_at = "", "", None
                self._say(session, row, f"It {'was cancelled' if before == 'cancelled' else before} and was asked for again.")
            return job_of(row)

    def claim(
        self, worker_id: str, lease_s: float, job_id: str | None = None, *, is_dead: Callable[[str], bool] = lambda _: False
    ) -> Job | None:
        """Take the next job that nobody works on (or only ``job_id``) for ``lease_s`` seconds; None when there is none.

        Jobs whose worker died come first. One that died too often is failed here, one that was to be cancelled is cancelled.

        Args:
            worker_id: Who takes it.
            lease_s: For how long.
            job_id: Only this one.
            is_dead: Whether the worker of that id is known to be dead, so that the end of its lease need not be waited for.
        """
        if not 0 < lease_s <= MAX_LEASE_S:
            raise ValueError(f"a lease runs for up to {MAX_LEASE_S:.0f} seconds, not {lease_s!r}")
        with self._database.read() as session:  # looked at first, because most looks find nothing and need no write lock
            if not self._waiting(session, job_id) and not self._abandoned(session, job_id, is_dead):
                return None
        with self._database.write() as session:
            for row in self._abandoned(session, job_id, is_dead, lock=True):
                if self._may_go_on(session, row):
                    self._say(session, row, f"Attempt {row.attempts + 1} of {row.max_attempts}: the last one died.", "warning")
                    return self._take(row, worker_id, lease_s)
            row_or_none = self._waiting(session, job_id, lock=True)
            return None if row_or_none is None else self._take(row_or_none, worker_id, lease_s)

    def heartbeat(self, job_id: str, token: int, lease_s: float) -> Job:
        """Prolong the lease to ``lease_s`` seconds from now. Returns the job, which tells whether to cancel it.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = _held(session, job_id, token)
            self._set_lease(row, lease_s)
            return job_of(row)

    def held(self, job_id: str, token: int) -> Job:
        """The job that was claimed with ``token`` and is still running.

        Raises:
            LeaseLost: the token is not the job's any more, or the job is over.
        """
        with self._database.read() as session:
            return job_of(_held(session, job_id, token, lock=False))

    def progress(self, job_id: str, token: int, fraction: float, message: str) -> None:
        """How far it is, 0 to 1 (cut to that), and what it is doing.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = _held(session, job_id, token)
            row.progress = min(1.0, max(0.0, fraction))
            row.message = message[:_MESSAGE_CHARS]

    def event(
        self, job_id: str, token: int, message: str, *, level: str = "info", type: str = "message", data: Json | None = None
    ) -> int:
        """Record an event; returns its number within the job. Numbers that are not finite are recorded as null.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            return self._say(session, _held(session, job_id, token), message, level, type, data)

    def finish(
        self, job_id: str, token: int, state: JobState, result: Json | None = None, error: str = "", *, error_code: str = ""
    ) -> Job:
        """End the job in a final state. Final: it is never run again.

        Raises:
            LeaseLost: the token is not the job's any more, or the job is over.
        """
        if state not in FINAL_STATES:
            raise ValueError(f"{state!r} is no final state; to give a job back use release()")
        with self._database.write() as session:
            row = _held(session, job_id, token)
            row.result = None if result is None else plain(result)
            self._end(session, row, state, error, error_code)
            return job_of(row)

    def release(self, job_id: str, token: int, reason: str, *, count_attempt: bool = True) -> Job:
        """Give a job back whose process ended without an outcome: it is queued again, or failed when it died too often.

        Args:
            job_id: The job.
            token: Of the claim.
            reason: What happened, for its events and, if that was the last attempt, its error.
            count_attempt: False when it is no fault of the job, e.g. its worker was stopped.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = _held(session, job_id, token)
            if not count_attempt:
                row.attempts -= 1
            if self._may_go_on(session, row, reason):
                row.state = "queued"
                row.token += 1
                self._say(session, row, reason, "warning" if count_attempt else "info")
            return job_of(row)

    def _same(self, earlier: JobRow, kind: str, content: Json) -> Job:
        if (earlier.kind, earlier.payload) != (kind, content):
            raise ConflictError(
                f"The idempotency key {earlier.idempotency_key!r} belongs to the job {earlier.id!r}, which has another kind or "
                f"content. Use a new key, or see that job: homeroom jobs show {earlier.id}",
                code="idempotency-key-reused",
            )
        return job_of(earlier)

    def _mine(self, session: Session, job_id: str, *, lock: bool = False) -> JobRow:
        query = select(JobRow).filter_by(id=job_id, **self._scope.columns())
        row = session.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise NotFoundError(f"There is no job {job_id!r}. List them: homeroom jobs list", code="job-not-found")
        return row

    def _last_position(self, session: Session) -> int:
        return session.scalar(select(func.max(JobRow.position))) or 0

    def _waiting(self, session: Session, job_id: str | None, *, lock: bool = False) -> JobRow | None:
        query = select(JobRow).filter_by(state="queued").order_by(JobRow.position).limit(1)
        if job_id is not None:
            query = query.filter_by(id=job_id)
        return session.scalar(query.with_for_update(skip_locked=True) if lock else query)

    def _abandoned(
        self, session: Session, job_id: str | None, is_dead: Callable[[str], bool], *, lock: bool = False
    ) -> tuple[JobRow, ...]:
        query = select(JobRow).filter_by(state="running").order_by(JobRow.position)
        if job_id is not None:
            query = query.filter_by(id=job_id)
        now = self._clock.now()
        rows = session.scalars(query.with_for_update(skip_locked=True) if lock else query)
        return tuple(row for row in rows if lease_of(row).is_past(now) or (row.worker_id is not None and is_dead(row.worker_id)))

    def _may_go_on(self, session: Session, row: JobRow, reason: str = "its worker died") -> bool:
        """Whether a job that stopped without an outcome is to be tried again; ends it when not."""
        if row.cancel_requested:
            row.token += 1
            self._end(session, row, "cancelled")
        elif row.attempts >= row.max_attempts:
            row.token += 1
            error = f"It was started {row.attempts} times and died each time; the last time: {reason}"
            self._end(session, row, "failed", error, "job-process-died")
        return row.state not in FINAL_STATES

    def _take(self, row: JobRow, worker_id: str, lease_s: float) -> Job:
        row.state = "running"
        row.attempts += 1
        row.token += 1
        row.worker_id = worker_id
        row.started_at = row.started_at or self._clock.now().wall
        self._set_lease(row, lease_s)
        return job_of(row)

    def _set_lease(self, row: JobRow, lease_s: float) -> None:
        end = self._clock.now().plus(lease_s)
        row.lease_wall, row.lease_elapsed, row.lease_boot = end.wall, end.elapsed, end.boot

    def _end(self, session: Session, row: JobRow, state: str, error: str = "", error_code: str = "") -> None:
        row.state = state
        row.finished_at = self._clock.now().wall
        row.error, row.error_code = error[:_MESSAGE_CHARS], error_code
        if state == "succeeded":
            row.progress = 1.0
        elif state == "failed":
            self._say(session, row, error or "It failed.", "error")
        else:
            self._say(session, row, "It was cancelled.")

    def _say(
        self,
        session: Session,
        row: JobRow,
        message: str,
        level: str = "info",
        type: str = "message",
        data: Json | None = None,
    ) -> int:
        row.last_event += 1
        event = JobEventRow(
            job_id=row.id,
            seq=row.last_event,
            created_at=self._clock.now().wall,
            level=level,
            type=type,
            message=message[:_MESSAGE_CHARS],
            data=plain(data or {}),
            workspace_id=row.workspace_id,
            owner_id=row.owner_id,
        )
        session.add(event)
        return event.seq


def _held(session: Session, job_id: str, token: int, *, lock: bool = True) -> JobRow:
    query = select(JobRow).filter_by(id=job_id, token=token, state="running")
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise LeaseLost(f"The claim {token!r} on the job {job_id!r} is over. See who has it: homeroom jobs show {job_id}")
    return row
