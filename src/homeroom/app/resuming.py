"""Going on with a tuning that stopped: which one, what is left to pay for it, and putting it back to work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from homeroom.app.comparing import compared_quote, models_of
from homeroom.app.evaluation import evaluation_quotes, held_out_items
from homeroom.app.fine_tuning.jobs import ORDER
from homeroom.app.probing import probe_items
from homeroom.app.promised import promised_by
from homeroom.app.spending import Quote, answering, quote_of, quotes_of
from homeroom.app.tuning import plan_prompt, standing_job
from homeroom.app.work import asked_again
from homeroom.data.datasets import Dataset
from homeroom.errors import ConflictError, NotFoundError
from homeroom.schema.examples import Item
from homeroom.schema.jobs import Job
from homeroom.tuning.prompts.recipe import PromptRecipe
from homeroom.tuning.recipe_file import parse_run

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

KINDS = {
    "tune": "tuning run",
    "batch": "batch of tuning runs",
    "sweep": "sweep",
    "compare": "comparison",
    "probe": "probe",
}
"""Kinds of jobs that ``homeroom tune`` makes, in words."""
MOST = 1000  # jobs of a kind that are looked through


def job_to_resume(home: Homeroom, job_id: str = "") -> Job:
    """The job to go on with: the one that is named, else the tuning that stopped last.

    Raises:
        NotFoundError: ``job-not-found``; ``nothing-to-resume``: nothing has stopped, or the job is no tuning.
        ConflictError: ``job-finished``: it has succeeded.
    """
    if not job_id:
        stopped = [job for kind in KINDS for job in home.jobs.list(kind=kind, limit=MOST) if _stopped(home, job)]
        if not stopped:
            raise NotFoundError(
                "No tuning was interrupted, paused, cancelled or failed: there is nothing to go on with. Begin one: "
                "homeroom tune run. See what there is: homeroom jobs list",
                code="nothing-to-resume",
            )
        return max(stopped, key=lambda job: job.finished_at or job.started_at or job.created_at)
    job = home.jobs.get(job_id)
    if job.kind not in KINDS or ORDER in job.payload:
        raise NotFoundError(
            f"The job {job_id!r} ({job.kind}) was not begun by homeroom tune. Look at it: homeroom jobs show {job_id}",
            code="nothing-to-resume",
        )
    if job.state == "succeeded":
        raise ConflictError(
            f"The job {job_id!r} has succeeded: there is nothing left to do. Make it anew: the command that began it, with "
            "--again. See what it made: homeroom jobs show " + job_id,
            code="job-finished",
        )
    return job


def state_in_words(job: Job) -> str:
    """How a job stopped: ``paused``, ``cancelled``, ``interrupted`` ..., with the reason where it failed."""
    if job.state == "failed":
        return f"failed: {job.error or 'no reason was recorded'}"
    if job.status == "queued":
        return "interrupted" if job.attempts else "waiting for its turn"
    return "interrupted, or is under way" if job.state == "running" else job.status


def quotes_of_job(home: Homeroom, job: Job) -> list[Quote]:
    """What going on will cost at endpoints: that of the whole, as nobody knows how much of it is paid; nothing while it waits.

    Raises:
        ConfigError: ``key-not-set``. And what planning a run refuses.
    """
    quotes = [quote for needed in _before(home, job) for quote in quotes_of_job(home, needed)]
    if job.state not in ("failed", "cancelled") or ORDER in job.payload:  # the API's jobs train here
        return quotes
    dataset = str(job.payload.get("dataset", ""))
    if job.kind == "tune":
        record = dict(job.payload["recipe"])
        if record.get("method") == "dspy" and "program" not in job.payload:  # a search for demonstrations at an endpoint
            recipe = PromptRecipe.model_validate(record)
            return [*quotes, quote_of(home, recipe.name, recipe, plan_prompt(home, home.datasets.get(dataset), recipe))]
        run = parse_run(record)
        return [*quotes, *quotes_of(home, dataset, [(run.name, run)], again=True)]
    if job.kind == "evaluate":
        model = home.registry.get(str(job.payload["model"]))
        return [*quotes, *evaluation_quotes(home, model, home.datasets.get(dataset), job.payload, again=True)]
    return [*quotes, *_replies(home, job, dataset)] if job.kind in ("compare", "probe") else quotes


def go_on(home: Homeroom, job: Job) -> Job:
    """Put a job back to work, and before it what it waits for; one that waits or runs is left as it is."""
    for needed in _before(home, job):
        go_on(home, needed)
    if job.state in ("failed", "cancelled"):
        return asked_again(home, job.id)
    return home.jobs.resume(job.id)


def go_on_and_wait(home: Homeroom, job: Job, wait: Callable[[Job], Job]) -> Job:
    """As `go_on`, each followed to its end before what waits for it; ``wait`` gives a job at its end."""
    for needed in _before(home, job):
        go_on_and_wait(home, needed, wait)
    return wait(go_on(home, home.jobs.get(job.id)))  # what it waited for may have changed it


def _stopped(home: Homeroom, job: Job) -> bool:
    """Whether it is not done, or ended badly and was not made by another job since."""
    if job.state == "succeeded" or ORDER in job.payload:
        return False
    if job.state in ("failed", "cancelled"):
        return standing_job(home, job.kind, [dict(job.payload)]) is None
    return True


def _before(home: Homeroom, job: Job) -> list[Job]:
    """What it waits for and has not succeeded."""
    return [found for needed in job.depends_on if (found := home.jobs.get(needed)).state != "succeeded"]


def _replies(home: Homeroom, job: Job, dataset: str) -> list[Quote]:
    """Replies of a comparison or a probe."""
    found, payload = home.datasets.get(dataset), job.payload
    task = str(payload["task"])
    made = [entry for entry in payload["entries"] if "job" not in entry or home.jobs.get(entry["job"]).state == "succeeded"]
    models = models_of(home, made, task)
    others = [home.jobs.get(entry["job"]).payload for entry in payload["entries"] if entry not in made]
    tuned = [asked for model in models for asked in answering(home, model)]
    tuned += [asked for other in others for asked in promised_by(home, found, other)]
    systems = [str(model.settings.get("system_prompt") or "") for model in models]
    systems += [str(other["recipe"].get("system_prompt") or "") for other in others]
    replies = compared_quote(home, KINDS[job.kind], found, payload, _items(home, job, found), tuned, systems)
    return [replies] if replies.paid else []


def _items(home: Homeroom, job: Job, dataset: Dataset) -> list[Item]:
    """What a comparison asks, or a probe."""
    payload = job.payload
    if job.kind == "compare":
        return held_out_items(dataset, str(payload["task"]), int(payload["items"]))
    return probe_items(home, dataset, payload)
