"""A fine-tuning job as a client sees it: what was asked, and how far the job is that does it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from homeroom.storage import Scope
from homeroom.storage.tables import FineTuningJobRow, JobRow

Json = Mapping[str, Any]  # of a row: its keys are this package's
Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
VALIDATING = "validating files"
ORGANIZATION = "homeroom"
# What a job may fail of that its training file is to blame for.
_FILE_CODES = frozenset(
    {
        "beyond-text", "consent", "data", "empty-file", "file-invalid", "no-labels", "prefix-unstable", "template-parity",
        "too-few-examples",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FineTuningJob:
    """One job. Times are Unix seconds.

    Attributes:
        job_id: The job of Homeroom's that does it.
        model: The base as the client named it; ``base`` is the one here that it means.
        request: ``asked`` (a `JobRequest` as plain data), ``hyperparameters`` (resolved), ``seed``, ``examples``.
        estimated_finish: While it runs, once its speed is known.
    """

    id: str
    position: int
    job_id: str
    model: str
    base: str
    training_file: str
    validation_file: str | None
    request: Json
    created_at: float
    scope: Scope
    state: str
    paused: bool
    message: str
    result: Json | None
    error: str
    error_code: str
    finished_at: float | None
    estimated_finish: float | None = None

    @classmethod
    def of(cls, row: FineTuningJobRow, job: JobRow | None, estimated_finish: float | None = None) -> FineTuningJob:
        """From its rows. Without a job it is one whose job was pruned: what it left is known from the models list."""
        return cls(
            id=row.id,
            position=row.position,
            job_id=row.job_id,
            model=row.model,
            base=row.base,
            training_file=row.training_file,
            validation_file=row.validation_file,
            request=row.request,
            created_at=row.created_at,
            scope=Scope(row.workspace_id, row.owner_id),
            state=job.state if job else "failed",
            paused=bool(job and job.paused),
            message=job.message if job else "",
            result=job.result if job else None,
            error=job.error if job else "The record of this job was removed from the queue.",
            error_code=job.error_code if job else "job-not-found",
            finished_at=job.finished_at if job else row.created_at,
            estimated_finish=estimated_finish,
        )

    @property
    def asked(self) -> Json:
        """The checked request."""
        asked: Json = self.request["asked"]
        return asked

    @property
    def done(self) -> bool:
        """Whether its state is final."""
        return self.state in ("succeeded", "failed", "cancelled")

    @property
    def status(self) -> Status:
        """OpenAI's word. It has none for a paused job, which waits: ``queued``."""
        if self.state == "running":
            return "validating_files" if self.message in ("", VALIDATING) else "running"
        states: Mapping[str, Status] = {"succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled"}
        return states.get(self.state, "queued")

    def to_openai(self) -> dict[str, Any]:
        """OpenAI's object ``fine_tuning.job``."""
        method = str(self.asked["method"])
        values = dict(self.request["hyperparameters"])
        result = dict(self.result or {})
        succeeded = self.state == "succeeded"
        return {
            "id": self.id,
            "object": "fine_tuning.job",
            "created_at": int(self.created_at),
            "error": self._error(),
            "fine_tuned_model": result.get("model") if succeeded else None,
            "finished_at": None if self.finished_at is None or not self.done else int(self.finished_at),
            "hyperparameters": {name: value for name, value in values.items() if name != "beta"},
            "model": self.model,
            "organization_id": ORGANIZATION,
            "result_files": list(result.get("result_files", ())) if succeeded else [],
            "status": self.status,
            "trained_tokens": int(result["metrics"]["tokens"]) if succeeded else None,
            "training_file": self.training_file,
            "validation_file": self.validation_file,
            "integrations": self.asked["integrations"],
            "seed": int(self.request["seed"]),
            "estimated_finish": None if self.estimated_finish is None else int(self.estimated_finish),
            "method": {"type": method, method: {"hyperparameters": values}},
            "metadata": self.asked["metadata"],
        }

    def _error(self) -> dict[str, Any] | None:
        if self.state != "failed":
            return None
        code = self.error_code or "job-failed"
        return {
            "code": code.replace("-", "_"),
            "message": self.error,
            "param": "training_file" if code in _FILE_CODES else None,
        }


def new_row(order: Json, job_id: str, position: int) -> FineTuningJobRow:
    """The row of an order: what a job's payload carries of its request."""
    scope = Scope(*order["scope"])
    return FineTuningJobRow(
        id=order["id"],
        position=position,
        job_id=job_id,
        model=order["model"],
        base=order["base"],
        training_file=order["training"]["file"],
        validation_file=order["validation"]["file"] if order["validation"] else None,
        request=order["request"],
        created_at=order.get("created_at") or time.time(),
        **scope.columns(),
    )
