"""Several runs at once, and going on with what stopped, as functions: ``homeroom tune run A.yaml B.yaml`` and ``jobs resume``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from homeroom.app.batch import is_local, submit_batch
from homeroom.app.spending import SPEND, quotes_of, require_agreed
from homeroom.app.tuning import submit_tuning
from homeroom.app.work import wait_for
from homeroom.errors import ConfigError, JobFailed
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import Run, run_of

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What came of one run of a batch.

    Attributes:
        name: Of the run.
        method: How it tunes.
        state: ``made``, ``failed`` or ``not begun``: its time was over.
        models: What it registered.
        valid_loss: Where weights were trained here; None elsewhere.
        error: Why it failed.
    """

    name: str
    method: str
    state: Literal["made", "failed", "not begun"]
    models: tuple[TunedModel, ...] = ()
    valid_loss: float | None = None
    error: str = ""


def batch(
    home: Homeroom,
    dataset: str,
    recipes: Sequence[Run | Mapping[str, Any]],
    *,
    minutes: float | None = None,
    again: bool = False,
    spend: float = 0.0,
) -> tuple[BatchRun, ...]:
    """``homeroom tune run A.yaml B.yaml``: make several runs and wait. One that fails costs the others nothing.

    Those on weights here share one job and the base in memory. Asked for again, only what is missing is made.

    Args:
        home: The open home.
        dataset: Name, ``name@version`` or id.
        recipes: Recipes or their keys; each of another name.
        minutes: No further run is begun after so long.
        again: Make all of them anew.
        spend: The most that calls to endpoints may cost, in US dollars, by their forecast; ``math.inf`` is whatever they cost.

    Returns:
        A row for each recipe, in order.

    Raises:
        ConfigError: ``needs-yes``: it could cost more than ``spend``; ``key-not-set``. Nothing was begun.
        HomeroomError: no such dataset or base, nothing to train on, a mistake in a recipe, or two of the same name.
    """
    runs = [run_of(recipe) for recipe in recipes]
    twice = [name for name, count in Counter(run.name for run in runs).items() if count > 1]
    if twice:
        raise ConfigError(
            f"Two runs of the batch are called {twice[0]!r}. Give one of them another name: in its recipe", code="batch-labels"
        )
    quotes = quotes_of(home, dataset, [(run.name, run) for run in runs if not is_local(home, run)], again=again)
    require_agreed(quotes, spend, SPEND)
    began = time.monotonic()
    local = [(run.name, run) for run in runs if isinstance(run, Recipe) and is_local(home, run)]
    rows: dict[str, BatchRun] = {}
    if local:
        job = wait_for(home, submit_batch(home, dataset, local, minutes=minutes, again=again).id)
        rows = {row["run"]: _row(home, row) for row in (job.result or {})["runs"]}
    for run in runs:
        if is_local(home, run):
            continue
        late = minutes is not None and time.monotonic() - began >= 60 * minutes
        rows[run.name] = BatchRun(run.name, run.method, "not begun") if late else _alone(home, dataset, run, again=again)
    return tuple(rows[run.name] for run in runs)


def resume(home: Homeroom, job_id: str) -> Job:
    """``homeroom jobs resume``, and waiting: a job that was paused, failed or was cancelled goes on from what it had saved.

    Returns:
        The job, done; its ``result`` names what it made. One that has succeeded before is given as it is.

    Raises:
        NotFoundError: there is no such job.
        ConfigError: ``needs-yes``: it failed or was cancelled and works at endpoints, where going on may cost anew.
        JobFailed: it failed again.
    """
    job = home.jobs.get(job_id)
    if job.state in ("failed", "cancelled"):
        if job.resource == "api":
            raise ConfigError(
                f"The job {job_id!r} works at an endpoint, and what it has to ask there again may cost money. Ask for the run "
                "itself again, which goes on with it: homeroom.tune(home, dataset, recipe, spend=5.0)",
                code="needs-yes",
            )
        home.jobs.retry(job_id)
    elif not job.done:
        home.jobs.resume(job_id)
    return wait_for(home, job_id)


def _row(home: Homeroom, row: Mapping[str, Any]) -> BatchRun:
    known = {model.name: model for model in home.registry.list()}
    models = tuple(known[name] for name in row["models"] if name in known)  # one of two may have been deleted since
    return BatchRun(str(row["run"]), "huggingface", row["state"], models, row.get("valid_loss"), str(row.get("error", "")))


def _alone(home: Homeroom, dataset: str, run: Run, *, again: bool) -> BatchRun:
    """A run that is a job of its own."""
    try:
        job = wait_for(home, submit_tuning(home, dataset, run, again=again).id)
    except JobFailed as error:
        return BatchRun(run.name, run.method, "failed", error=error.message)
    models = tuple(home.registry.get(str(name)) for name in (job.result or {})["models"])
    return BatchRun(run.name, run.method, "made", models)
