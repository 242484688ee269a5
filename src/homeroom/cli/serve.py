"""``homeroom serve``: the chat, the practice and the OpenAI-compatible API on this machine."""

from __future__ import annotations

import click

from homeroom.cli.common import emit, json_option, open_home


@click.command(name="serve")
@click.option("--host", help="Address to listen on; other machines reach any but 127.0.0.1, and need a key.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    help="A further name to answer to: NAME, or https://NAME behind a proxy that speaks HTTPS. May be repeated.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@click.option("--base", help="Base model to serve in place of the default one; must have been pulled.")
@click.option("--worker/--no-worker", default=True, show_default=True, help="Whether to run queued jobs.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    host: str | None,
    allow_hosts: tuple[str, ...],
    port: int | None,
    base: str | None,
    worker: bool,
    as_json: bool,
) -> None:
    """Serve the chat and the OpenAI-compatible API until Ctrl-C."""
    from homeroom.app.serve import Supervisor

    home = open_home(ctx, host=host, allow_hosts=list(allow_hosts) or None, port=port, default_base=base)
    if base is not None:
        home.base_files(base)  # refuse now, not in the background

    def say(line: str) -> None:
        click.echo(line, err=True)

    def ready(address: str) -> None:
        data = {"address": address, "api": f"{address}/v1", "elsewhere": list(supervisor.elsewhere)}
        emit(data, as_json, lambda: _tell(address, supervisor.elsewhere))

    supervisor = Supervisor(home, worker=worker, say=say)
    supervisor.run(ready)


def _tell(address: str, elsewhere: tuple[str, ...]) -> None:
    click.echo(f"Homeroom is at {address}   (API: {address}/v1)   Ctrl-C ends it.")
    if elsewhere:
        click.echo(f"Other machines reach it at {' or '.join(elsewhere)}. Everybody, you included, signs in with a key:")
        click.echo("  homeroom users key create NAME   makes one (--scope admin: may change models and their settings)")
        click.echo("  homeroom users key revoke NAME   ends one, and whoever is signed in with it")
    if any(place.startswith("http://") for place in elsewhere):
        click.echo("Over http:// keys and conversations travel unencrypted: only in a network that you trust.")
