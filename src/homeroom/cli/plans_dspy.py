"""How the plan of a search for a prompt is shown: whom it asks, how often, at what price, and what is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import table

if TYPE_CHECKING:
    from homeroom.schema.tuning import Plan


def asks(name: str, plan: Plan) -> None:
    """A row for each model that a search asks, and a line that says what is held; nothing of other plans."""
    rows = plan.details.get("asks")
    if rows is None:
        return
    if plan.details["made_before"]:
        click.echo(f"{name}: this very search was made before: no model is asked")
        return
    click.echo(f"\n{name}: expected of each model")
    columns = ("model", "what for", "calls", "fewest", "most", "tokens", "money", "seconds a call", "known from")
    table(columns, [_row(one) for one in rows])
    details = plan.details
    money = f" and ${plan.cost_high_usd:.4f}" if details["counted"] and details["priced"] else ""
    click.echo(f"{name}: held: at most {details['calls']} calls{money}. Text goes to: {details['text_goes']}")


def _row(one: dict[str, Any]) -> tuple[object, ...]:  # of `Asking.to_dict`
    known = f"{one['known_from_calls']} calls here" if one["known_from_calls"] else "a guess"
    between = f"{one['seconds']:.2f} ({one['seconds_low']:.2f} to {one['seconds_high']:.2f})"
    money = "free" if not one["counted"] else f"${one['cost_usd']:.4f}" if one["priced"] else "not known"
    calls = (one["calls"], one["calls_low"], one["calls_most"])
    return (one["model"], one["does"], *calls, f"{one['tokens']:,}", money, between, known)
