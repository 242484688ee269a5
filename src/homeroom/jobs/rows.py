"""Rows of the job tables as values, and values as the JSON that the tables hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from homeroom.jobs.clock import Instant
from homeroom.schema.jobs import Job, JobEvent, JobState
from homeroom.storage.tables import JobEventRow, JobRow

Json = Mapping[str, Any]  # payloads, results and event data: keys and types are their writers'


def lease_of(row: JobRow) -> Instant:
    """When the row's lease ends."""
    return Instant(row.lease_wall, row.lease_elapsed, row.lease_boot)


def plain(data: Json) -> dict[str, Any]:
    """``data`` as JSON will give it back: lists for tuples, null for numbers that JSON lacks."""
    return cast("dict[str, Any]", json.loads(json.dumps(_finite(data))))


def _finite(value: Any) -> Any:  # any JSON value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value


def job_of(row: JobRow) -> Job:
    """The row as the shared type."""
    return Job(
        id=row.id,
        kind=row.kind,
        state=cast("JobState", row.state),
        payload=row.payload,
        result=row.result,
        error=row.error,
        progress=row.progress,
        message=row.message,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        cancel_requested=row.cancel_requested,
        token=row.token,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error_code=row.error_code,
        priority=row.priority,
        resource=row.resource,
        not_before=row.not_before,
        depends_on=tuple(row.depends_on or ()),
        paused=row.paused,
        pause_requested=row.pause_requested,
        cost=row.cost,
        deaths=row.deaths,
        kept=row.kept or {},
    )


def event_of(row: JobEventRow) -> JobEvent:
    """The row as the shared type."""
    return JobEvent(row.job_id, row.seq, row.created_at, row.level, row.type, row.message, row.data)
