"""``homeroom data stats``: what data holds, in numbers."""

from __future__ import annotations

from typing import Any

import click

from homeroom.cli.common import emit, json_option, plural, table
from homeroom.cli.data.sources import base_option, column_option, format_option, material

SHOWN = ("split", "task", "subject", "grade_band", "question_type", "scenario", "difficulty", "language", "source", "consent")
CELLS = 40


@click.command(name="stats")
@click.argument("source", required=False)
@base_option
@format_option
@column_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, source: str | None, base: str, format_: str | None, columns: tuple[str, ...], as_json: bool
) -> None:
    """Count the examples of a file, a dataset version or the bundled course by subject, grade and question type.

    With --base also tokens, counted with its own tokenizer and chat template.
    """
    from homeroom.app.checking import token_counter
    from homeroom.data.stats import statistics
    from homeroom.settings import load_settings

    found = material(ctx, source, format_, columns)
    tokens = token_counter(base, lambda: load_settings(ctx.find_root().obj["overrides"])) if base else None
    data = {"name": found.name, "base": base or None, **statistics(found.examples, splits=found.splits, tokens=tokens)}
    emit(data, as_json, lambda: _text(data))


def _text(data: dict[str, Any]) -> None:  # as `statistics` gives it
    click.echo(f"{data['name']}: {plural(data['examples'], 'example')}\n")
    rows = [
        (label, ", ".join(f"{value or 'not said'} {count:,}" for value, count in data[f"by_{label}"].items()))
        for label in SHOWN
        if f"by_{label}" in data
    ]
    if rows:
        table(("label", "examples"), rows)
        click.echo()
    cells = sorted(data["cells"], key=lambda cell: -cell["examples"])
    if any(cell["subject"] or cell["grade"] for cell in cells):
        columns = ("subject", "grade", "question_type")
        table((*columns, "examples"), [(*(c[k] or "not said" for k in columns), c["examples"]) for c in cells[:CELLS]])
        click.echo(f"… and {len(cells) - CELLS} more kinds (--json has all)\n" if len(cells) > CELLS else "")
    names = {"turns": "turns", "prompt_words": "words of the learner", "reply_words": "words of a reply", "tokens": "tokens",
             "loss_tokens": "tokens that carry loss"}  # fmt: skip
    spreads = [(title, data[name]) for name, title in names.items() if name in data]
    keys = ("least", "quarter", "median", "three_quarters", "p95", "most", "sum")
    table(("length", "least", "25 %", "median", "75 %", "95 %", "most", "in all"),
          [(title, *(f"{spread[key]:,}" for key in keys)) for title, spread in spreads])  # fmt: skip
