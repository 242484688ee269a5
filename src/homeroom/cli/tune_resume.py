"""``homeroom tune resume``: going on with a tuning that stopped."""

from __future__ import annotations

import dataclasses

import click

from homeroom.cli.common import emit, json_option, open_home
from homeroom.cli.spending import agree


@click.command(name="resume")
@click.argument("job_id", required=False, default="")
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the job.")
@json_option
@click.pass_context
def command(ctx: click.Context, job_id: str, yes: bool, wait: bool, as_json: bool) -> None:
    """Go on with a tuning that was interrupted, paused or cancelled, or that failed, from what it had saved.

    JOB_ID is that of a run, batch, sweep, comparison or probe; without one it is the one that stopped last.
    """
    from homeroom.app.resuming import KINDS, go_on, go_on_and_wait, job_to_resume, quotes_of_job, state_in_words
    from homeroom.cli import progress

    home = open_home(ctx)
    job = job_to_resume(home, job_id)
    if not as_json:
        name = (job.payload.get("recipe") or {}).get("name") or job.payload.get("study") or ""
        called = f" {name!r}" if name else ""
        click.echo(f"The {KINDS[job.kind]}{called}, job {job.id}: {state_in_words(job)}", err=True)
    agree(quotes_of_job(home, job), yes=yes, as_json=as_json)
    named = job.id
    if wait:
        job = go_on_and_wait(
            home, job, lambda one: progress.wait(home, one, quiet=as_json, indent="" if one.id == named else "  ")
        )
    else:
        job = go_on(home, job)

    def text() -> None:
        if not wait:
            click.echo(f"Queued. Follow it: homeroom jobs follow {job.id}")
            return
        result = job.result or {}
        for name in result.get("models", ()) if job.kind not in ("compare", "probe") else ():
            click.echo(f"Registered {name}")
        if result.get("report"):
            click.echo(f"Report: {home.artifacts.path(str(result['report'])) / 'report.html'}")

    emit(dataclasses.asdict(job), as_json, text)
