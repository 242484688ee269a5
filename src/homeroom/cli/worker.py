"""``homeroom worker``: run queued jobs without a server."""

from __future__ import annotations

import signal
import threading

import click

from homeroom.cli.common import open_home


@click.command(name="worker")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run queued jobs, one at a time, until Ctrl-C. `homeroom serve` starts a worker of its own."""
    from homeroom.app.work import make_worker

    home = open_home(ctx)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    click.echo("Waiting for jobs. Ctrl-C ends.", err=True)
    make_worker(home).run(stop)
    click.echo("Stopped. A job that ran goes on when a worker runs again.", err=True)
