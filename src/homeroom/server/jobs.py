"""Background work, to look at: jobs are started and cancelled from the command line."""

from __future__ import annotations

from flask import Blueprint, render_template

from homeroom.server.context import services

blueprint = Blueprint("jobs", __name__)
SHOWN_EVENTS = 200


@blueprint.get("/jobs")
def page() -> str:
    """All jobs."""
    return render_template("jobs.html", jobs=services().jobs())


@blueprint.get("/jobs/list")
def listing() -> str:
    """The list alone, for when it changed."""
    return render_template("_jobs.html", jobs=services().jobs())


@blueprint.get("/jobs/banner")
def banner() -> str:
    """The line that says that answers are slower while a job runs; empty when none does."""
    return render_template("_banner.html")


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> str:
    """One job with what it said."""
    return render_template("job.html", job=services().job(job_id), events=services().job_events(job_id)[-SHOWN_EVENTS:])


@blueprint.get("/jobs/<job_id>/detail")
def detail(job_id: str) -> str:
    """The job's part of its page, for when it changed."""
    return render_template("_job.html", job=services().job(job_id), events=services().job_events(job_id)[-SHOWN_EVENTS:])
