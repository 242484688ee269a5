"""The job that exports a model. See `exporting`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.app.exporting import STAGES, export_model, exported_by
from homeroom.schema.jobs import JobCancelled, JobContext

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Export the model that ``context.job`` names; of a job that died after its folder was whole, what that folder says.

    Raises:
        JobCancelled: before the next stage; nothing is left of the draft.
    """
    payload = context.job.payload
    out = Path(str(payload["out"]))
    done = 0

    def say(line: str) -> None:
        nonlocal done
        if context.should_stop():
            raise JobCancelled
        context.progress(done / STAGES, line)
        context.event(line)
        done += 1

    found = exported_by(out, context.job.id) or export_model(
        home,
        str(payload["model"]),
        payload["to"],
        out,
        number=str(payload["number"]),
        force=bool(payload["force"]),
        say=say,
        job=context.job.id,
    )
    context.progress(1.0, f"{found.to} as {found.number}")
    return {**asdict(found), "folder": str(found.folder)}
