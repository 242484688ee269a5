"""The registry of tuned models: register, find, judge, route and delete."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from homeroom.errors import ConflictError, NotFoundError
from homeroom.registry.records import Route, ScorecardRecord, model_of, model_row, route_of, scorecard_of
from homeroom.schema.models import TunedModel
from homeroom.storage import LOCAL, ArtifactStore, Database, Scope
from homeroom.storage.tables import BaseSettingsRow, DatasetRow, ModelRow, RouteRow, ScorecardRow, new_id

ANY = "*"
_TICK_S = 0.001
Json = Mapping[str, Any]  # settings and summaries: keys and types are their writers'


class ModelRegistry:
    """Tuned models of one scope. Thread-safe. A change is on the disk when the call returns.

    Where a ``name`` is asked for, the full name, the id8 at its end or the suffix (its newest model) will do.
    """

    def __init__(self, database: Database, artifacts: ArtifactStore, *, scope: Scope = LOCAL) -> None:
        self._database = database
        self._artifacts = artifacts
        self._scope = scope

    def register(self, model: TunedModel) -> TunedModel:
        """Add a model whose artifact is in the store. Returns it with its time of creation.

        Without a time of its own it is later than every model before it, although the clock may have been set back since.

        Raises:
            NotFoundError: code ``artifact-not-found``: a model is named only once its files are whole.
            ConflictError: code ``model-exists``, when the name is taken.
        """
        if model.artifact:
            self._artifacts.path(model.artifact)
        with self._database.write() as session:
            if session.get(ModelRow, model.name) is not None:
                raise ConflictError(
                    f"A model named {model.name!r} exists already. See it: homeroom models show {model.id8}", code="model-exists"
                )
            if not model.created_at:
                newest = session.scalar(select(func.max(ModelRow.created_at)).filter_by(**self._scope.columns())) or 0.0
                model = replace(model, created_at=max(time.time(), newest + _TICK_S))
            session.add(model_row(model, self._scope))
        return model

    def update(self, model: TunedModel) -> TunedModel:
        """Put ``model`` in the place of the one of its name, of which more is known now; its time and its verdict stay.

        Raises:
            NotFoundError: code ``model-not-found``; ``artifact-not-found``.
        """
        if model.artifact:
            self._artifacts.path(model.artifact)
        with self._database.write() as session:
            known = model_of(self._find(session, model.name, lock=True))
            model = replace(model, created_at=known.created_at, verdict=known.verdict)
            session.merge(model_row(model, self._scope))
        return model

    def get(self, name: str) -> TunedModel:
        """The model of that full name, id8 or suffix.

        Raises:
            NotFoundError: code ``model-not-found``; lists near names.
        """
        with self._database.read() as session:
            return model_of(self._find(session, name))

    def resolve(self, name: str) -> str:
        """The full name for a full name, id8 or suffix.

        Raises:
            NotFoundError: code ``model-not-found``; lists near names.
        """
        return self.get(name).name

    def list(self, task: str | None = None) -> tuple[TunedModel, ...]:
        """Models, newest first, optionally of one task."""
        query = select(ModelRow).filter_by(**self._scope.columns()).order_by(ModelRow.created_at.desc(), ModelRow.name)
        if task is not None:
            query = query.filter_by(task=task)
        with self._database.read() as session:
            return tuple(model_of(row) for row in session.scalars(query))

    def set_settings(self, name: str, settings: Json) -> None:
        """Replace the generation settings saved with a model version.

        ``name`` may also be that of a model that was not tuned here (a base, an endpoint's model): see `base_settings`.

        Raises:
            NotFoundError: code ``model-not-found``, for the name of a tuned model that does not exist.
        """
        with self._database.write() as session:
            row = self._match(session, name)
            if row is not None or _is_tuned_name(name):
                (row or self._find(session, name)).settings = dict(settings)
            else:
                session.merge(BaseSettingsRow(model_name=name, settings=dict(settings), **self._scope.columns()))

    def base_settings(self, name: str) -> dict[str, Any]:
        """The settings saved for a model that was not tuned here; empty when none were."""
        with self._database.read() as session:
            row = session.scalar(select(BaseSettingsRow).filter_by(model_name=name, **self._scope.columns()))
            return dict(row.settings) if row is not None else {}

    def set_verdict(self, name: str, verdict: str) -> TunedModel:
        """Record what the evaluation said of the model, e.g. ``passed`` or ``practice``.

        Raises:
            NotFoundError: code ``model-not-found``.
        """
        with self._database.write() as session:
            row = self._find(session, name, lock=True)
            row.verdict = verdict
            return model_of(row)

    def set_route(self, task: str, model_name: str, subject: str = ANY, grade_band: str = ANY) -> Route:
        """Have a model answer for a task, a subject and a grade band from now on; replaces the model that did.

        ``model_name`` may also be that of a model that was not tuned here.

        Raises:
            NotFoundError: code ``model-not-found``, for the name of a tuned model that does not exist.
        """
        with self._database.write() as session:
            row = self._match(session, model_name, lock=True)
            if row is None and _is_tuned_name(model_name):
                row = self._find(session, model_name)
            route = RouteRow(
                task=task,
                subject=subject,
                grade_band=grade_band,
                model_name=row.name if row is not None else model_name,
                updated_at=time.time(),
                **self._scope.columns(),
            )
            return route_of(session.merge(route))

    def clear_route(self, task: str, subject: str = ANY, grade_band: str = ANY) -> None:
        """Take a route back: the next wider one holds again.

        Raises:
            NotFoundError: code ``route-not-found``.
        """
        with self._database.write() as session:
            wanted = {"task": task, "subject": subject, "grade_band": grade_band}
            row = session.scalar(select(RouteRow).filter_by(**wanted, **self._scope.columns()))
            if row is None:
                raise NotFoundError(
                    f"There is no route for {task!r}, subject {subject!r}, grade band {grade_band!r}. "
                    "See the routes: homeroom models list",
                    code="route-not-found",
                )
            session.delete(row)

    def route(self, task: str, subject: str = ANY, grade_band: str = ANY) -> str | None:
        """The model that answers: the route for subject and grade band, else for the subject, the band, or any; else None."""
        query = select(RouteRow).filter_by(task=task, **self._scope.columns())
        with self._database.read() as session:
            routes = {(row.subject, row.grade_band): row.model_name for row in session.scalars(query)}
        tried = ((subject, grade_band), (subject, ANY), (ANY, grade_band), (ANY, ANY))
        return next((routes[key] for key in tried if key in routes), None)

    def routes(self) -> tuple[Route, ...]:
        """Every route, by task, subject and grade band."""
        order = (RouteRow.task, RouteRow.subject, RouteRow.grade_band)
        with self._database.read() as session:
            rows = session.scalars(select(RouteRow).filter_by(**self._scope.columns()).order_by(*order))
            return tuple(route_of(row) for row in rows)

    def add_scorecard(
        self, model_name: str, dataset: str, report_artifact: str, summary: Json, *, scorecard_id: str | None = None
    ) -> ScorecardRecord:
        """Record an evaluation of a model; its report is in the artifact store (or empty when there is none).

        With the ``scorecard_id`` of one that is there, that one is returned and nothing changes: work that is done again after a
        crash records itself once.

        Raises:
            NotFoundError: code ``model-not-found`` or ``artifact-not-found``.
        """
        if report_artifact:
            self._artifacts.path(report_artifact)
        with self._database.write() as session:
            if scorecard_id is not None:
                known = session.scalar(select(ScorecardRow).filter_by(id=scorecard_id, **self._scope.columns()))
                if known is not None:
                    return scorecard_of(known)
            row = ScorecardRow(
                id=scorecard_id or new_id("score"),
                model_name=self._find(session, model_name).name,
                dataset=dataset,
                report_artifact=report_artifact,
                summary=dict(summary),
                created_at=time.time(),
                **self._scope.columns(),
            )
            session.add(row)
            return scorecard_of(row)

    def scorecards(self, model_name: str) -> tuple[ScorecardRecord, ...]:
        """Evaluations of a model, newest first.

        Raises:
            NotFoundError: code ``model-not-found``.
        """
        with self._database.read() as session:
            query = select(ScorecardRow).filter_by(model_name=self._find(session, model_name).name)
            rows = session.scalars(query.order_by(ScorecardRow.created_at.desc(), ScorecardRow.id))
            return tuple(scorecard_of(row) for row in rows)

    def delete(self, name: str) -> None:
        """Delete a model, its scorecards, and those of their artifacts that nothing else names.

        Raises:
            NotFoundError: code ``model-not-found``.
            ConflictError: code ``model-in-use``, when a route names it.
        """
        with self._database.write() as session:
            row = self._find(session, name, lock=True)
            routes = [route_of(found) for found in session.scalars(select(RouteRow).filter_by(model_name=row.name))]
            if routes:
                raise ConflictError(
                    f"The model {row.name!r} answers for {'; '.join(map(str, routes))} (task / subject / grade band). "
                    f"Let another one answer first: homeroom models use <model> --task {routes[0].task}",
                    code="model-in-use",
                )
            reports = session.scalars(select(ScorecardRow.report_artifact).filter_by(model_name=row.name))
            artifacts = {row.artifact, *reports} - {""}
            session.delete(row)
            session.flush()
            unused = [artifact for artifact in sorted(artifacts) if not _is_named(session, artifact)]
        for artifact in unused:  # only now: a reader must never find a model without its files
            try:
                self._artifacts.delete(artifact)
            except NotFoundError:
                continue

    def _match(self, session: Session, name: str, *, lock: bool = False) -> ModelRow | None:
        """The model that ``name`` means: a full name, else an id8, else the newest of a suffix."""
        query = select(ModelRow).filter_by(**self._scope.columns()).order_by(ModelRow.created_at.desc(), ModelRow.name)
        if lock:
            query = query.with_for_update()
        wanted = or_(ModelRow.name == name, ModelRow.suffix == name, ModelRow.name.endswith(f":{name}", autoescape=True))
        found = list(session.scalars(query.where(wanted))) if name else []
        by_name = [row for row in found if row.name == name]
        by_id8 = [row for row in found if row.name.rsplit(":", 1)[-1] == name]
        by_suffix = [row for row in found if row.suffix == name]
        return next(iter([*by_name, *by_id8, *by_suffix]), None)

    def _find(self, session: Session, name: str, *, lock: bool = False) -> ModelRow:
        row = self._match(session, name, lock=lock)
        if row is None:
            raise NotFoundError(self._unknown(session, name), code="model-not-found")
        return row

    def _unknown(self, session: Session, name: str) -> str:
        names = list(session.scalars(select(ModelRow.name).filter_by(**self._scope.columns())))
        aliases = {alias: full for full in names for alias in (full, *full.rsplit(":", 2)[-2:])}
        near = list(dict.fromkeys(aliases[alias] for alias in difflib.get_close_matches(name, aliases, n=6, cutoff=0.6)))[:3]
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return f"There is no model {name!r}.{hint} List them: homeroom models list"


def _is_tuned_name(name: str) -> bool:
    return name.startswith("ft:")


def _is_named(session: Session, artifact: str) -> bool:
    """Whether a row of any scope names the artifact."""
    columns = (ModelRow.artifact, ScorecardRow.report_artifact, DatasetRow.artifact)
    return any(session.scalar(select(column).where(column == artifact).limit(1)) is not None for column in columns)
