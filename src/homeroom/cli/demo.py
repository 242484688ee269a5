"""``homeroom demo``: from examples to a chat with tuned, judged models."""

from __future__ import annotations

import time
from pathlib import Path

import click

from homeroom.cli.common import duration, emit, json_option, open_home
from homeroom.cli.spending import yes_option


@click.command(name="demo")
@click.option("--data", type=click.Path(path_type=Path), help="A JSONL file of examples in place of the bundled course.")
@click.option("--base", help="Base model in place of the embedded one: a catalogue name, a Hugging Face id, or ENDPOINT/MODEL.")
@click.option("--recipe", default="recipes/demo.yaml", show_default=True, type=click.Path(path_type=Path), help="Recipe file.")
@click.option("--again", is_flag=True, help="Tune and judge anew, although it was done before.")
@click.option("--serve/--no-serve", default=True, show_default=True, help="Whether to open the chat at the end.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the chat.")
@yes_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    data: Path | None,
    base: str | None,
    recipe: Path,
    again: bool,
    serve: bool,
    port: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """From the bundled course (or your file) to a chat with a tuned model.

    A rerun continues where the last one stopped. Ctrl-C ends everything that was started.
    """
    from homeroom.app.demo import Options, run_demo
    from homeroom.app.endpoints import endpoint_of
    from homeroom.app.reach import check_port
    from homeroom.app.serve import Supervisor
    from homeroom.cli.demo_view import Screen
    from homeroom.storage.lock import HomeLock

    home = open_home(ctx, port=port)
    if base and endpoint_of(home.settings, base) is None:
        home = home.with_base(base)  # the chat at the end serves it too
    running = HomeLock.holder(home.settings.home)
    if serve and not as_json and running is None:
        check_port(home.settings.host, home.settings.port, "homeroom demo")  # now, not after minutes of training
    screen = Screen(home, quiet=as_json, yes=yes)
    screen.title()
    started = time.monotonic()
    acts = run_demo(home, Options(data, base or "", recipe, again), screen)
    screen.closing(duration(time.monotonic() - started))
    results = [
        {
            "task": act.task,
            "model": act.model.name,
            "verdict": act.model.verdict,
            "report": str(act.report),
            **act.result.summary(),
        }
        for act in acts
    ]
    emit({"seconds": round(time.monotonic() - started, 1), "acts": results}, as_json, lambda: None)
    if serve and not as_json and running is not None:
        screen.line(f"The chat is open already: {running.address}")
    elif serve and not as_json:
        Supervisor(home, say=screen.line).run(screen.ready)
