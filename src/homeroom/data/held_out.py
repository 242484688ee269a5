"""What has been looked at: every opening of a test split, and examples that a probe was judged on and nobody uses again.

A score on held-out examples is worth less each time somebody looks at it and then changes something. So openings are counted, and
the count stands beside the score. A probe opens no test split: it sets training examples aside, and those are used up by it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from homeroom.storage.database import Database
from homeroom.storage.scope import LOCAL, Scope
from homeroom.storage.tables import OpeningRow, SetAsideRow


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at a test split.

    Attributes:
        job_id: What looked.
        dataset: Id of the version.
        task: Whose examples.
        number: Which opening it was for this task, from 1, of this version and of others that share test examples with it.
        total: How often the version was opened by now, for any task.
        models: What was scored.
        created_at: Unix time.
    """

    job_id: str
    dataset: str
    task: str
    number: int
    total: int
    models: tuple[str, ...]
    created_at: float

    @property
    def text(self) -> str:
        """For a person."""
        if self.number == 1:
            return f"The first look at this version's test split for the task {self.task!r}."
        return (
            f"Look number {self.number} at these test examples, in this version or another, for the task {self.task!r}: whoever "
            "chooses by such looks sees better scores than other examples will show."
        )

    def to_dict(self) -> dict[str, Any]:  # JSON
        """Plain data."""
        return {"number": self.number, "total": self.total, "text": self.text}


@dataclass(frozen=True, slots=True)
class SetAside:
    """What one probe used up.

    Attributes:
        probe: Its id.
        name: Of the dataset. Its other versions, and other datasets with the same examples, keep them aside too.
        dataset: Id of the version.
        task: Whose examples.
        examples: Their ids.
        report: Artifact of what the probe found; empty until it has ended.
    """

    probe: str
    name: str
    dataset: str
    task: str
    examples: tuple[str, ...]
    report: str = ""


class HeldOutLog:
    """Openings and set-aside examples of one scope. Thread-safe; what a call returns is on the disk."""

    def __init__(self, database: Database, *, scope: Scope = LOCAL) -> None:
        self._database, self._scope = database, scope

    def open(self, job_id: str, dataset: str, task: str, models: Collection[str], same: Collection[str] = ()) -> Opening:
        """Count the opening of a test split by a job, before anything of it is read. A job that goes on opens nothing anew.

        Args:
            job_id: What looks.
            dataset: Id of the version.
            task: Whose examples.
            models: What is scored.
            same: Ids of other versions that hold out some of the same examples: looks at them count too.
        """
        with self._database.write() as session:
            row = session.scalar(self._openings().where(OpeningRow.job_id == job_id))
            if row is None:
                number = sum(self._count(session, one, task) for one in {dataset, *same}) + 1
                row = OpeningRow(
                    job_id=job_id, dataset=dataset, task=task, number=number, models=sorted(models), **self._scope.columns()
                )
                session.add(row)
                session.flush()
            return self._opening(session, row)

    def opening(self, job_id: str) -> Opening | None:
        """The opening by a job; None when it opened nothing, or did before openings were counted."""
        with self._database.read() as session:
            row = session.scalar(self._openings().where(OpeningRow.job_id == job_id))
            return self._opening(session, row) if row is not None else None

    def opened(self, task: str) -> frozenset[str]:
        """Ids of every version whose test split was opened for a task."""
        with self._database.read() as session:
            return frozenset(row.dataset for row in session.scalars(self._openings().where(OpeningRow.task == task)))

    def openings(self, dataset: str) -> tuple[Opening, ...]:
        """Every opening of a version, the oldest first."""
        query = self._openings().where(OpeningRow.dataset == dataset).order_by(OpeningRow.created_at, OpeningRow.job_id)
        with self._database.read() as session:
            return tuple(self._opening(session, row) for row in session.scalars(query))

    def set_aside(self, probe: str, name: str, dataset: str, task: str, examples: Sequence[str]) -> SetAside:
        """Set examples aside for a probe. The same probe again gets what it got."""
        with self._database.write() as session:
            row = session.scalar(self._set_aside().where(SetAsideRow.probe == probe))
            if row is None:
                row = SetAsideRow(
                    probe=probe, name=name, dataset=dataset, task=task, examples=list(examples), **self._scope.columns()
                )
                session.add(row)
                session.flush()
            return _set_aside(row)

    def probe(self, probe: str) -> SetAside | None:
        """What a probe set aside; None when there is no such probe."""
        with self._database.read() as session:
            row = session.scalar(self._set_aside().where(SetAsideRow.probe == probe))
            return _set_aside(row) if row is not None else None

    def probed(self, probe: str, report: str) -> None:
        """Record what a probe found."""
        with self._database.write() as session:
            row = session.scalar(self._set_aside().where(SetAsideRow.probe == probe))
            if row is not None:
                row.report = report

    def _openings(self) -> Any:  # SQLAlchemy's own types depend on what is selected
        return select(OpeningRow).filter_by(**self._scope.columns())

    def _set_aside(self) -> Any:
        return select(SetAsideRow).filter_by(**self._scope.columns())

    def _count(self, session: Session, dataset: str, task: str = "") -> int:
        query = select(func.count()).select_from(OpeningRow).filter_by(**self._scope.columns(), dataset=dataset)
        return int(session.scalar(query.filter_by(task=task) if task else query) or 0)

    def _opening(self, session: Session, row: OpeningRow) -> Opening:
        total = self._count(session, row.dataset)
        return Opening(row.job_id, row.dataset, row.task, row.number, total, tuple(row.models), row.created_at)


def set_aside_examples(session: Session, scope: Scope) -> frozenset[str]:
    """Ids of the examples that probes used up, of every dataset: an id is a hash of the content, so a copy has the same one."""
    rows = session.scalars(select(SetAsideRow.examples).filter_by(**scope.columns()))
    return frozenset(example for examples in rows for example in examples)


def _set_aside(row: SetAsideRow) -> SetAside:
    return SetAside(row.probe, row.name, row.dataset, row.task, tuple(row.examples), row.report)
