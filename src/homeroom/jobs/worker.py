"""Takes jobs from the table and runs each in a process group of its own."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from homeroom.errors import HomeroomError, StorageError
from homeroom.jobs.execute import EXIT_NOT_TOLD, forget_dead
from homeroom.jobs.logs import last_words, log_path, trim_log
from homeroom.jobs.presence import Presence
from homeroom.jobs.store import JobStore, LeaseLost
from homeroom.runtime import Child, spawn
from homeroom.schema.jobs import Job
from homeroom.storage.errors import TRANSIENT_CODES, disk_errors
from homeroom.storage.files import make_private_folder

_TICK_S = 0.1
log = logging.getLogger(__name__)


class Worker:
    """Runs jobs, several side by side where ``slots`` allow it. Several workers may serve one home: no job is run twice at once.

    The job's process calls `homeroom.jobs.execute` and tells its outcome itself; the worker keeps the lease and records what the
    process could not: that it died. When the worker dies, even by kill -9, the job's processes die with it, and another worker of
    this home takes the job over at once; one on another machine does when the lease has run out.

    Args:
        store: The job table.
        command: Program and arguments that run a claimed job.
        home: Logs go to ``<home>/jobs/<id>/log.txt``.
        job_id: Run only this job; `run` returns when it is over or paused.
        slots: How many jobs may run at once by resource, over all workers of the home; what is not named has no limit.
        side_by_side: Most jobs of this worker at a time.
        env: The whole environment of the job's process; this process's own when omitted.
        lease_s: After the machine of a worker has died its job is free again after this time.
        heartbeat_s: Time between two prolongations of the lease; a few fit in one lease.
        poll_s: Time between two looks for a job.
        cancel_grace_s: Time in which a handler may save and stop by itself before its processes are ended.
        stop_grace_s: Time between SIGTERM and SIGKILL.
        max_log_bytes: What is kept of a job's output; the file may be twice as long.
    """

    def __init__(
        self,
        store: JobStore,
        command: Callable[[Job], Sequence[str]],
        *,
        home: Path,
        job_id: str | None = None,
        slots: Mapping[str, int] | None = None,
        side_by_side: int = 1,
        env: Mapping[str, str] | None = None,
        lease_s: float = 8.0,
        heartbeat_s: float = 2.0,
        poll_s: float = 0.25,
        cancel_grace_s: float = 20.0,
        stop_grace_s: float = 3.0,
        max_log_bytes: int = 2_000_000,
    ) -> None:
        self.worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._store = store
        self._presence = Presence(home)
        self._command = command
        self._home = home
        self._job_id = job_id
        self._slots = dict(slots or {})
        self._side_by_side = side_by_side
        self._env = env
        self._lease_s = lease_s
        self._heartbeat_s = heartbeat_s
        self._poll_s = poll_s
        self._cancel_grace_s = cancel_grace_s
        self._stop_grace_s = stop_grace_s
        self._max_log_bytes = max_log_bytes
        self._dying: tuple[Path, ...] = ()  # folders of jobs whose process was not gone yet when its worker was

    def run(self, stop: threading.Event) -> None:
        """Run jobs until ``stop`` is set, or until the one job is over. A job that runs then goes back to the queue.

        Raises:
            NotFoundError: code ``job-not-found``, when there is no such one job.
            StorageError: the database is damaged; while it is locked, full or out of reach the worker waits. For one job it does
                not wait for room on the disk (``no-space``): somebody waits for the job who can free some.
        """
        running: list[threading.Thread] = []
        with self._presence.announce(self.worker_id) or nullcontext():
            try:
                while not stop.is_set():
                    running = [thread for thread in running if thread.is_alive()]
                    try:
                        job = self._next() if len(running) < self._side_by_side else None
                        if job is None and self._job_id is not None and self._is_over(self._job_id):
                            return
                    except StorageError as error:
                        if error.code == "no-space" and self._job_id is not None:
                            raise
                        self._must_be_transient(error)
                        stop.wait(self._heartbeat_s)  # no reason to complain as often as it looks
                        continue
                    if job is None:
                        stop.wait(self._poll_s)
                    elif self._side_by_side == 1:
                        self._work(job, stop)
                    else:
                        # Its own thread starts and watches the job's process, which dies with the thread that started it.
                        running.append(threading.Thread(target=self._work, args=(job, stop), name=f"job {job.id}"))
                        running[-1].start()
            finally:
                for thread in running:  # each sees that the worker was told to stop
                    thread.join()

    def _is_over(self, job_id: str) -> bool:
        job = self._store.get(job_id)
        return job.done or job.paused

    def _next(self) -> Job | None:
        dead = self._presence.dead()  # looked at first: who dies after the claim may still have a job
        job = self._store.claim(self.worker_id, self._lease_s, self._job_id, is_dead=self._presence.is_dead, slots=self._slots)
        if job is None and self._job_id is None:
            self._presence.forget(dead)
            if dead or self._dying:
                self._dying = forget_dead(self._home.glob("jobs/*") if dead else self._dying)
        return job

    def _work(self, job: Job, stop: threading.Event) -> None:
        try:
            child = self._start(job)
        except HomeroomError as error:
            self._fail(job, error.message, error.code)
            return
        except OSError as error:
            self._fail(job, f"Its process could not be started: {error}. See what is wrong: homeroom doctor", "job-not-started")
            return
        interrupted = True  # also when this thread is interrupted while it watches
        try:
            interrupted = self._watch(job, child, stop)
        finally:
            status = child.terminate(self._stop_grace_s)
            forget_dead([log_path(self._home, job.id).parent])
            trim_log(log_path(self._home, job.id), self._max_log_bytes)
            self._tell(lambda: self._settle(job, status, interrupted))

    def _start(self, job: Job) -> Child:
        path = log_path(self._home, job.id)
        with disk_errors(path):
            make_private_folder(path.parent)
            return spawn(self._command(job), env=self._env, stdout=path)

    def _watch(self, job: Job, child: Child, stop: threading.Event) -> bool:
        """Keep the lease until the process has ended or has to. Returns whether the worker was told to stop."""
        beat_at = time.monotonic() + self._heartbeat_s
        lease_ends_at = time.monotonic() + self._lease_s
        stopping_at: float | None = None
        while child.wait(min(_TICK_S, self._heartbeat_s)) is None:
            if stop.is_set():
                return True
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self._heartbeat_s
                trim_log(log_path(self._home, job.id), self._max_log_bytes)
                try:
                    held = self._store.heartbeat(job.id, job.token, self._lease_s)
                except LeaseLost:
                    return False
                except StorageError as error:
                    self._must_be_transient(error)
                    if now > lease_ends_at:  # another worker may have the job, and its folder, by now
                        return False
                else:
                    lease_ends_at = now + self._lease_s
                    asked = held.cancel_requested or held.pause_requested
                    stopping_at = (stopping_at or now) if asked else None
            if stopping_at is not None and now >= stopping_at + self._cancel_grace_s:
                return False
        return False

    def _settle(self, job: Job, status: int, interrupted: bool) -> None:
        """Record the outcome of a process that did not."""
        held = self._store.held(job.id, job.token)
        if interrupted:
            reason = "Its worker was stopped; it goes on when a worker runs."
            self._store.release(job.id, job.token, reason, died=False)
        elif held.cancel_requested or held.pause_requested:
            self._store.stopped(job.id, job.token)
        elif status < 0 or status == EXIT_NOT_TOLD:
            self._store.release(job.id, job.token, _how_it_died(job, status))
        else:
            words = last_words(log_path(self._home, job.id)) or "it said nothing"
            error = f"Its process ended with status {status} and no result: {words}. See: homeroom jobs logs {job.id}"
            self._store.finish(job.id, job.token, "failed", None, error, error_code="job-crashed")

    def _fail(self, job: Job, error: str, code: str) -> None:
        self._tell(lambda: self._store.finish(job.id, job.token, "failed", None, error, error_code=code))

    def _tell(self, write: Callable[[], object]) -> None:
        """Write to the table what can be told; what cannot shows when the lease runs out."""
        try:
            write()
        except LeaseLost:  # the job's process told the outcome itself, or another worker has the job
            return
        except StorageError as error:
            self._must_be_transient(error)

    def _must_be_transient(self, error: StorageError) -> None:
        if error.code not in TRANSIENT_CODES:
            raise error
        log.warning("%s", error.message)


def _how_it_died(job: Job, status: int) -> str:
    if status == EXIT_NOT_TOLD:
        return f"Its process could not record the outcome. See: homeroom jobs logs {job.id}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    hint = " Most likely the machine ran out of memory: use smaller batches or a smaller model." if name == "SIGKILL" else ""
    return f"Its process was ended by {name}.{hint} See: homeroom jobs logs {job.id}"
