"""``homeroom tune show-prompt``: what a tuned prompt says, and what it was chosen from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import emit, json_option, open_home, table

if TYPE_CHECKING:
    from homeroom.app.prompts import ShownPrompt

QUESTION = "(what somebody asks)"


@click.command(name="show-prompt")
@click.argument("model")
@click.option("--question", default=QUESTION, show_default=True, help="What somebody writes to the model.")
@click.option("--output", type=click.Path(path_type=Path), help="Also write the messages to this file, as JSON for any chat API.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@json_option
@click.pass_context
def command(ctx: click.Context, model: str, question: str, output: Path | None, force: bool, as_json: bool) -> None:
    """Show the messages that a model with a tuned prompt is sent, and the candidates that it was chosen from."""
    from homeroom.app.prompts import shown_prompt
    from homeroom.errors import ConflictError
    from homeroom.storage.files import write_atomically

    if output is not None and output.exists() and not force:
        raise ConflictError(f"{str(output)!r} exists. Choose another name or add --force.", code="file-exists")
    found = shown_prompt(open_home(ctx), model, question)
    if output is not None:
        write_atomically(output, (json.dumps(found.exported(), ensure_ascii=False, indent=1) + "\n").encode())
    emit(found.to_dict(), as_json, lambda: _text(found, output))


def _text(found: ShownPrompt, output: Path | None) -> None:
    for number, messages in enumerate(found.prompts, start=1):
        if len(found.prompts) > 1:
            click.echo(f"Prompt {number} of {len(found.prompts)}; of the replies the middle one is given")
        for message in messages:
            click.echo(click.style(f"{message.role}:", bold=True))
            click.echo(f"{message.content}\n")
    if found.schema is not None:
        click.echo(f"The reply is a JSON object: {', '.join(found.schema['required'])}\n")
    candidates(found.candidates)
    if output is not None:
        many = len(found.prompts)
        rest = f", those of {many} prompts: send each, and take the middle reply" if many > 1 else ""
        click.echo(f"Messages written to {output}{rest}")


def gained_nothing(scored: Sequence[Mapping[str, Any]]) -> str:
    """What to say where the search found nothing better than what it began with; empty where it did."""
    if max(row["selection_score"] for row in scored) == 0:
        return "No candidate gave one good reply: no prompt makes up for this base. Take a stronger one: --base ENDPOINT/MODEL"
    if any(row["kept"] and row["candidate"] == "plain" for row in scored):
        return "Nothing tried is better than the plain prompt, so that is kept: this model answers as its base does."
    return ""


def candidates(rows: Sequence[Mapping[str, Any]]) -> None:
    """What was tried, best first: the score that chose, and wins, ties and losses against the first that was tried."""
    scored = [row for row in rows if "selection_score" in row]
    if scored:
        table(
            ("candidate", "selection score", "wins", "ties", "losses", "shown", "calls", ""),
            [
                (
                    row["candidate"],
                    f"{row['selection_score']:.2f}",
                    *(row[key] for key in ("wins", "ties", "losses", "demonstrations", "requests")),
                    "kept" if row["kept"] else "",
                )
                for row in scored
            ],
        )
        click.echo(
            "The selection score chose between them, so it flatters. The test's comes from: homeroom eval run (of a program of "
            "several fields, or of your own: homeroom tune score MODEL)"
        )
        if told := gained_nothing(scored):
            click.secho(told, fg="yellow")
    for row in rows:
        if "not_tried" in row:
            click.echo(f"{row['candidate']}: not tried, {row['not_tried']}")
