"""The job of a probe: base, prompt, demonstrations and a short tune on what was set aside for it. See `probing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeroom.app.compare_job import compared, told
from homeroom.app.comparing import models_of
from homeroom.app.deleting import delete_model
from homeroom.app.probing import probe_items
from homeroom.errors import ConflictError, NotFoundError
from homeroom.evaluation.comparison import Comparison
from homeroom.evaluation.comparison_report import JSON_NAME, read_comparison, write_comparison
from homeroom.schema.jobs import JobContext

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Run the probe of ``context.job``, record what it found, and delete the model that was tuned for it alone."""
    payload = context.job.payload
    record = home.held_out.probe(str(payload["probe"]))
    if record is None:
        raise NotFoundError(
            f"There is no probe {payload['probe']!r}. Make one: homeroom tune recommend --probe --dataset NAME",
            code="probe-not-found",
        )
    if record.report:  # an earlier attempt recorded it and died before it could say so
        return _told(read_comparison(home.artifacts.path(record.report) / JSON_NAME), record.report, len(record.examples))
    dataset = home.datasets.get(record.dataset)
    items = probe_items(home, dataset, payload)
    models = models_of(home, payload["entries"], record.task)
    context.event(f"{len(record.examples)} training examples were set aside for this probe; nothing else uses them")
    found = compared(context, home, dataset, items, models, payload, {})
    with home.artifacts.write("report") as draft:
        write_comparison(found, draft.folder)
    home.held_out.probed(record.probe, draft.id)
    for model in models:
        try:
            delete_model(home, model.name, by=context.job.id)
        except (ConflictError, NotFoundError) as kept:
            context.event(f"The model of the short tune was kept: {kept.message}", level="warning")
    return _told(found, draft.id, len(record.examples))


def _told(found: Comparison, report: str, examples: int) -> Mapping[str, Any]:  # the job's result
    return {"report": report, "set_aside": examples, **told(found)}
