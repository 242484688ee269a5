"""What a job's own process does: run the handler, tell the job table how it went."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from homeroom.errors import HomeroomError, ProviderTimeoutError, RateLimitError, StorageError
from homeroom.jobs.store import JobStore, LeaseLost
from homeroom.schema.jobs import Handler, Job, JobCancelled, JobState
from homeroom.storage.errors import TRANSIENT_CODES, disk_errors
from homeroom.storage.files import make_private_folder
from homeroom.storage.held import Held, hold

EXIT_TOLD = 0
EXIT_NOT_TOLD = 75  # the outcome could not be written: run the job again (EX_TEMPFAIL of sysexits.h)
EXIT_LEASE_LOST = 76

_KEPT_WRITES = 1000
_PASSING = (RateLimitError, ProviderTimeoutError)
MARK = "running.lock"  # in a job's folder: held by its process
_PREDECESSOR_S = 30.0
log = logging.getLogger(__name__)


def execute(store: JobStore, job_id: str, token: int, handlers: Mapping[str, Handler], work_root: Path) -> int:
    """Run the claimed job with the handler of its kind.

    What the handler returns is the job's result. A `HomeroomError` it raises ends the job as failed, with message and code,
    unless an endpoint asked to slow down or was too slow: then the job is tried again after a pause. `JobCancelled` ends or
    pauses it, as was asked. Any other exception is a bug: it passes, ends the process, and the worker records it.

    Args:
        store: The job table.
        job_id: The job.
        token: Of the claim.
        handlers: Handler by kind.
        work_root: The job's durable folder is ``<work_root>/<job_id>/work``; the next attempt finds what this one left.

    Returns:
        Exit status for the process: 0 when the outcome is in the table, whatever it is.
    """
    try:
        job = store.held(job_id, token)
        with _sole(work_root / job_id):
            context = RunningJob(store, job, work_root / job_id / "work")
            state, result, error = _run(context, handlers)
        context.flush()
        _tell(store, job, state, result, error)
    except LeaseLost:
        log.warning("job %s: another worker has it now", job_id)
        return EXIT_LEASE_LOST
    except StorageError as problem:
        log.error("job %s: its outcome could not be recorded: %s", job_id, problem.message)
        return EXIT_NOT_TOLD
    return EXIT_TOLD


def _tell(store: JobStore, job: Job, state: JobState, result: Mapping[str, Any] | None, error: HomeroomError | None) -> None:
    """Write the outcome: over, paused, or to be tried again because an endpoint asked to wait."""
    if state == "cancelled":
        store.stopped(job.id, job.token)
    elif isinstance(error, _PASSING) and store.held(job.id, job.token).deaths + 1 < job.max_attempts:
        asked = error.retry_after_s
        store.release(job.id, job.token, f"{error.message} It is tried again by itself.", delay_s=asked)
    else:
        told = (error.message, error.code) if error else ("", "")
        store.finish(job.id, job.token, state, result, told[0], error_code=told[1])


def _run(
    context: RunningJob, handlers: Mapping[str, Handler]
) -> tuple[JobState, Mapping[str, Any] | None, HomeroomError | None]:  # a result's keys are its handler's
    job = context.job
    handler = handlers.get(job.kind)
    if handler is None:
        message = f"No handler is known for jobs of kind {job.kind!r}; known: {', '.join(sorted(handlers)) or 'none'}. "
        return "failed", None, HomeroomError(message + "Was it submitted by a newer version?", code="job-kind-unknown")
    try:
        with disk_errors(context.work_dir):
            make_private_folder(context.work_dir)
        return "succeeded", handler(context), None
    except LeaseLost:
        raise
    except JobCancelled:
        return "cancelled", None, None
    except HomeroomError as error:
        return "failed", None, error


def forget_dead(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Remove what processes that were killed left in the folders of their jobs: the marks that nobody holds.

    Returns:
        The folders whose mark is still held: by a process that lives, or by one that takes a moment longer to die.
    """
    held: list[Path] = []
    for folder in folders:
        with suppress(OSError):
            if (folder / MARK).exists():
                mark = hold(folder / MARK)
                held += [] if mark else [folder]
                if mark is not None:
                    mark.release()
    return tuple(held)


@contextmanager
def _sole(folder: Path) -> Iterator[None]:
    """Be the only process in the job's folder.

    The process of an earlier attempt may live a moment longer than its worker. One that does not die, because somebody stopped it
    in a debugger, is not waited for: it has lost its lease and finds that out at its next step.
    """
    mark: Held | None = None
    with suppress(OSError):  # no room for a mark: the lease alone keeps others out
        make_private_folder(folder)
        deadline = time.monotonic() + _PREDECESSOR_S
        while (mark := hold(folder / MARK)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
    with mark or nullcontext():
        yield


class RunningJob:
    """The `JobContext` of a job's process.

    A database that is locked, full or out of reach for a moment must not end hours of work: reports wait here (the newest
    thousand) and go out with the next one. Thread-safe: requests that run side by side report side by side.
    """

    def __init__(self, store: JobStore, job: Job, work_dir: Path) -> None:
        self.job = job
        self.work_dir = work_dir
        self._store = store
        self._waiting: deque[Callable[[], object]] = deque(maxlen=_KEPT_WRITES)
        self._kept = dict(job.kept)
        self._writing = threading.Lock()
        self._stop = False

    def saved(self, mark: int, of: str = "") -> None:
        """See `homeroom.schema.jobs.Reporter`."""
        if mark > self._kept.get(of, 0):
            self._kept[of] = mark
            self._send(lambda: self._store.saved(self.job.id, self.job.token, mark, of))

    def progress(self, fraction: float, message: str) -> None:
        """See `homeroom.schema.jobs.Reporter`."""
        self._send(lambda: self._store.progress(self.job.id, self.job.token, fraction, message))

    def event(
        self,
        message: str,
        *,
        level: str = "info",
        type: str = "message",
        data: Mapping[str, Any] | None = None,  # keys are the handler's
    ) -> None:
        """See `homeroom.schema.jobs.Reporter`."""
        kept = dict(data or {})
        self._send(lambda: self._store.event(self.job.id, self.job.token, message, level=level, type=type, data=kept))

    def should_stop(self) -> bool:
        """See `homeroom.schema.jobs.Reporter`.

        Raises:
            LeaseLost: another worker has the job and its folder: let this pass, and write nothing any more.
        """
        try:
            held = self._store.held(self.job.id, self.job.token)
            self._stop = held.cancel_requested or held.pause_requested
        except StorageError as error:
            if error.code not in TRANSIENT_CODES:
                raise
        return self._stop

    def flush(self) -> None:
        """Write the reports that wait."""
        with self._writing:
            while self._waiting:
                self._waiting[0]()
                self._waiting.popleft()

    def _send(self, write: Callable[[], object]) -> None:
        self._waiting.append(write)
        try:
            self.flush()
        except StorageError as error:
            if error.code not in TRANSIENT_CODES:
                raise
            log.warning("job %s: %s; %d reports wait", self.job.id, error.message, len(self._waiting))
