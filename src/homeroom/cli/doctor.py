"""``homeroom doctor``: what this machine can run and what is missing."""

from __future__ import annotations

import click

from homeroom.cli.common import emit, json_option

MARKS = {"ok": ("ok", "green"), "warning": ("!!", "yellow"), "missing": ("--", "red")}


@click.command(name="doctor")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """Say what this machine can run and what is missing, with the command that mends it.

    Exits 1 when something is missing.
    """
    import dataclasses

    from homeroom.app.doctor import examine
    from homeroom.settings import load_settings

    checks = examine(load_settings(ctx.find_root().obj["overrides"]))
    missing = [c for c in checks if c.state == "missing"]

    def text() -> None:
        width = max(len(c.name) for c in checks)
        for check in checks:
            mark, colour = MARKS[check.state]
            click.echo(f"{click.style(mark, fg=colour)}  {check.name.ljust(width)}  {check.detail}")
            if check.mend:
                click.echo(f"    {' ' * width}  -> {check.mend}")
        click.echo(
            "Everything that the demo needs is here." if not missing else f"{len(missing)} missing: run the commands above."
        )

    emit({"ok": not missing, "checks": [dataclasses.asdict(c) for c in checks]}, as_json, text)
    return 1 if missing else 0
