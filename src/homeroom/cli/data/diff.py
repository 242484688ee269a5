"""``homeroom data diff``: from one version or file to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, visible
from homeroom.cli.data.sources import material

if TYPE_CHECKING:
    from homeroom.data.diff import Difference
    from homeroom.schema.examples import Example

SHOWN = 10
WIDTH = 100


@click.command(name="diff")
@click.argument("before")
@click.argument("after")
@click.option("--all", "everything", is_flag=True, help="Show every example.")
@json_option
@click.pass_context
def command(ctx: click.Context, before: str, after: str, everything: bool, as_json: bool) -> None:
    """Say what was added, removed, changed (with the fields) and moved to another split between two versions or files."""
    from homeroom.data.diff import difference, to_dict

    old, new = material(ctx, before), material(ctx, after)
    found = difference(old.examples, new.examples, old.splits, new.splits)
    emit(to_dict(found), as_json, lambda: _text(found, old.name, new.name, None if everything else SHOWN))


def _text(found: Difference, before: str, after: str, limit: int | None) -> None:
    counts = ", ".join(f"{count:,} {what}" for what, count in found.counts.items())
    click.echo(f"{before} → {after}: {counts}")
    for sign, colour, examples in (("-", "red", found.removed), ("+", "green", found.added)):
        for example in examples[:limit]:
            click.secho(f"{sign} {_short(example)}", fg=colour)
        _more(len(examples), limit)
    for change in found.changed[:limit]:
        click.echo(f"~ {_short(change.after)}")
        for path, (was, now) in change.fields.items():
            click.secho(f"    {path}", bold=True)
            click.secho(f"    - {_value(was)}", fg="red")
            click.secho(f"    + {_value(now)}", fg="green")
    _more(len(found.changed), limit)
    for moved in found.moved[:limit]:
        click.echo(f"> {_short(moved.example)}: {moved.before} → {moved.after}")
    _more(len(found.moved), limit)


def _more(count: int, limit: int | None) -> None:
    if limit is not None and count > limit:
        click.echo(f"  … and {count - limit:,} more (--all shows them)")


def _short(example: Example) -> str:
    opening = next((m.content for m in example.messages if m.role == "user"), "")
    return f"{example.id} {_value(opening)}"


def _value(value: object) -> str:
    text = " ".join(visible("(nothing)" if value is None else str(value)).split())
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"
