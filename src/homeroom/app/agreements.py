"""What a job may cost: the most that was told before somebody asked for it, however often it is begun again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from homeroom.app.spending import ASK_AGAIN, Quote, together
from homeroom.app.work import AGREED
from homeroom.ledger.purse import Purse
from homeroom.schema.jobs import JobContext
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
        The purse, less what earlier attempts cost; None where a price is not known.
    """
    cost = sum(total.usd + total.held_usd for total in home.ledger.totals((), job=context.job.id))
    file = context.work_dir / AGREED
    if file.is_file():
        limit = json.loads(file.read_text("utf-8"))["limit_usd"]
    else:
        whole = together(quotes())
        limit = cost + whole.most_usd if whole.priced else None
        with disk_errors(file):
            write_atomically(file, json.dumps({"limit_usd": limit}).encode())
    return Purse(float(limit), cost, ASK_AGAIN) if limit is not None else None
