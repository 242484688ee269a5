"""Deleting a model that was tuned here, with everything that is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeroom.app.fine_tuning.checkpoints import CheckpointStore
from homeroom.app.undeploying import submit_undeployment
from homeroom.errors import ConflictError
from homeroom.schema.jobs import Job
from homeroom.schema.models import TunedModel

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

_MANY = 10_000


def delete_model(home: Homeroom, name: str, *, by: str = "") -> Job | None:
    """Delete a tuned model, its scorecards, its files and its checkpoints. Comparisons that are over keep their figures of it.

    Returns the job that takes down what a run deployed at an endpoint; None where there is nothing of that kind.

    Args:
        home: The open home.
        name: Its name, id8 or suffix.
        by: The job that deletes what it needed itself.

    Raises:
        NotFoundError: ``model-not-found``.
        ConflictError: ``model-in-use``: it answers for something, a job needs it, or another model was made on it.
    """
    model = home.registry.get(name)
    waiting = next((job for job in _not_over(home) if job.id != by and _needs(job, model)), None)
    if waiting is not None:
        raise ConflictError(
            f"The job {waiting.id!r} needs the model {model.name!r}. Wait for it, or: homeroom jobs cancel {waiting.id}",
            code="model-in-use",
        )
    built = next((other for other in home.registry.list() if other.base == model.name), None)
    if built is not None:
        raise ConflictError(
            f"The model {built.name!r} was made on {model.name!r}. Delete that one first: homeroom models delete {built.id8}",
            code="model-in-use",
        )
    home.registry.delete(model.name)
    CheckpointStore(home.database, home.artifacts).forget(model.name)
    return submit_undeployment(home, model)


def _needs(job: Job, model: TunedModel) -> bool:
    """Whether a job that is not over names the model: by itself, as the base of a run, or among those that it compares."""
    payload = job.payload
    if model.name in payload.values() or model.name == payload.get("recipe", {}).get("base"):
        return True
    return any(model.name == one.get("model") or model.job_id == one.get("job", "no job") for one in payload.get("entries", ()))


def _not_over(home: Homeroom) -> list[Job]:
    return [job for state in ("queued", "running") for job in home.jobs.list(state, limit=_MANY)]
