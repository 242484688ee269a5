"""``homeroom worker``: run queued jobs without a server."""

from __future__ import annotations

import click

from homeroom.cli.common import open_home


@click.command(name="worker")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run queued jobs and send webhooks until Ctrl-C. `homeroom serve` starts a worker of its own.

    Jobs run side by side, as many as the settings slots_cpu, slots_gpu and slots_api allow; all workers of a home share these.
    """
    from homeroom.app.run_worker import run_until_told

    home = open_home(ctx)
    click.echo("Waiting for jobs. Ctrl-C ends.", err=True)
    run_until_told(home)
    click.echo("Stopped. A job that ran goes on when a worker runs again.", err=True)
