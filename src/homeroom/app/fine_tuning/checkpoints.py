"""Checkpoints of fine-tuning jobs: adapters that can be asked before the job ends. A few of the newest are kept, and the best."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from homeroom.app.fine_tuning.errors import FieldError
from homeroom.app.fine_tuning.paging import Page, cut
from homeroom.errors import NotFoundError
from homeroom.storage import LOCAL, ArtifactStore, Database, Scope
from homeroom.storage.tables import CheckpointRow

KEPT = 3
MARK = ":ckpt-step-"
_METRICS = {
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_accuracy": "valid_mean_token_accuracy",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The adapter of one step. ``base_identity`` says what it belongs to; ``metrics`` are OpenAI's, by their names."""

    id: str
    job_id: str
    step: int
    model_name: str
    artifact: str
    metrics: Mapping[str, Any]
    base_identity: str
    created_at: float

    @property
    def parent(self) -> str:
        """Name of the model that the job will end with."""
        return parent_of(self.model_name)

    def to_openai(self, job_id: str) -> dict[str, object]:
        """OpenAI's object ``fine_tuning.job.checkpoint`` of the fine-tuning job ``job_id``."""
        return {
            "object": "fine_tuning.job.checkpoint",
            "id": self.id,
            "created_at": int(self.created_at),
            "fine_tuned_model_checkpoint": self.model_name,
            "step_number": self.step,
            "metrics": dict(self.metrics),
            "fine_tuning_job_id": job_id,
        }


def is_checkpoint(name: str) -> bool:
    """Whether a model's name is that of a checkpoint."""
    return MARK in name


def parent_of(name: str) -> str:
    """The model that a checkpoint's name belongs to."""
    return name.partition(MARK)[0]


class CheckpointStore:
    """The checkpoints of one scope. Thread-safe."""

    def __init__(self, database: Database, artifacts: ArtifactStore, *, scope: Scope = LOCAL) -> None:
        self._database, self._artifacts, self._scope = database, artifacts, scope

    def has(self, job_id: str, step: int) -> bool:
        """Whether the step was recorded, or was and has made room for later ones."""
        with self._database.read() as session:
            newest = session.scalar(
                select(CheckpointRow.step).filter_by(job_id=job_id).order_by(CheckpointRow.step.desc()).limit(1)
            )
        return newest is not None and newest >= step

    def add(
        self,
        job_id: str,
        model_name: str,
        step: int,
        artifact: str,
        numbers: Mapping[str, Any],  # a row of a run's history
        *,
        base_identity: str,
        best: bool,
    ) -> Checkpoint:
        """Record a checkpoint whose artifact is whole; the second time nothing changes. Older ones make room.

        Args:
            job_id: The job of Homeroom's.
            model_name: Of the model that the run will end with.
            step: Steps done.
            artifact: Its adapter.
            numbers: The step's line of the run's history.
            base_identity: Of the base that the adapter belongs to.
            best: Whether no earlier step had a lower validation loss: such a one stays until a better one comes.
        """
        metrics = {"step": step} | {name: numbers[key] for key, name in _METRICS.items() if numbers.get(key) is not None}
        with self._database.write() as session:
            row = session.scalar(select(CheckpointRow).filter_by(job_id=job_id, step=step))
            if row is None:
                row = CheckpointRow(
                    id=f"ftckpt-{hashlib.sha256(f'{job_id} {step}'.encode()).hexdigest()[:24]}",
                    job_id=job_id,
                    step=step,
                    model_name=f"{model_name}{MARK}{step}",
                    artifact=artifact,
                    metrics={"openai": metrics, "base_identity": base_identity, "best": best},
                    created_at=time.time(),
                    **self._scope.columns(),
                )
                session.add(row)
                session.flush()
            gone = self._make_room(session, job_id)
            found = _checkpoint(row)
        self._remove(gone)
        return found

    def page(self, job_id: str, *, after: str | None = None, limit: int = 10) -> Page[Checkpoint]:
        """A page of a job's checkpoints, newest first.

        Raises:
            FieldError: the job has no checkpoint ``after``.
        """
        query = select(CheckpointRow).filter_by(job_id=job_id, **self._scope.columns()).order_by(CheckpointRow.step.desc())
        with self._database.read() as session:
            if after is not None:
                step = session.scalar(select(CheckpointRow.step).filter_by(id=after, job_id=job_id))
                if step is None:
                    raise FieldError(f"The job has no checkpoint {after[:80]!r} to go on after", param="after")
                query = query.where(CheckpointRow.step < step)
            return cut([_checkpoint(row) for row in session.scalars(query.limit(limit + 1))], limit)

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint of that name."""
        with self._database.read() as session:
            row = session.scalar(select(CheckpointRow).filter_by(model_name=name, **self._scope.columns()))
            return None if row is None else _checkpoint(row)

    def all(self) -> list[Checkpoint]:
        """Every checkpoint, newest first."""
        query = select(CheckpointRow).filter_by(**self._scope.columns()).order_by(CheckpointRow.created_at.desc())
        with self._database.read() as session:
            return [_checkpoint(row) for row in session.scalars(query)]

    def forget(self, model_name: str) -> None:
        """Remove the checkpoints of a model: when it is deleted."""
        with self._database.write() as session:
            rows = [row for row in session.scalars(select(CheckpointRow)) if parent_of(row.model_name) == model_name]
            for row in rows:
                session.delete(row)
        self._remove([row.artifact for row in rows])

    def _make_room(self, session: Session, job_id: str) -> list[str]:
        """Delete what is neither among the newest nor the best; the artifacts that are now nobody's."""
        rows = list(session.scalars(select(CheckpointRow).filter_by(job_id=job_id).order_by(CheckpointRow.step.desc())))
        best = next((row for row in rows if row.metrics.get("best")), None)
        gone = [row for row in rows[KEPT:] if row is not best]
        for row in gone:
            session.delete(row)
        return [row.artifact for row in gone]

    def _remove(self, artifacts: list[str]) -> None:
        for artifact in artifacts:
            with suppress(NotFoundError):
                self._artifacts.delete(artifact)


def _checkpoint(row: CheckpointRow) -> Checkpoint:
    return Checkpoint(
        id=row.id,
        job_id=row.job_id,
        step=row.step,
        model_name=row.model_name,
        artifact=row.artifact,
        metrics=row.metrics["openai"],
        base_identity=row.metrics["base_identity"],
        created_at=row.created_at,
    )
