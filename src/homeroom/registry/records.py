"""Records of the registry besides `TunedModel`, and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from homeroom.schema.models import TunedModel
from homeroom.storage import Scope
from homeroom.storage.tables import ModelRow, RouteRow, ScorecardRow


@dataclass(frozen=True, slots=True)
class Route:
    """Which model answers for a task, a subject and a grade band; ``*`` is any."""

    task: str
    subject: str
    grade_band: str
    model_name: str

    def __str__(self) -> str:
        return f"{self.task} / {self.subject} / {self.grade_band}"


@dataclass(frozen=True, slots=True)
class ScorecardRecord:
    """That a model was evaluated on a dataset version.

    Attributes:
        report_artifact: The whole scorecard and its report in the artifact store.
        summary: The figures that lists and pages show; keys are the evaluation's.
    """

    id: str
    model_name: str
    dataset: str
    report_artifact: str
    summary: Mapping[str, Any]
    created_at: float


def model_of(row: ModelRow) -> TunedModel:
    """The row as the shared type."""
    return TunedModel(**{field.name: getattr(row, field.name) for field in fields(TunedModel)})


def model_row(model: TunedModel, scope: Scope) -> ModelRow:
    """The shared type as a row of ``scope``."""
    return ModelRow(**asdict(model), **scope.columns())


def route_of(row: RouteRow) -> Route:
    """The row as a value."""
    return Route(row.task, row.subject, row.grade_band, row.model_name)


def scorecard_of(row: ScorecardRow) -> ScorecardRecord:
    """The row as a value."""
    return ScorecardRecord(row.id, row.model_name, row.dataset, row.report_artifact, row.summary, row.created_at)
