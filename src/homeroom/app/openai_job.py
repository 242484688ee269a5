"""The tuning job of the method ``openai``: a dataset and a recipe in, a model at an endpoint out, with the checkpoints wanted."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from homeroom import __version__
from homeroom.app.directory import key_of_endpoint
from homeroom.app.endpoints import endpoint_of
from homeroom.app.fine_tuning.checkpoints import CheckpointStore
from homeroom.app.forecasts import told
from homeroom.app.local_runs import registered
from homeroom.app.openai_here import Here, own_server
from homeroom.app.openai_plan import base_named, data_of, place_of
from homeroom.app.this_server import is_this_server
from homeroom.errors import ConflictError, NotFoundError
from homeroom.ledger.records import About
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.registry.names import new_model_name
from homeroom.schema.jobs import OUTCOME, JobContext
from homeroom.schema.models import TunedModel
from homeroom.schema.tuning import Plan
from homeroom.settings import Endpoint
from homeroom.storage.artifacts import MANIFEST
from homeroom.tuning.openai.outcome import DEPLOYED
from homeroom.tuning.openai.place import Place, Work
from homeroom.tuning.openai.purse import Purse
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.tuner import OpenAITuner

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom


def tune_remote(context: JobContext, home: Homeroom) -> list[TunedModel]:
    """Tune at an endpoint, or go on with what an earlier attempt began there. The models, registered, the model last.

    Raises:
        ConflictError: ``base-mismatch``; ``budget-spent``. And what the tuner raises.
        JobCancelled: the job was told to stop.
    """
    payload = context.job.payload
    recipe = OpenAIRecipe.model_validate(payload["recipe"])
    data = data_of(home.datasets.get(str(payload["dataset"])), recipe)
    with service_of(home, recipe) as (service, here):
        place = place_of(home, recipe, service)
        if place.base_identity != payload["base_identity"]:
            raise ConflictError(
                f"The base {place.base!r} is another one than when this job was submitted. Submit it again: homeroom tune run",
                code="base-mismatch",
            )
        work = Work(
            folder=context.work_dir,
            artifacts=home.artifacts,
            purse=purse_of(home, place, context.job.id),
            job_id=context.job.id,
            new_name=new_model_name,
            cancelled=lambda: home.jobs.get(context.job.id).cancel_requested,
            created=here.work_on if here is not None else lambda job: None,
            code_version=__version__,
        )
        tuner = OpenAITuner(place, work)
        model = tuner.run(data, recipe, context)
    endpoint = endpoint_of(home.settings, recipe.base)
    if here is not None or (endpoint is not None and is_this_server(home, endpoint)):
        return _taken_over(home, model)
    model = replace(model, metrics={**model.metrics, "forecast": forecast_of(tuner.plan(data, recipe))})
    if line := told(model.metrics):
        context.event(line, type=OUTCOME)
    return [registered(home, found) for found in (*_checkpoints(model), model)]


def forecast_of(plan: Plan) -> dict[str, object]:
    """What is kept of a plan beside what the run took. Tokens that are charged, and US dollars."""
    return {
        **{f"tokens_{name}": number for name, number in plan.details["tokens"].items()},
        "cost_usd": plan.cost_usd,
        "cost_high_usd": plan.cost_high_usd,
        "priced": plan.details["priced"],
        "counted": plan.details["counted"],
    }


def purse_of(home: Homeroom, place: Place, job_id: str) -> Purse:
    """The money of the run that the job ``job_id`` makes."""
    about = About(place.base, "tuning", home.settings.project, "openai", job_id)
    return Purse(home.ledger, about, place.price, counted=place.counted)


@contextmanager
def service_of(home: Homeroom, recipe: OpenAIRecipe, *, timeout_s: float = 90.0) -> Iterator[tuple[OpenAITuning, Here | None]]:
    """What asks the endpoint, for up to ``timeout_s`` a request; with the server behind it where that is our own.

    Raises:
        ConfigError: ``key-not-set``.
    """
    found = base_named(home, recipe)
    if not isinstance(found, Endpoint):
        with (
            own_server(home) as here,
            closing(OpenAITuning("This server", here.base_url, here.key, timeout_s=timeout_s)) as service,
        ):
            yield service, here
        return
    key = key_of_endpoint(found)
    with closing(OpenAITuning(repr(found.name), found.base_url, key, timeout_s=timeout_s)) as service:
        yield service, None


def _checkpoints(model: TunedModel) -> list[TunedModel]:
    """The checkpoints that are wanted as models of their own. Their names follow from the model's, so that they stay the same."""
    endpoint = model.remote_id.partition("/")[0]
    found = []
    for one in model.metrics.get("checkpoints", ()):
        suffix = f"{model.suffix}-step-{one['step']}"
        head = model.name.rsplit(":", 2)[0]
        id8 = hashlib.sha256(f"{model.id8} {one['step']}".encode()).hexdigest()[:8]
        metrics = {"step": one["step"], "valid_loss": one["valid_loss"], "checkpoint_of": model.name}
        metrics |= {key: one[key] for key in (DEPLOYED,) if key in one}
        remote = f"{endpoint}/{one['model']}"
        found.append(replace(model, name=f"{head}:{suffix}:{id8}", suffix=suffix, remote_id=remote, metrics=metrics))
    return found


def _taken_over(home: Homeroom, model: TunedModel) -> list[TunedModel]:
    """A model that our own server made, after the checkpoints of it that are wanted.

    It is in the list already, as the API named it, and learns whose it is. Its weights are here, so the engine answers for it
    whether a server runs or not.
    """
    made = home.registry.get(model.remote_id.partition("/")[2])
    with suppress(NotFoundError):
        home.artifacts.delete(model.artifact)  # what the endpoint told of the job; the model's own folder tells it better
    taken = replace(
        model,
        name=made.name,
        base=made.base,
        base_identity=made.base_identity,
        kind=made.kind,
        suffix=made.suffix,
        suitability=made.suitability,
        artifact=made.artifact,
        metrics={**made.metrics, **model.metrics},
        remote_id="",
    )
    found = [_of_our_own(home, one) for one in _checkpoints(taken)]
    return [*(registered(home, one) for one in found if one is not None), home.registry.update(taken)]


def _of_our_own(home: Homeroom, model: TunedModel) -> TunedModel | None:
    """A checkpoint that our own server kept, with a folder of its own: the server's copy goes when it makes room."""
    kept = CheckpointStore(home.database, home.artifacts).find(model.remote_id.partition("/")[2])
    if kept is None or kept.base_identity != model.base_identity:
        return None
    with home.artifacts.write("model") as draft:
        for path in home.artifacts.path(kept.artifact).iterdir():
            if path.name != MANIFEST:
                shutil.copyfile(path, draft.folder / path.name)
    return replace(model, artifact=draft.id, remote_id="")
