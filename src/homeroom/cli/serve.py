"""``homeroom serve``: the chat, the practice and the OpenAI-compatible API on this machine."""

from __future__ import annotations

import click

from homeroom.cli.common import emit, json_option, open_home


@click.command(name="serve")
@click.option("--host", help="Address to listen on; loopback unless accounts exist.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--base", help="Base model to serve in place of the default one; must have been pulled.")
@click.option("--worker/--no-worker", default=True, show_default=True, help="Whether to run queued jobs.")
@json_option
@click.pass_context
def command(ctx: click.Context, host: str | None, port: int | None, base: str | None, worker: bool, as_json: bool) -> None:
    """Serve the chat and the OpenAI-compatible API until Ctrl-C."""
    from homeroom.app.serve import Supervisor

    home = open_home(ctx, host=host, port=port, default_base=base)
    if base is not None:
        home.base_files(base)  # refuse now, not in the background

    def say(line: str) -> None:
        click.echo(line, err=True)

    def ready(address: str) -> None:
        data = {"address": address, "api": f"{address}/v1"}
        emit(data, as_json, lambda: click.echo(f"Homeroom is at {address}   (API: {address}/v1)   Ctrl-C ends it."))

    Supervisor(home, worker=worker, say=say).run(ready)
