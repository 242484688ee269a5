"""Submitting several runs at once: those on weights here are one job over one base in memory, the others jobs of their own."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from homeroom.app.endpoints import endpoint_of
from homeroom.app.tuning import on_gpu, training_data
from homeroom.app.work import MOST_JOBS, NOW, When, any_there, key_of, submit_once
from homeroom.errors import ConfigError
from homeroom.schema.jobs import Job
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import Run

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

MOST_RUNS = 100


def is_local(home: Homeroom, run: Run) -> bool:
    """Whether the run trains weights of this machine: such runs share a process and a base."""
    return isinstance(run, Recipe) and endpoint_of(home.settings, run.base) is None


def submit_batch(
    home: Homeroom,
    dataset: str,
    runs: Sequence[tuple[str, Recipe]],
    *,
    minutes: float | None = None,
    again: bool = False,
    when: When = NOW,
) -> Job:
    """Queue runs on weights here as one job. The same runs give the same job; where some are missing, another job makes those.

    Args:
        home: The open home.
        dataset: Id, name or name@version.
        runs: A label and a recipe each; labels must differ.
        minutes: No further run is begun when the batch has taken so long.
        again: Tune all of them anew.
        when: When the job may run.

    Raises:
        NotFoundError: no such dataset, or a base is not on this machine.
        DataError: nothing to train on.
        ConfigError: ``batch-labels``, ``batch-too-long``.
    """
    labels = [label for label, _ in runs]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ConfigError(
            f"Two runs of the batch are called {twice!r}. Give one of them another name: in its recipe", code="batch-labels"
        )
    if len(runs) > MOST_RUNS:
        raise ConfigError(
            f"A batch has at most {MOST_RUNS} runs, and this one has {len(runs)}. Divide it: homeroom tune run A.yaml B.yaml",
            code="batch-too-long",
        )
    found = home.datasets.get(dataset)
    ready: list[dict[str, object]] = []
    identities = []
    for label, recipe in runs:
        training_data(found, recipe)
        base = home.base_files(recipe.base)
        ready.append({"label": label, "recipe": recipe.model_copy(update={"base": base.name}).to_dict()})
        identities.append(base.identity)
    about = {"kind": "batch", "dataset": found.info.id, "runs": ready, "base_identities": identities}
    resource = "gpu" if any(on_gpu(recipe) for _, recipe in runs) else "cpu"
    before = None if again else _made_before(home, found.info.id, ready)
    if before is not None and not _missing(home, before):
        return before
    payload = {"dataset": found.info.id, "runs": ready, "minutes": minutes, "before": before.id if before else ""}
    key = key_of({**about, **payload, "again": secrets.token_hex(8) if again else ""})
    return submit_once(home, "batch", payload, key, resource=resource, when=when)


def _made_before(home: Homeroom, dataset: str, runs: list[dict[str, object]]) -> Job | None:
    """The last job of this very batch that ended, whatever minutes it had."""
    ended = home.jobs.list(state="succeeded", kind="batch", limit=MOST_JOBS)
    return next((job for job in ended if job.payload["dataset"] == dataset and job.payload["runs"] == runs), None)


def _missing(home: Homeroom, job: Job) -> bool:
    """Whether one of its runs failed, was not begun, or made what was deleted since."""
    return any(row["state"] != "made" or not any_there(home, row["models"]) for row in (job.result or {})["runs"])
