"""Fine-tuning jobs: made once, each done by one job of Homeroom's queue, whose state is theirs."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from homeroom.app.fine_tuning.bases import Bases
from homeroom.app.fine_tuning.checkpoints import Checkpoint, CheckpointStore
from homeroom.app.fine_tuning.errors import FieldError, MissingError
from homeroom.app.fine_tuning.events import Event, events_of
from homeroom.app.fine_tuning.files import FileStore, StoredFile
from homeroom.app.fine_tuning.hyperparameters import check_rate, resolve
from homeroom.app.fine_tuning.paging import Page, cut
from homeroom.app.fine_tuning.records import FineTuningJob, Json, new_row
from homeroom.app.fine_tuning.request import MAX_SEED, JobRequest
from homeroom.errors import ConflictError
from homeroom.jobs.store import JobStore
from homeroom.runtime.hardware import hardware
from homeroom.schema.jobs import Job
from homeroom.storage import LOCAL, Database, Scope
from homeroom.storage.tables import FineTuningJobRow, JobEventRow, JobRow

ORDER = "fine_tuning"
"""Key of a ``tune`` job's payload that says what was ordered through the API."""
MAX_IDEMPOTENCY_KEY = 255
_ROWS = 100
_KINDS = {"supervised": "chat", "dpo": "preference"}


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """Which jobs to list: those with all these pairs, or (``pairs`` None) those without metadata."""

    pairs: Mapping[str, str] | None

    def allows(self, metadata: Mapping[str, str] | None) -> bool:
        """Whether a job with that metadata is listed."""
        if self.pairs is None:
            return not metadata
        return all((metadata or {}).get(key) == value for key, value in self.pairs.items())


