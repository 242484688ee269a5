"""The job that ends and deletes what a run of the method ``openai`` left at its endpoint. See `openai_left`, `undeploying`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from homeroom.app.directory import key_of_endpoint
from homeroom.app.endpoints import endpoint_of, endpoint_unknown
from homeroom.app.openai_job import purse_of, service_of
from homeroom.app.openai_left import is_given_up
from homeroom.app.openai_plan import place_of
from homeroom.app.undeploying import WHAT
from homeroom.errors import ConflictError, ProviderError
from homeroom.jobs.execute import MARK
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import Job, JobContext
from homeroom.storage.held import hold
from homeroom.tuning.openai.follow import Follower
from homeroom.tuning.openai.leave import delete_files, end_jobs
from homeroom.tuning.openai.place import PACE
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.state import RunState

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

TIMEOUT_S = 20.0
WAIT_S = 60.0
SOON = replace(PACE, tries=1, looks=3, patience_s=0.0)


def handle(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """End or delete what the run that ``context.job`` names has left, unless it was asked for again and sees to it itself."""
    if context.job.payload["what"] == WHAT:
        return _undeployed(context, home)
    run = home.jobs.get(str(context.job.payload["job"]))
    ending = context.job.payload["what"] == "end"
    folder = home.work_root / run.id
    due = is_given_up(run, context.job) if ending else run.done
    if not due or not folder.exists():
        return {"ended": [], "deleted": 0}
    mark = hold(folder / MARK)
    if mark is None:
        raise ConflictError(f"The job {run.id!r} is at work just now. See it: homeroom jobs show {run.id}", code="job-busy")
    with mark:
        state = RunState.read(folder / "work")
        return {"ended": [], "deleted": 0} if state is None else _tidied(context, home, run, state, ending=ending)


def _undeployed(context: JobContext, home: Homeroom) -> Mapping[str, Any]:
    """Take down a model that was deleted here.

    Raises:
        NotFoundError: ``endpoint-unknown``.
        ProviderError: it could not be taken down. It costs nothing while nobody asks it.
    """
    remote = str(context.job.payload["remote_id"])
    endpoint, name = endpoint_of(home.settings, remote), remote.partition("/")[2]
    if endpoint is None:
        raise endpoint_unknown(home.settings, remote)
    key = key_of_endpoint(endpoint)
    with closing(OpenAITuning(repr(endpoint.name), endpoint.base_url, key, timeout_s=TIMEOUT_S)) as service:
        service.custom.delete(name)
    context.event(f"{name} is taken down at {endpoint.name}")
    return {"undeployed": name}


def _tidied(context: JobContext, home: Homeroom, run: Job, state: RunState, *, ending: bool) -> Mapping[str, Any]:
    """Do it, and say what was done.

    Raises:
        ProviderError: something could not be done; it is tried again when a tune command or a server looks next.
    """
    recipe = OpenAIRecipe.model_validate(run.payload["recipe"])
    before, deleted = [rung.job for rung in state.rungs if rung.open], 0
    failure: ProviderError | None = None
    with service_of(home, recipe, timeout_s=TIMEOUT_S) as (service, _):
        place = place_of(home, recipe, service)
        if ending:
            purse = purse_of(home, place, run.id)
            find = Follower(service, place.model, state, context, SOON).found
            failure = end_jobs(service, state, purse, context, wait_s=WAIT_S, look_s=SOON.first_s, find=find)
        if not ending or (recipe.delete_files and not state.unfinished):
            deleted, kept = delete_files(service, state, place.endpoint, context)
            failure = kept or failure
    if failure is not None:
        raise ProviderError(failure.message, code=failure.code, status=failure.status)
    open_still = {rung.job for rung in state.rungs if rung.open}
    return {"ended": [job for job in before if job and job not in open_still], "deleted": deleted}
