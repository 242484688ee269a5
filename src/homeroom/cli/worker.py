"""``homeroom worker``: run queued jobs without a server."""

from __future__ import annotations

import threading

import click

from homeroom.cli.common import open_home


@click.command(name="worker")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run queued jobs, one at a time, until Ctrl-C. `homeroom serve` starts a worker of its own."""
    from homeroom.app.work import make_worker

    home = open_home(ctx)
    click.echo("Waiting for jobs. Ctrl-C ends.", err=True)
    make_worker(home).run(threading.Event())
