"""``homeroom tune files``: what runs of the method ``openai`` uploaded and left at endpoints, and deleting it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import emit, json_option, open_home, plural, table, when

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.openai_left import Left
    from homeroom.schema.jobs import Job


@click.command(name="files")
@click.option(
    "--delete", "job_ids", multiple=True, metavar="JOB", help="Delete what this run uploaded; may be given several times."
)
@json_option
@click.pass_context
def command(ctx: click.Context, job_ids: tuple[str, ...], as_json: bool) -> None:
    """List what runs with --method openai uploaded and left there, and when it is deleted.

    What is due is deleted first: after `remote_files_days` of the settings, or where a run was to delete its files and could not.
    """
    from homeroom.app.openai_left import left_there, submit_deletion
    from homeroom.cli import progress

    home = open_home(ctx)
    tidy_up(home)
    for job in [submit_deletion(home, job_id) for job_id in job_ids]:
        done = progress.wait(home, job, quiet=True)
        if not as_json:
            click.echo(f"{plural(int((done.result or {})['deleted']), 'file')} deleted.", err=True)
    found = left_there(home)

    def text() -> None:
        if not found:
            click.echo("No run has left a file at an endpoint.")
            return
        rows = [(left.job.id, left.run, left.endpoint, _count(left), left.job.status, _goes(left)) for left in found]
        table(("job", "run", "endpoint", "files", "state", "deleted"), rows)
        click.echo("Delete those of one: homeroom tune files --delete JOB")
        for left in found:
            if left.unfinished and left.job.state == "failed":
                going = f"{left.job.id} failed here, and its job at the endpoint may go on."
                click.echo(f"{going} Go on with it: homeroom tune resume; or end it: homeroom jobs cancel {left.job.id}")

    emit([_plain(left) for left in found], as_json, text)


def tidy_up(home: Homeroom) -> None:
    """Do what is due at endpoints, or leave it to the server's worker. What cannot be done is told, and tried again next time."""
    from homeroom.app.openai_left import submit_due

    see_to(home, submit_due(home))


def see_to(home: Homeroom, jobs: list[Job]) -> None:
    """Run these jobs, or leave them to the server's worker."""
    from homeroom.app.engines import server_runs

    if not server_runs(home):
        finish(home, jobs)


def finish(home: Homeroom, jobs: list[Job]) -> None:
    """Run those whose time has come; a failure is a warning."""
    from homeroom.app.work import wait_for
    from homeroom.errors import JobFailed

    for job in jobs:
        if job.not_before is not None and job.not_before > time.time():
            continue
        try:
            wait_for(home, job.id)
        except JobFailed as error:
            click.echo(f"warning: {error.message}", err=True)


def _count(left: Left) -> str:
    """How many files are there; ``perhaps`` where an upload was never confirmed."""
    perhaps = f"perhaps {left.perhaps}{' more' if left.files else ''}" if left.perhaps else ""
    return ", ".join(part for part in (str(len(left.files)) if left.files or not perhaps else "", perhaps) if part)


def _goes(left: Left) -> str:
    """When the files are deleted."""
    if left.delete_at is not None:
        return when(left.delete_at) if left.delete_at > time.time() else "due"
    if left.deletes and left.unfinished and left.job.done:
        return "when its job there is over"
    return "never" if left.job.done and left.uploaded else ""


def _plain(left: Left) -> dict[str, Any]:
    """As JSON."""
    return {
        "job": left.job.id,
        "run": left.run,
        "endpoint": left.endpoint,
        "files": list(left.files),
        "perhaps": left.perhaps,
        "state": left.job.status,
        "unfinished": left.unfinished,
        "delete_at": left.delete_at,
    }
