"""The job table: submit, claim, report and finish, each in one short transaction.

A worker *claims* a job for some seconds (its lease) and prolongs the lease while it lives. Each claim raises the job's *token*; a
write with an older token is refused (`LeaseLost`), so a worker that was thought dead can change nothing any more. A job whose
lease has run out is claimed again. One that dies ``max_attempts`` times in a row without keeping anything new is given up.

    queued ──claim──► running ──finish──► succeeded | failed | cancelled
       ▲                 │                                │
       ├────release──────┘                                │   its process died, its worker ended, or it was paused
       └────retry─────────────────────────────────────────┘   somebody asked for it again, unless it succeeded

A queued job waits for its time, for the jobs that it depends on, for a slot of its resource, and, when it is paused, for somebody
to resume it. See `homeroom.jobs.queue`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from homeroom.errors import ConflictError, NotFoundError
from homeroom.jobs import queue
from homeroom.jobs.clock import MAX_LEASE_S, Clock, SystemClock
from homeroom.jobs.entries import MESSAGE_CHARS, LeaseLost, end, held, keep, may_go_on, pause, same, say, take, wait_until
from homeroom.jobs.rows import Json, event_of, job_of, lease_of, plain
from homeroom.schema.jobs import FINAL_STATES, Job, JobEvent, JobState
from homeroom.storage import LOCAL, Database, Scope
from homeroom.storage.tables import JobEventRow, JobRow, new_id

__all__ = ["JobStore", "LeaseLost"]


class JobStore:
    """Jobs in the database. Thread-safe.

    What a person does (from `submit` to `retry` below) stays within ``scope``. From `claim` on it is a worker's: it serves the
    jobs of every scope and is guarded by the token of the claim.
    """

    def __init__(self, database: Database, *, scope: Scope = LOCAL, clock: Clock | None = None) -> None:
        self._database = database
        self._scope = scope
        self._clock = clock or SystemClock()

    def submit(
        self,
        kind: str,
        payload: Json,
        *,
        idempotency_key: str | None = None,
        max_attempts: int = 3,
        priority: int = 0,
        resource: str = "",
        not_before: float | None = None,
        depends_on: Sequence[str] = (),
    ) -> Job:
        """Put a job into the queue. It is on the disk when this returns.

        Args:
            kind: Which handler runs it.
            payload: What the handler gets; plain JSON data.
            idempotency_key: A second call with the same key returns the first one's job.
            max_attempts: At so many deaths in a row, with nothing new kept in between, it is given up; at least 1.
            priority: Higher ones run first; among equals the older one does.
            resource: What it needs a slot of, e.g. ``cpu``.
            not_before: Unix time before which it does not run.
            depends_on: Ids of jobs that must succeed first; when one of them fails or is cancelled this one fails.

        Raises:
            ConflictError: code ``idempotency-key-reused``, when the key belongs to a job of another kind or payload.
            NotFoundError: code ``job-not-found``: a job that it would depend on.
        """
        if max_attempts < 1:
            raise ValueError(f"max_attempts is at least 1, not {max_attempts!r}")
        content = plain(payload)
        with self._database.write() as session:
            if idempotency_key is not None:
                query = select(JobRow).filter_by(idempotency_key=idempotency_key, **self._scope.columns())
                if (earlier := session.scalar(query)) is not None:
                    return same(earlier, kind, content)
            for needed in depends_on:
                self._mine(session, needed)
            row = JobRow(
                id=new_id("job"),
                position=self._last_position(session) + 1,
                kind=kind,
                payload=content,
                idempotency_key=idempotency_key,
                max_attempts=max_attempts,
                priority=priority,
                resource=resource,
                not_before=not_before,
                depends_on=list(depends_on),
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
            now = self._clock.now()
            if row.state == "queued" or (row.state == "running" and lease_of(row).is_past(now)):
                row.token += 1
                end(session, row, now, "cancelled")
            elif row.state == "running" and not row.cancel_requested:
                row.cancel_requested = True
                say(session, row, now, "Cancellation was asked for.")
            return job_of(row)

    def pause(self, job_id: str) -> Job:
        """Have a job wait until it is resumed: at once when nothing works on it, otherwise as soon as its handler has saved.

        A job that is paused already, or will be, stays as it is.

        Raises:
            NotFoundError: code ``job-not-found``.
            ConflictError: code ``job-finished``, when it is over, or about to be cancelled.
        """
        with self._database.write() as session:
            row = self._mine(session, job_id, lock=True)
            if row.state in FINAL_STATES or row.cancel_requested:
                told = f"has already {row.state}" if row.state in ("succeeded", "failed") else "was cancelled"
                raise ConflictError(
                    f"The job {job_id!r} {told} and cannot be paused. See it: homeroom jobs show {job_id}", code="job-finished"
                )
            now = self._clock.now()
            if row.state == "running" and not lease_of(row).is_past(now):
                if not row.pause_requested:
                    row.pause_requested = True
                    say(session, row, now, "A pause was asked for.")
            elif not row.paused:
                pause(session, row, self._clock.now())
            return job_of(row)

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on when its turn comes, or take back a pause that was asked for. Any other job stays as it is.

        Raises:
            NotFoundError: code ``job-not-found``.
            ConflictError: code ``job-finished``, when it is over.
        """
        with self._database.write() as session:
            row = self._mine(session, job_id, lock=True)
            if row.state in FINAL_STATES:
                raise ConflictError(
                    f"The job {job_id!r} is over ({row.state}) and cannot be resumed. Have it done again with the command that "
                    f"made it, or see it: homeroom jobs show {job_id}",
                    code="job-finished",
                )
            if row.paused or row.pause_requested:
                row.paused = row.pause_requested = False
                say(session, row, self._clock.now(), "It was resumed.")
            return job_of(row)

    def prune(self, before: float, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Forget jobs that ended before Unix time ``before``, with their events; returns their ids.

        Jobs in ``keep`` stay, and those that a job which is not over depends on.
        """
        with self._database.write() as session:
            rows = session.scalars(select(JobRow).filter_by(**self._scope.columns()))
            needed = {needed for row in rows if row.state not in FINAL_STATES for needed in row.depends_on or ()} | set(keep)
            over = select(JobRow).filter_by(**self._scope.columns()).where(JobRow.finished_at < before)
            gone = [row for row in session.scalars(over) if row.state in FINAL_STATES and row.id not in needed]
            for row in gone:
                session.execute(delete(JobEventRow).where(JobEventRow.job_id == row.id))
                session.delete(row)
            return tuple(row.id for row in gone)

    def retry(self, job_id: str) -> Job:
        """Put a job that failed or was cancelled back at the end of the queue, as if it had never died.

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
                row.deaths, row.kept = 0, {}
                row.cancel_requested = False
                row.error, row.error_code, row.finished_at = "", "", None
                wait_until(row, self._clock.now())
                told = "was cancelled" if before == "cancelled" else before
                say(session, row, self._clock.now(), f"It {told} and was asked for again.")
            return job_of(row)

    def claim(
        self,
        worker_id: str,
        lease_s: float,
        job_id: str | None = None,
        *,
        is_dead: Callable[[str], bool] = lambda _: False,
        slots: Mapping[str, int] | None = None,
    ) -> Job | None:
        """Take the next job that nobody works on (or only ``job_id``) for ``lease_s`` seconds; None when there is none.

        Jobs whose worker died come first. One that died too often is failed here, one that was to be cancelled is cancelled, and
        one whose dependency did not succeed is failed.

        Args:
            worker_id: Who takes it.
            lease_s: For how long.
            job_id: Only this one.
            is_dead: Whether the worker of that id is known to be dead, so that the end of its lease need not be waited for.
            slots: How many jobs may run at once by resource, over all workers; a resource that is not named has no limit.
        """
        if not 0 < lease_s <= MAX_LEASE_S:
            raise ValueError(f"a lease runs for up to {MAX_LEASE_S:.0f} seconds, not {lease_s!r}")
        with self._database.read() as session:  # looked at first, because most looks find nothing and need no write lock
            now = self._clock.now()
            found = queue.abandoned(session, job_id, now, is_dead)
            if not found and queue.next_turn(session, job_id, now, is_dead, slots or {}) is None:
                return None
        with self._database.write() as session:
            now = self._clock.now()
            for row in queue.abandoned(session, job_id, now, is_dead, lock=True):
                if may_go_on(session, row, now):
                    say(session, row, now, f"Attempt {row.attempts + 1}: the last one died.", "warning")
                    return take(row, worker_id, now, lease_s)
            chosen = queue.next_turn(session, job_id, now, is_dead, slots or {}, lock=True)
            if chosen is None:
                return None
            row, failed = chosen
            if not failed:
                return take(row, worker_id, now, lease_s)
            row.token += 1
            error = f"The job {failed!r} that it depends on did not succeed. See why: homeroom jobs show {failed}"
            end(session, row, now, "failed", error, "dependency-failed")
            return None

    def heartbeat(self, job_id: str, token: int, lease_s: float) -> Job:
        """Prolong the lease to ``lease_s`` seconds from now. Returns the job, which tells whether to cancel it.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = held(session, job_id, token)
            wait_until(row, self._clock.now().plus(lease_s))
            return job_of(row)

    def held(self, job_id: str, token: int) -> Job:
        """The job that was claimed with ``token`` and is still running.

        Raises:
            LeaseLost: the token is not the job's any more, or the job is over.
        """
        with self._database.read() as session:
            return job_of(held(session, job_id, token, lock=False))

    def progress(self, job_id: str, token: int, fraction: float, message: str) -> None:
        """How far it is, 0 to 1 (cut to that), and what it is doing.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = held(session, job_id, token)
            row.progress = min(1.0, max(0.0, fraction))
            row.message = message[:MESSAGE_CHARS]

    def saved(self, job_id: str, token: int, mark: int, of: str = "") -> None:
        """Note that work is kept which the next attempt need not do again: see `homeroom.schema.jobs.Reporter.saved`.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            keep(held(session, job_id, token), mark, of)

    def event(
        self, job_id: str, token: int, message: str, *, level: str = "info", type: str = "message", data: Json | None = None
    ) -> int:
        """Record an event; returns its number within the job. Numbers that are not finite are recorded as null.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            return say(session, held(session, job_id, token), self._clock.now(), message, level, type, data)

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
            row = held(session, job_id, token)
            row.result = None if result is None else plain(result)
            end(session, row, self._clock.now(), state, error, error_code)
            return job_of(row)

    def stopped(self, job_id: str, token: int) -> Job:
        """Tell that the handler stopped because it was asked to: the job is cancelled, or paused if that was all that was asked.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = held(session, job_id, token)
            if row.pause_requested and not row.cancel_requested:
                pause(session, row, self._clock.now())
            else:
                end(session, row, self._clock.now(), "cancelled")
            return job_of(row)

    def release(self, job_id: str, token: int, reason: str, *, died: bool = True, delay_s: float | None = None) -> Job:
        """Give a job back whose process ended without an outcome: it is queued again, or failed when it died too often.

        Args:
            job_id: The job.
            token: Of the claim.
            reason: What happened, for its events and, if that was the last attempt, its error.
            died: False when it is no fault of the job, e.g. its worker was stopped.
            delay_s: Pause before the next attempt, at most an hour; longer after each death that counts when None.

        Raises:
            LeaseLost: the token is not the job's any more.
        """
        with self._database.write() as session:
            row = held(session, job_id, token)
            if may_go_on(session, row, self._clock.now(), reason, died=died):
                now = self._clock.now()
                row.state = "queued"
                row.token += 1
                pause_s = (queue.back_off(row.deaths) if died else 0.0) if delay_s is None else delay_s
                wait_until(row, now.plus(min(max(pause_s, 0.0), MAX_LEASE_S)))
                say(session, row, now, reason, "warning" if died else "info")
            return job_of(row)

    def _mine(self, session: Session, job_id: str, *, lock: bool = False) -> JobRow:
        query = select(JobRow).filter_by(id=job_id, **self._scope.columns())
        row = session.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise NotFoundError(f"There is no job {job_id!r}. List them: homeroom jobs list", code="job-not-found")
        return row

    def _last_position(self, session: Session) -> int:
        return session.scalar(select(func.max(JobRow.position))) or 0
