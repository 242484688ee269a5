"""What a job may cost: the most that was told before somebody asked for it, however often it is begun again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.app.spending import ASK_AGAIN, Quote, Spend, together
from homeroom.app.work import AGREED, work_folder
from homeroom.ledger.purse import Purse
from homeroom.schema.jobs import Job, JobContext
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def purse_of_job(home: Homeroom, context: JobContext, quotes: Callable[[], Sequence[Quote]]) -> Purse | None:
    """What a job may still spend. Its limit stays in its folder until somebody asks for it again after it failed.

    Args:
        home: The open home.
        context: The job.
        quotes: What it costs, as it was told before it was asked for; called once.

    Returns:
        The purse, less what earlier attempts cost; None where a price is not known, or somebody agreed to whatever it costs.
    """
    file = context.work_dir / AGREED
    cost = sum(total.usd + total.held_usd for total in home.ledger.totals((), job=context.job.id))
    if file.is_file():
        limit = json.loads(file.read_text("utf-8"))["limit_usd"]
    else:
        whole = together(quotes())
        limit = cost + whole.most_usd if whole.priced else None
        _write(file, limit)
    return Purse(float(limit), cost, ASK_AGAIN) if limit is not None else None


def lift_limit(home: Homeroom, jobs: Iterable[Job], spend: Spend) -> None:
    """Let jobs that were just asked for cost whatever they cost, where ``spend`` is infinite; else nothing."""
    for job in jobs if spend == math.inf else ():
        if not job.done:
            folder = work_folder(home, job.id)
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / AGREED, None)


def _write(file: Path, limit_usd: float | None) -> None:
    with disk_errors(file):
        write_atomically(file, json.dumps({"limit_usd": limit_usd}).encode())
