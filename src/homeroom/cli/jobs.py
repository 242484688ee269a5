"""``homeroom jobs``: what runs in the background, and deciding about it."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli import webhooks
from homeroom.cli.common import duration, emit, json_option, open_home, plural, table, when
from homeroom.cli.values import COUNT, MOST_DAYS, FiniteRange

if TYPE_CHECKING:
    from homeroom.schema.jobs import Job

STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
DAY_S = 86_400


@click.group(name="jobs")
def command() -> None:
    """List, follow, pause, resume, cancel and forget background jobs."""


def plain(job: Job) -> dict[str, Any]:
    """The job as JSON, with its state as people are told it."""
    return {**dataclasses.asdict(job), "status": job.status}


command.add_command(webhooks.command)


@command.command(name="list")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Most jobs.")
@json_option
@click.pass_context
def list_(ctx: click.Context, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    # A paused job is stored as a queued one: of those all are read, so that the limit counts what is shown.
    stored, most = ("queued", COUNT) if state in ("queued", "paused") else (state, limit)
    found = open_home(ctx).jobs.list(state=stored, limit=most)
    jobs = [job for job in found if state in (None, job.status)][:limit]

    def text() -> None:
        if not jobs:
            click.echo("No jobs yet. Start one with: homeroom tune run" if state is None else f"No job is {state}.")
            return
        rows = [(j.id, j.kind, j.status, f"{j.progress:.0%}", when(j.created_at), _told(j)) for j in jobs]
        table(("job", "kind", "state", "done", "made", "message"), rows)

    emit([plain(j) for j in jobs], as_json, text)


def _told(job: Job) -> str:
    """What stands in the last column: why it failed, what it does, or what it waits for."""
    if job.state != "queued":
        return job.error or job.message
    if job.not_before is not None and job.not_before > time.time():
        return f"waits until {when(job.not_before)}"
    if job.depends_on:
        return f"waits for {', '.join(job.depends_on)}"
    return job.message


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def show(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Show one job with its events."""
    store = open_home(ctx).jobs
    job = store.get(job_id)
    events = store.events(job_id)

    def text() -> None:
        click.echo(f"{job.id}  {job.kind}  {job.status}  {job.progress:.0%}  attempt {job.attempts}")
        waits = _told(job) if job.state == "queued" else ""
        took = f"took {duration(float(job.cost['seconds']))}" if job.cost and "seconds" in job.cost else ""
        needs = f"needs a slot of {job.resource}" if job.resource else ""
        died = f"deaths since it last kept something new: {job.deaths}, given up at {job.max_attempts}" if job.deaths else ""
        if about := [part for part in (f"priority {job.priority}" if job.priority else "", needs, waits, took, died) if part]:
            click.echo(f"  {'; '.join(about)}")
        for event in events:
            click.echo(f"  {when(event.created_at)}  {event.level:<7}  {event.message}")
        if job.error:
            click.echo(f"error: {job.error}")

    emit({**plain(job), "events": [dataclasses.asdict(e) for e in events]}, as_json, text)


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def follow(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Follow a job until it is done, running it here if nothing else does. Ctrl-C stops; what was saved is kept."""
    from homeroom.cli.progress import wait

    home = open_home(ctx)
    job = wait(home, home.jobs.get(job_id), quiet=as_json)
    emit(plain(job), as_json, lambda: None)


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def pause(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Pause a job. A queued one waits at once; a running one saves what is whole first."""
    job = open_home(ctx).jobs.pause(job_id)
    emit(plain(job), as_json, lambda: click.echo(f"{job.id}: {'paused' if job.paused else 'pausing'}"))


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def resume(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Let a paused job go on. A worker runs it: that of the server, or `homeroom jobs follow`."""
    job = open_home(ctx).jobs.resume(job_id)
    emit(plain(job), as_json, lambda: click.echo(f"{job.id}: {job.status}. Follow it: homeroom jobs follow {job.id}"))


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def cancel(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Cancel a job. A queued one ends at once; a running one saves what is whole and ends.

    What a run has begun at an endpoint ends there as well, also that of a run that failed here and goes on there.
    """
    from homeroom.app.engines import server_runs
    from homeroom.app.openai_left import cancel_job
    from homeroom.cli.tune_files import finish

    home = open_home(ctx)
    job, rest = cancel_job(home, job_id)
    if rest is not None and not server_runs(home):
        finish(home, [rest])
    told = "cancelled" if job.done else "cancelling"
    if job.state == "failed" and rest is not None:
        over = home.jobs.get(rest.id).state == "succeeded"
        so = "has ended" if over else f"is told to end: homeroom jobs show {rest.id}"
        told = f"had failed; what it left at its endpoint {so}"
    emit(plain(job), as_json, lambda: click.echo(f"{job.id}: {told}"))


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def logs(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Print what the job's process wrote."""
    home = open_home(ctx)
    job = home.jobs.get(job_id)
    path = home.work_root / job.id / "log.txt"
    log = path.read_text("utf-8", errors="replace") if path.exists() else ""
    nothing = f"Job {job.id} has written nothing. See its events: homeroom jobs show {job.id}\n"
    emit({"job": job.id, "log": log}, as_json, lambda: click.echo(log or nothing, nl=False))


@command.command()
@click.option("--days", default=30.0, show_default=True, type=FiniteRange(0, MOST_DAYS), help="Forget jobs that ended earlier.")
@json_option
@click.pass_context
def prune(ctx: click.Context, days: float, as_json: bool) -> None:
    """Forget old jobs with their events, logs and folders. Jobs that made a model which is still there are kept."""
    from homeroom.app.work import prune as forget

    gone = forget(open_home(ctx), time.time() - days * DAY_S)
    emit({"forgotten": list(gone)}, as_json, lambda: click.echo(f"{plural(len(gone), 'job')} forgotten."))
