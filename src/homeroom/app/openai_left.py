"""What runs of the method ``openai`` have left at endpoints: jobs that were given up and may go on there, and uploaded files.

Both are found from the folders of the runs, so nothing is forgotten by a process that dies or an endpoint that is away. What is
due becomes a job of its own (kind ``tidy``): when a run is cancelled, when a tune command runs, and now and then under a server.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from homeroom.app.openai_here import NAME
from homeroom.app.work import NOW, When, key_of, submit_once
from homeroom.errors import ConflictError, HomeroomError, NotFoundError
from homeroom.schema.jobs import Job
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.state import RunState

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

KIND = "tidy"
EVERY_S = 300.0
ENDS_ITSELF_S = 60.0
"""So long a running job is given to end what it began; then another looks after it."""
DAY_S = 86_400.0
_MANY = 100_000
log = logging.getLogger(__name__)
What = Literal["end", "delete"]


@dataclass(frozen=True, slots=True)
class Left:
    """What one run has left there.

    Attributes:
        job: The run's.
        run: Its name.
        endpoint: Where.
        files: Ids of what was uploaded.
        perhaps: How many more files may lie there: sent, and never confirmed.
        unfinished: Whether a job of it may go on there.
        unsettled: Whether one may, or money is held for one that was never asked for.
        delete_at: Unix time from which the files are to go; None while it runs, and where nothing says that they should.
        deletes: Whether they are to go when its jobs there are over.
    """

    job: Job
    run: str
    endpoint: str
    files: tuple[str, ...]
    perhaps: int
    unfinished: bool
    unsettled: bool
    delete_at: float | None
    deletes: bool

    @property
    def uploaded(self) -> bool:
        """Whether a file of it lies there, or may."""
        return bool(self.files or self.perhaps)


def left_there(home: Homeroom) -> list[Left]:
    """What every run has left, newest first."""
    return [found for job in home.jobs.list(kind="tune", limit=_MANY) if (found := left_by(home, job)) is not None]


def left_by(home: Homeroom, job: Job) -> Left | None:
    """What a run has left; None where it left nothing, or is none of this method."""
    about = job.payload.get("recipe")
    if not isinstance(about, dict) or about.get("method") != "openai":
        return None
    state = RunState.read(home.work_root / job.id / "work")
    if state is None or not (state.files or state.perhaps or state.unsettled):
        return None
    recipe = OpenAIRecipe.model_validate(about)
    endpoint, slash, _ = recipe.base.partition("/")
    return Left(
        job,
        recipe.name,
        endpoint if slash else NAME,
        tuple(state.files),
        state.perhaps,
        state.unfinished,
        state.unsettled,
        _delete_at(home, job, recipe, state),
        recipe.delete_files,
    )


def _delete_at(home: Homeroom, job: Job, recipe: OpenAIRecipe, state: RunState) -> float | None:
    days = home.settings.remote_files_days
    if not job.done or not (state.files or state.perhaps):
        return None
    if recipe.delete_files and not state.unfinished:
        return job.finished_at
    return (job.finished_at or 0.0) + days * DAY_S if days else None


def submit_due(home: Homeroom) -> list[Job]:
    """Queue what is due: the end of jobs whose run was given up, and the deletion of files."""
    now = time.time()
    jobs = []
    for left in left_there(home):
        if left.unsettled and (left.job.state == "cancelled" or (left.job.state == "failed" and _was_given_up(home, left.job))):
            jobs.append(_submit(home, left.job, "end"))
        elif left.delete_at is not None and left.delete_at <= now:
            jobs.append(_submit(home, left.job, "delete"))
    return [job for job in jobs if not job.done]


def submit_deletion(home: Homeroom, job_id: str) -> Job:
    """Queue the deletion of what a run has uploaded.

    Raises:
        NotFoundError: ``job-not-found``; ``no-remote-files``: it has no file there.
        ConflictError: ``remote-files-in-use``: it is not over.
    """
    job = home.jobs.get(job_id)
    left = left_by(home, job)
    if left is None or not left.uploaded:
        raise NotFoundError(
            f"The job {job_id!r} has no file at an endpoint. See which have: homeroom tune files", code="no-remote-files"
        )
    if not job.done:
        raise ConflictError(
            f"The job {job_id!r} is {job.status} and needs its files. Wait for it, or: homeroom jobs cancel {job_id}",
            code="remote-files-in-use",
        )
    return _submit(home, job, "delete")


def cancel_job(home: Homeroom, job_id: str) -> tuple[Job, Job | None]:
    """Cancel a job, and what it began at an endpoint: the job, and the one that sees to the rest where there may be some.

    A job that runs ends by itself what it began. The other one then finds nothing to do, unless that failed. A job that failed
    stays so, and what it began is ended: the same command would have gone on with it.

    Raises:
        NotFoundError: ``job-not-found``.
        ConflictError: ``job-finished``, when it succeeded before, or failed and left nothing that goes on.
    """
    try:
        job = home.jobs.request_cancel(job_id)
    except ConflictError:
        job = home.jobs.get(job_id)
        left = left_by(home, job) if job.state == "failed" else None
        if left is None or not left.unsettled:
            raise
    left = left_by(home, job)
    if left is None or not left.unsettled:
        return job, None
    return job, _submit(home, job, "end", NOW if job.done else When(not_before=time.time() + ENDS_ITSELF_S))


def is_given_up(run: Job, end: Job) -> bool:
    """Whether the jobs of a run are to end, as the job ``end`` says: it was cancelled, or failed and was not taken up again."""
    return run.state == "cancelled" or (run.state == "failed" and run.token == end.payload["token"])


def _was_given_up(home: Homeroom, run: Job) -> bool:
    """Whether somebody cancelled a run after it had failed."""
    about = _about(run, "end")
    return any(job.payload == about for job in home.jobs.list(kind=KIND, limit=_MANY))


def _about(job: Job, what: What) -> dict[str, str | int]:
    return {"job": job.id, "what": what, "token": job.token}  # the token: a run that was taken up again may leave something anew


def _submit(home: Homeroom, job: Job, what: What, when: When = NOW) -> Job:
    """The job that does it; one that failed is tried again."""
    about = _about(job, what)
    return submit_once(home, KIND, about, key_of({"kind": KIND, **about}), resource="api", when=when)


@contextmanager
def tidying(home: Homeroom) -> Iterator[None]:
    """Within it a thread of this process queues what is due, now and every few minutes."""
    stop = threading.Event()

    def run() -> None:
        while True:
            try:
                submit_due(home)
            except (
                HomeroomError,
                OSError,
                ValueError,
            ) as error:  # a full disk, a locked database, an old run: it must outlive it
                log.warning("what runs left at endpoints: %s", error)
            if stop.wait(EVERY_S):
                return

    thread = threading.Thread(target=run, name="tidying", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
