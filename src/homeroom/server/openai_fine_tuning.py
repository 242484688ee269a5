"""OpenAI's fine-tuning API: jobs that train a real adapter on this machine."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from homeroom.app.fine_tuning.checkpoints import Checkpoint
from homeroom.app.fine_tuning.jobs import FineTuningJobs, MetadataFilter
from homeroom.app.fine_tuning.request import parse_request
from homeroom.server.context import scope, services
from homeroom.server.failures import RequestError
from homeroom.server.query import query_text, query_whole
from homeroom.server.requests import json_object

blueprint = Blueprint("openai_fine_tuning", __name__, url_prefix="/v1/fine_tuning/jobs")
MAX_LISTED = 100


@blueprint.post("")
def create() -> Response:
    """Order a job."""
    job = _jobs().create(parse_request(json_object()), idempotency_key=request.headers.get("Idempotency-Key"))
    return jsonify(job.to_openai())


@blueprint.get("")
def list_jobs() -> Response:
    """A page of jobs, newest first."""
    page = _jobs().list(after=query_text("after"), limit=_limit(20), metadata=_metadata())
    return jsonify(page.to_openai(lambda job: job.to_openai()))


@blueprint.get("/<job_id>")
def get_job(job_id: str) -> Response:
    """One job."""
    return jsonify(_jobs().get(job_id).to_openai())


@blueprint.post("/<job_id>/cancel")
def cancel(job_id: str) -> Response:
    """Cancel a job."""
    return jsonify(_jobs().cancel(job_id).to_openai())


@blueprint.post("/<job_id>/pause")
def pause(job_id: str) -> Response:
    """Have a job wait."""
    return jsonify(_jobs().pause(job_id).to_openai())


@blueprint.post("/<job_id>/resume")
def resume(job_id: str) -> Response:
    """Let a paused job go on."""
    return jsonify(_jobs().resume(job_id).to_openai())


@blueprint.get("/<job_id>/events")
def list_events(job_id: str) -> Response:
    """A page of what a job said, newest first."""
    page = _jobs().events(job_id, after=query_text("after"), limit=_limit(20))
    return jsonify(page.to_openai(lambda event: event.to_openai()))


@blueprint.get("/<job_id>/checkpoints")
def list_checkpoints(job_id: str) -> Response:
    """A page of a job's checkpoints, newest first."""
    job, page = _jobs().checkpoints(job_id, after=query_text("after"), limit=_limit(10))

    def show(checkpoint: Checkpoint) -> dict[str, object]:
        return checkpoint.to_openai(job.id)

    return jsonify(page.to_openai(show, ends=True))


def _jobs() -> FineTuningJobs:
    return services().fine_tuning(scope())


def _limit(default: int) -> int:
    return query_whole("limit", default=default, low=1, high=MAX_LISTED)


def _metadata() -> MetadataFilter | None:
    """``metadata[key]=value``, as often as wanted, or ``metadata=null``."""
    if request.args.get("metadata") is not None:
        if request.args["metadata"] != "null":
            raise RequestError("'metadata' is given as metadata[key]=value, or as metadata=null", param="metadata")
        return MetadataFilter(None)
    pairs = {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in request.args.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    return MetadataFilter(pairs) if pairs else None
