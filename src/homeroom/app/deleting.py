"""Deleting a model that was tuned here, with everything that is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeroom.app.fine_tuning.checkpoints import CheckpointStore
from homeroom.errors import ConflictError
from homeroom.schema.jobs import Job

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

_MANY = 10_000


def delete_model(home: Homeroom, name: str) -> None:
    """Delete a tuned model, its scorecards, its files and its checkpoints.

    Raises:
        NotFoundError: ``model-not-found``.
        ConflictError: ``model-in-use``: it answers for something, a job needs it, or another model was made on it.
    """
    model = home.registry.get(name)
    waiting = next((job for job in _not_over(home) if model.name in job.payload.values()), None)
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


def _not_over(home: Homeroom) -> list[Job]:
    return [job for state in ("queued", "running") for job in home.jobs.list(state, limit=_MANY)]
