"""``homeroom data show``: examples as people read them, and as a model sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import emit, json_option, visible
from homeroom.cli.data.sources import column_option, format_option, material
from homeroom.cli.values import COUNT

if TYPE_CHECKING:
    from homeroom.schema.examples import Example


@click.command(name="show")
@click.argument("source", required=False)
@click.option("-n", "count", default=3, show_default=True, type=click.IntRange(1, COUNT), help="How many examples.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="Only examples of this task.")
@click.option("--line", "number", type=click.IntRange(1, COUNT), help="Only the example in this place, from 1.")
@click.option("--tokens", is_flag=True, help="Show the tokens as the base sees them; those that carry loss are marked.")
@click.option("--base", help="Base model for --tokens; the default base when omitted.")
@format_option
@column_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    source: str | None,
    count: int,
    task: str | None,
    number: int | None,
    tokens: bool,
    base: str | None,
    format_: str | None,
    columns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show examples of a file, of a dataset version, or of the bundled course."""
    found = material(ctx, source, format_, columns)
    chosen = [e for e in found.examples if task in (None, e.task)]
    chosen = chosen[number - 1 : number] if number else chosen[:count]
    if tokens:
        _tokens(ctx, chosen, base, as_json)
        return

    def text() -> None:
        for example in chosen:
            _head(example)
            for message in example.messages:
                click.echo(f"  {message.role:>9}: {visible(message.content)}")
            click.echo()

    emit([e.to_dict() for e in chosen], as_json, text)


def _head(example: Example, more: str = "") -> None:
    meta = " · ".join(f"{k} {v}" for k, v in example.metadata.items() if k in ("task", "subject", "grade", "topic", "scenario"))
    click.secho(f"{example.id}  {meta}{more}", bold=True)


def _tokens(ctx: click.Context, chosen: list[Example], base: str | None, as_json: bool) -> None:
    """Each token in order; those that carry loss stand between marks, in colour on a terminal."""
    from homeroom.app.checking import tokenizer_of
    from homeroom.settings import load_settings

    tokenizer = tokenizer_of(base, lambda: load_settings(ctx.find_root().obj["overrides"]))
    rows: list[dict[str, Any]] = []
    for example in chosen:
        ids, mask = tokenizer.encode_chat(example.messages)
        texts = [tokenizer.decode([i]) for i in ids]
        rows.append({"id": example.id, "tokens": len(ids), "loss_tokens": sum(mask), "ids": ids, "loss": mask, "texts": texts})

    def text() -> None:
        for example, row in zip(chosen, rows, strict=True):
            _head(example, f"  {row['tokens']} tokens, {row['loss_tokens']} carry loss")
            line = ""
            for piece, carries in zip(row["texts"], row["loss"], strict=True):
                line += click.style(f"⟦{visible(piece)}⟧", fg="green") if carries else visible(piece)
            click.echo("".join(f"  {part}\n" for part in line.replace("⟧⟦", "·").split("\n")))

    emit(rows, as_json, text)
