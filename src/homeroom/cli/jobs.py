"""``homeroom jobs``: list, show, follow and cancel background jobs."""

from __future__ import annotations

import dataclasses

import click

from homeroom.cli.common import emit, json_option, open_home, table, when


@click.group(name="jobs")
def command() -> None:
    """List, follow and cancel background jobs."""


@command.command(name="list")
@click.option(
    "--state", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"]), help="Only jobs in this state."
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Most jobs.")
@json_option
@click.pass_context
def list_(ctx: click.Context, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    jobs = open_home(ctx).jobs.list(state=state, limit=limit)

    def text() -> None:
        if not jobs:
            click.echo("No jobs yet. Start one with: homeroom tune run")
            return
        rows = [(j.id, j.kind, j.state, f"{j.progress:.0%}", when(j.created_at), j.error or j.message) for j in jobs]
        table(("job", "kind", "state", "done", "made", "message"), rows)

    emit([dataclasses.asdict(j) for j in jobs], as_json, text)


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
        click.echo(f"{job.id}  {job.kind}  {job.state}  {job.progress:.0%}  attempt {job.attempts} of {job.max_attempts}")
        for event in events:
            click.echo(f"  {when(event.created_at)}  {event.level:<7}  {event.message}")
        if job.error:
            click.echo(f"error: {job.error}")

    emit({**dataclasses.asdict(job), "events": [dataclasses.asdict(e) for e in events]}, as_json, text)


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def follow(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Follow a job until it is done, running it here if nothing else does. Ctrl-C stops; what was saved is kept."""
    from homeroom.cli.progress import wait

    home = open_home(ctx)
    job = wait(home, home.jobs.get(job_id), quiet=as_json)
    emit(dataclasses.asdict(job), as_json, lambda: None)


@command.command()
@click.argument("job_id")
@json_option
@click.pass_context
def cancel(ctx: click.Context, job_id: str, as_json: bool) -> None:
    """Cancel a job. A queued one ends at once; a running one saves what is whole and ends."""
    store = open_home(ctx).jobs
    job = store.request_cancel(job_id)
    emit(dataclasses.asdict(job), as_json, lambda: click.echo(f"{job.id}: {'cancelled' if job.done else 'cancelling'}"))


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
