"""Submitting jobs, and waiting for one: the command line runs what it asked for itself unless a server's worker is quicker."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from homeroom.errors import JobFailed, StorageError
from homeroom.jobs.worker import Worker
from homeroom.schema.jobs import Job, JobEvent
from homeroom.storage.errors import STORAGE_CODES
from homeroom.storage.tables import FineTuningJobRow

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

POLL_S = 0.25
AGREED = "agreed.json"  # in a job's folder: what it may cost
MOST_JOBS = 1000  # that are looked through for an earlier one of the same work


def job_command(job: Job) -> Sequence[str]:
    """What a worker starts for a claimed job."""
    return [sys.executable, "-m", "homeroom.app.run_job", job.id, str(job.token)]


def child_environment(home: Homeroom) -> dict[str, str]:
    """This process's environment with its home, cache and base named, so that flags reach children."""
    settings = home.settings
    named = {
        "HOMEROOM_HOME": str(settings.home),
        "HOMEROOM_CACHE": str(settings.cache),
        "HOMEROOM_DEFAULT_BASE": settings.default_base,
    }
    return {**os.environ, **named}


def make_worker(home: Homeroom, job_id: str | None = None) -> Worker:
    """A worker over this home, for every job or for one. It keeps to the slots of the settings, together with all others."""
    settings = home.settings
    slots = {"cpu": settings.slots_cpu, "gpu": settings.slots_gpu, "api": settings.slots_api}
    return Worker(
        home.jobs,
        job_command,
        home=settings.home,
        job_id=job_id,
        slots=slots,
        side_by_side=1 if job_id else sum(slots.values()),
        env=child_environment(home),
    )


def key_of(parts: Mapping[str, Any]) -> str:  # any JSON: the key is its hash
    """An idempotency key: the same parts give the same job."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


# What cannot be continued: the folder of such a job holds another run than the one that is asked for.
_START_ANEW = frozenset({"resume-mismatch"})
_MAKES_MODELS = frozenset({"tune", "sweep"})


@dataclass(frozen=True, slots=True)
class When:
    """When a job may run.

    Attributes:
        priority: Of two jobs that could run now the one with the higher number does.
        not_before: Unix time; None is at once.
        after: Ids of jobs that must succeed first.
    """

    priority: int = 0
    not_before: float | None = None
    after: tuple[str, ...] = ()


NOW = When()


def submit_once(
    home: Homeroom,
    kind: str,
    payload: Mapping[str, Any],
    key: str,
    *,
    resource: str = "cpu",
    when: When = NOW,
    remakes: bool = True,
) -> Job:
    """The job of this key. One that failed or was cancelled is queued again and goes on from what it had saved.

    Where that is of no use, because its folder holds another run or what it made was deleted, a new job is made.

    Args:
        home: The open home.
        kind: Which handler runs it.
        payload: What the handler gets.
        key: See `key_of`.
        resource: What it needs a slot of: ``cpu``, ``gpu`` or ``api``.
        when: When it may run; of a job that is there already nothing changes.
        remakes: Whether models that were deleted since are made again.
    """
    attempt = 0
    while True:
        job = home.jobs.submit(
            kind,
            dict(payload),
            idempotency_key=f"{key}-{attempt}" if attempt else key,
            resource=resource,
            priority=when.priority,
            not_before=when.not_before,
            depends_on=when.after,
        )
        if job.state in ("failed", "cancelled"):
            if job.error_code not in _START_ANEW:
                return asked_again(home, job.id)
        elif not (remakes and is_gone(home, job)):
            return job
        attempt += 1


def asked_again(home: Homeroom, job_id: str) -> Job:
    """Queue a job that failed or was cancelled again: what somebody agreed to now is its limit, and no longer what was before."""
    (work_folder(home, job_id) / AGREED).unlink(missing_ok=True)
    return home.jobs.retry(job_id)


def work_folder(home: Homeroom, job_id: str) -> Path:
    """What the attempts at a job keep for one another."""
    return home.work_root / job_id / "work"


def is_gone(home: Homeroom, job: Job) -> bool:
    """Whether a job made models, and all of them were deleted since."""
    result = job.result or {}
    made = result.get("models") or [result.get("model")]
    return job.kind in _MAKES_MODELS and job.state == "succeeded" and not any_there(home, made)


def any_there(home: Homeroom, names: Iterable[str | None]) -> bool:
    """Whether one of the models still is."""
    return not {model.name for model in home.registry.list()}.isdisjoint(names)


def prune(home: Homeroom, before: float) -> tuple[str, ...]:
    """Forget jobs that ended before a Unix time, with their folders.

    Those behind a model or a job of the API stay, and those that know what lies at an endpoint.
    """
    from homeroom.app.openai_left import left_there

    with home.database.read() as session:
        ordered = set(session.scalars(select(FineTuningJobRow.job_id)))  # the API lists them for as long as they are there
    kept = {model.job_id for model in home.registry.list()} | ordered | {left.job.id for left in left_there(home)}
    gone = home.jobs.prune(before, kept)
    for job_id in gone:
        shutil.rmtree(home.work_root / job_id, ignore_errors=True)
    return gone


@contextmanager
def running_worker(worker: Worker) -> Iterator[Sequence[StorageError]]:
    """The worker at work in a thread of its own; in the list stands why it gave up, once it did."""
    stop = threading.Event()
    gave_up: list[StorageError] = []

    def run() -> None:
        try:
            worker.run(stop)
        except StorageError as error:
            gave_up.append(error)

    thread = threading.Thread(target=run, name="homeroom-worker", daemon=True)
    thread.start()
    try:
        yield gave_up
    finally:
        stop.set()
        thread.join()


Watcher = Callable[[Job, Sequence[JobEvent]], None]


def wait_for(home: Homeroom, job_id: str, watch: Watcher | None = None) -> Job:
    """Run the job here unless another worker does, and return it when it is done.

    Args:
        home: The open home.
        job_id: What to wait for.
        watch: Called with the job and its new events, about four times a second.

    Raises:
        JobFailed: it failed, was cancelled or paused; the message says why.
        StorageError: the disk or the database refused what it had to write.
        KeyboardInterrupt: passed on after the job's process has ended; what it had saved is kept.
    """
    seen = 0
    pause = threading.Event()
    with running_worker(make_worker(home, job_id)) as gave_up:
        while True:
            job = home.jobs.get(job_id)
            events = home.jobs.events(job_id, after=seen)
            seen = events[-1].seq if events else seen
            if watch is not None:
                watch(job, events)
            if job.done or job.paused:
                break
            if gave_up:
                raise gave_up[0]
            pause.wait(POLL_S)
    if job.paused:
        raise JobFailed(f"Job {job.id} ({job.kind}) is paused. Go on with it: homeroom jobs resume {job.id}", job_id=job.id)
    if job.error_code in STORAGE_CODES:  # the person's to mend, as if the command itself had met it
        raise StorageError(job.error, code=job.error_code)
    if job.state != "succeeded":
        reason = job.error or ("it was cancelled" if job.state == "cancelled" else "no reason was recorded")
        hint = "" if "homeroom " in reason else f" See: homeroom jobs logs {job.id}"
        raise JobFailed(f"Job {job.id} ({job.kind}) did not succeed: {reason}{hint}", job_id=job.id)
    return job