class FineTuningJobs:
    """The fine-tuning jobs of one scope. Thread-safe.

    Args:
        database: Where their rows are.
        files: Their training files.
        checkpoints: What they have saved for use.
        bases: What they may train.
        scope: Whose they are.
    """

    def __init__(
        self, database: Database, files: FileStore, checkpoints: CheckpointStore, bases: Bases, *, scope: Scope = LOCAL
    ) -> None:
        self._database, self._files, self._bases, self._scope = database, files, bases, scope
        self._checkpoints = checkpoints
        self._jobs = JobStore(database, scope=scope)

    def create(self, asked: JobRequest, *, idempotency_key: str | None = None) -> FineTuningJob:
        """Order a job. It is on the disk when this returns.

        Args:
            asked: The checked request.
            idempotency_key: A second request with the same key gives the first one's job.

        Raises:
            MissingError: ``model-not-found``, ``file-unknown``.
            FieldError: a file is of another kind than the method takes; the learning rate is out of reach.
            ConflictError: ``idempotency-key-reused``: the key came with another request before.
        """
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= MAX_IDEMPOTENCY_KEY:
            raise FieldError(f"'Idempotency-Key' has {len(idempotency_key)} characters; 1 to {MAX_IDEMPOTENCY_KEY} are allowed")
        token = secrets.token_hex(12) if idempotency_key is None else self._digest(idempotency_key)
        known = self._known(f"ftjob-{token}", asked)
        if known is not None:
            return known
        order, identity = self._order(token, asked)
        payload = {"base_identity": identity, ORDER: order}
        resource = "gpu" if hardware().gpu is not None else "cpu"
        job = self._jobs.submit("tune", payload, idempotency_key=f"ftjob-{token}", resource=resource)
        return self._record(order, job)

    def get(self, job_id: str) -> FineTuningJob:
        """One job as it is now.

        Raises:
            MissingError: ``job-unknown``.
        """
        with self._database.read() as session:
            return self._found(session, job_id)

    def list(self, *, after: str | None = None, limit: int = 20, metadata: MetadataFilter | None = None) -> Page[FineTuningJob]:
        """A page of jobs, newest first.

        Raises:
            FieldError: there is no job ``after``.
        """
        with self._database.read() as session:
            query = self._query().order_by(FineTuningJobRow.position.desc())
            if after is not None:
                last = session.scalar(self._mine(after))
                if last is None:
                    raise FieldError(f"There is no job {after!r} to go on after. List them without 'after'", param="after")
                query = query.where(FineTuningJobRow.position < last.position)
            found: list[FineTuningJob] = []
            for job in self._read(session, query):
                if metadata is None or metadata.allows(job.asked["metadata"]):
                    found.append(job)
                if len(found) > limit:
                    break
            return cut(found, limit)

    def cancel(self, job_id: str) -> FineTuningJob:
        """Cancel a job in any state but the final ones; one that was cancelled stays so.

        Raises:
            MissingError: ``job-unknown``.
            FieldError: ``job-finished``.
        """
        return self._change(job_id, self._jobs.request_cancel)

    def pause(self, job_id: str) -> FineTuningJob:
        """Have a job wait, with what it has done saved, until it is resumed.

        Raises:
            MissingError: ``job-unknown``.
            FieldError: ``job-finished``.
        """
        return self._change(job_id, self._jobs.pause)

    def resume(self, job_id: str) -> FineTuningJob:
        """Let a paused job go on.

        Raises:
            MissingError: ``job-unknown``.
            FieldError: ``job-finished``.
        """
        return self._change(job_id, self._jobs.resume)

    def events(self, job_id: str, *, after: str | None = None, limit: int = 20) -> Page[Event]:
        """A page of what a job said, newest first.

        Raises:
            MissingError: ``job-unknown``.
            FieldError: the job has no event ``after``.
        """
        return events_of(self._database, self.get(job_id), after=after, limit=limit)

    def checkpoints(self, job_id: str, *, after: str | None = None, limit: int = 10) -> tuple[FineTuningJob, Page[Checkpoint]]:
        """A job with a page of its checkpoints, newest first.

        Raises:
            MissingError: ``job-unknown``.
            FieldError: the job has no checkpoint ``after``.
        """
        job = self.get(job_id)
        return job, self._checkpoints.page(job.job_id, after=after, limit=limit)

    def record(self, order: Json, job: Job) -> None:
        """Called by a job when it begins: its row, if the process that ordered it died before it was written."""
        with self._database.write() as session:
            if session.get(FineTuningJobRow, order["id"]) is None:
                session.add(new_row(order, job.id, self._next_position(session)))

    def _change(self, job_id: str, change: Callable[[str], Job]) -> FineTuningJob:
        job = self.get(job_id)
        try:
            change(job.job_id)
        except ConflictError as error:
            raise FieldError(f"The job {job_id!r} is {job.status}. {error.message}", code=error.code) from error
        return self.get(job_id)

    def _digest(self, key: str) -> str:
        text = "\0".join((self._scope.workspace_id, self._scope.owner_id, key))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    def _known(self, job_id: str, asked: JobRequest) -> FineTuningJob | None:
        """The job that was made with this id before."""
        with self._database.read() as session:
            row = session.scalar(self._mine(job_id))
            job = None if row is None else self._found(session, job_id)
        if job is not None and job.asked != asked.to_dict():
            raise ConflictError(
                f"This Idempotency-Key came before, with another request, and made the job {job_id!r}. Use a new key",
                code="idempotency-key-reused",
            )
        return job

    def _order(self, token: str, asked: JobRequest) -> tuple[dict[str, Any], str]:
        """What the job's process needs to know, and the base's identity."""
        base = self._bases.find(asked.model)
        training, examples = self._training(asked.training_file, "training_file", asked)
        validation = None
        if asked.validation_file is not None:
            if asked.validation_file == asked.training_file:
                raise FieldError("'validation_file' is the training file itself: give examples that are not trained on",
                                 param="validation_file")  # fmt: skip
            validation, _ = self._training(asked.validation_file, "validation_file", asked)
        values = resolve(asked, examples)
        check_rate(asked, values, base.parameters_m)
        seed = asked.seed if asked.seed is not None else int(token[:12], 16) % (MAX_SEED + 1)
        request = {"asked": asked.to_dict(), "hyperparameters": values.to_dict(), "seed": seed, "examples": examples}
        order = {
            "id": f"ftjob-{token}",
            "scope": [self._scope.workspace_id, self._scope.owner_id],
            "model": asked.model,
            "base": base.name,
            "parameters_m": base.parameters_m,
            "training": {"file": training.id, "artifact": training.artifact},
            "validation": None if validation is None else {"file": validation.id, "artifact": validation.artifact},
            "request": request,
        }
        return order, base.identity

    def _training(self, file_id: str, param: str, asked: JobRequest) -> tuple[StoredFile, int]:
        try:
            file = self._files.get(file_id)
            facts = self._files.facts(file)
        except (MissingError, FieldError) as error:
            error.param = param
            raise
        if facts.kind != _KINDS[asked.method]:
            raise FieldError(
                f"{file_id!r} holds {facts.kind} lines, and the method {asked.method!r} takes {_KINDS[asked.method]} lines",
                param=param,
                code="file-kind",
            )
        return file, facts.examples

    def _record(self, order: dict[str, Any], job: Job) -> FineTuningJob:
        """The row of a job that was submitted, unless one of its files was deleted a moment ago."""
        gone = None
        with self._database.write() as session:
            known = session.get(FineTuningJobRow, order["id"])
            if known is None:
                order = {**order, "created_at": time.time()}
                session.add(new_row(order, job.id, self._next_position(session)))
                session.flush()
                gone = self._files.missing(session, [file["file"] for file in (order["training"], order["validation"]) if file])
        if gone is not None:
            self._jobs.request_cancel(job.id)
            raise MissingError(f"No such File object: {gone}", param="training_file", code="file-unknown")
        return self.get(order["id"])

    def _next_position(self, session: Session) -> int:
        return (session.scalar(select(func.max(FineTuningJobRow.position))) or 0) + 1

    def _mine(self, job_id: str) -> Select[FineTuningJobRow]:
        return select(FineTuningJobRow).filter_by(id=job_id, **self._scope.columns())

    def _query(self) -> Select[FineTuningJobRow, JobRow]:
        mine = (
            FineTuningJobRow.workspace_id == self._scope.workspace_id,
            FineTuningJobRow.owner_id == self._scope.owner_id,
        )
        return select(FineTuningJobRow, JobRow).outerjoin(JobRow, JobRow.id == FineTuningJobRow.job_id).where(*mine)

    def _found(self, session: Session, job_id: str) -> FineTuningJob:
        job = next(self._read(session, self._query().where(FineTuningJobRow.id == job_id)), None)
        if job is None:
            raise MissingError(
                f"Could not find fine tune: {job_id[:80]}. List them: GET /v1/fine_tuning/jobs",
                param="fine_tuning_job_id",
                code="job-unknown",
            )
        return job

    def _read(self, session: Session, query: Select[FineTuningJobRow, JobRow]) -> Iterator[FineTuningJob]:
        for row, job in session.execute(query.execution_options(yield_per=_ROWS)):
            finish = _estimated_finish(session, job.id) if job is not None and job.state == "running" else None
            yield FineTuningJob.of(row, job, finish)


def _estimated_finish(session: Session, job_id: str) -> float | None:
    """When the last step said that the run would end."""
    query = select(JobEventRow).filter_by(job_id=job_id, type="metrics").order_by(JobEventRow.seq.desc()).limit(1)
    event = session.scalar(query)
    left = event.data.get("seconds_left") if event is not None else None
    return None if event is None or left is None else event.created_at + float(left)
