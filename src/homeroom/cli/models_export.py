"""``homeroom models export``: a model for use elsewhere, compared with the original before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from homeroom.cli.common import emit, json_option, open_home, size

TARGETS = ("merged", "gguf", "ollama")


@click.command(name="export")
@click.argument("name")
@click.option(
    "--to",
    type=click.Choice(TARGETS),
    required=True,
    help="merged: safetensors for transformers and vLLM. gguf: one file for llama.cpp. ollama: that file and a Modelfile.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to make.")
@click.option(
    "--type",
    "number",
    help="Number type of the weights: f32, f16, bf16; for gguf and ollama also q8_0 (default), q5_1, q5_0, q4_1, q4_0.",
)
@click.option("--force", is_flag=True, help="Replace an earlier export.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the job.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, name: str, to: str, out: Path, number: str | None, force: bool, wait: bool, as_json: bool
) -> None:
    """Write a tuned model or a base for use elsewhere, and compare it with the original before it is kept.

    It is a job: Ctrl-C or `homeroom jobs cancel` stops it, and nothing is left of what was begun.
    """
    from homeroom.app.exporting import TARGETS as KNOWN
    from homeroom.app.exporting import submit_export
    from homeroom.cli import progress

    target = next(one for one in KNOWN if one == to)
    home = open_home(ctx)
    job = submit_export(home, name, target, out, number=number, force=force)
    if not wait:
        emit({"job": job.id}, as_json, lambda: click.echo(f"Queued. Follow it: homeroom jobs follow {job.id}"))
        return
    found: dict[str, Any] = dict(progress.wait(home, job, quiet=as_json).result or {})  # JSON of `Exported`

    def text() -> None:
        click.echo(f"{found['model']} as {found['number']}: {found['folder']} ({size(found['size_bytes'])})")
        click.echo(f"  {found['checked']['text']}")
        for warning in found["checked"]["warnings"]:
            click.secho(f"  {warning}", fg="yellow")
        if to == "ollama":
            click.echo(f"  Next: cd {found['folder']} && ollama create NAME -f Modelfile")

    emit(found, as_json, text)
