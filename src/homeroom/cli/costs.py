"""``homeroom costs``: what paid calls cost, and budgets that stop them."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import duration, emit, json_option, open_home, plural, table
from homeroom.cli.values import FiniteRange

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.ledger.records import Budget, Cost, Period, Total

DAY = click.DateTime(["%Y-%m-%d"])
PURPOSES = ("tuning", "judging", "chat", "data")
METHODS = ("dspy", "openai", "huggingface")

project_option = click.option("--project", help="Only this project.")
model_option = click.option("--model", help="Only this model: ENDPOINT/MODEL or ft:...")
method_option = click.option("--method", type=click.Choice(METHODS), help="Only this method.")
purpose_option = click.option("--purpose", type=click.Choice(PURPOSES), help="Only calls for this.")
period_option = click.option(
    "--per",
    "period",
    type=click.Choice(["day", "month", "total"]),
    default="total",
    show_default=True,
    help="When it begins anew, at midnight UTC; total never does.",
)


@click.group(name="costs", invoke_without_command=True)
@click.option(
    "--by",
    default="model",
    show_default=True,
    help="What to sum by, in order, with commas: project, model, method, purpose, day, month, job, basis.",
)
@click.option("--since", type=DAY, help="From this day on, in UTC.")
@click.option("--until", type=DAY, help="Up to this day, included.")
@project_option
@model_option
@method_option
@purpose_option
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every call into this file, a line each.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    by: str,
    since: datetime | None,
    until: datetime | None,
    project: str | None,
    model: str | None,
    method: str | None,
    purpose: str | None,
    csv_path: Path | None,
    as_json: bool,
) -> None:
    """Say what paid calls cost, and set budgets that stop them.

    Calls to endpoints are counted at the prices of a dated file that prices.yaml in the home overrides. Models on this machine
    cost nothing and are not counted.
    """
    if ctx.invoked_subcommand is not None:
        return
    if since and until and since > until:
        raise click.UsageError(f"--since {since.date()} is after --until {until.date()}. Change places.", ctx)
    groups = [name.strip() for name in by.split(",") if name.strip()]
    if not groups:
        raise click.UsageError(f"--by {by!r} names nothing to sum by. Try: --by model,month", ctx)
    home = open_home(ctx)
    only = _only(project=project, model=model, method=method, purpose=purpose)
    days = (since.date().isoformat() if since else "", until.date().isoformat() if until else "")
    if csv_path is not None:
        from homeroom.app.costs import write_csv

        written = write_csv(home.ledger.lines(*days, **only), csv_path)
        emit({"file": str(csv_path), "calls": written}, as_json, lambda: click.echo(f"{plural(written, 'call')} in {csv_path}"))
        return
    totals = home.ledger.totals(groups, *days, **only)
    whole = home.ledger.totals((), *days, **only)[0]
    budgets = home.ledger.budgets()

    def text() -> None:
        if not whole.calls and (only or any(days)):
            click.echo("No such call. All of them: homeroom costs")
        elif not whole.calls:
            click.echo("No paid call yet. Models on this machine cost nothing; endpoints are counted by themselves.")
        else:
            table((*groups, *_HEADINGS), [*((*t.key, *_figures(t)) for t in totals), (*_sum_key(groups), *_figures(whole))])
            if whole.held_usd:
                click.echo("held: no answer came back, so they may have been charged. See: homeroom costs held", err=True)
            if whole.unpriced:
                click.echo(f"{plural(whole.unpriced, 'call')} without a price: write one into prices.yaml in the home", err=True)
        if budgets:
            click.echo()
            _show_budgets(budgets)

    data = {"by": groups, "totals": [_total(t, groups) for t in totals], "sum": _total(whole, [])}
    emit({**data, "budgets": [_budget(b) for b in budgets]}, as_json, text)


@command.command()
@click.option("--older-than", "minutes", default=0.0, type=FiniteRange(0), help="Only those begun so many minutes ago.")
@json_option
@click.pass_context
def held(ctx: click.Context, minutes: float, as_json: bool) -> None:
    """List calls that are under way, or of which no answer came back. They count until you resolve them."""
    found = open_home(ctx).ledger.held(minutes * 60)

    def text() -> None:
        if not found:
            click.echo("Nothing is held.")
            return
        now = time.time()
        rows = [
            (c.id, c.about.model, c.about.purpose, c.about.job_id or "-", f"${c.usd:.6f}", duration(now - c.created_at))
            for c in found
        ]
        table(("id", "model", "purpose", "job", "at most", "since"), rows)
        click.echo("Look it up at the provider, then: homeroom costs resolve ID --usd 0.01, or --usd 0 if it was not charged")

    emit([_cost(c) for c in found], as_json, text)


@command.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--usd", required=True, type=FiniteRange(0), help="What each cost; 0 when it was not charged.")
@click.option("--note", default="", help="How you know.")
@json_option
@click.pass_context
def resolve(ctx: click.Context, ids: tuple[str, ...], usd: float, note: str, as_json: bool) -> None:
    """Say what became of held calls."""
    ledger = open_home(ctx).ledger
    done = [ledger.resolve(cost_id, usd, note) for cost_id in ids]
    emit([_cost(c) for c in done], as_json, lambda: click.echo(f"{plural(len(done), 'call')} resolved at ${usd:.6f} each."))


@command.command()
@json_option
@click.pass_context
def prices(ctx: click.Context, as_json: bool) -> None:
    """Show the prices that calls are counted at, in US dollars for a million tokens."""
    from homeroom.ledger.prices import load_prices

    known = load_prices(open_home(ctx).settings.home)
    kinds = {"model": known.models, "tuned": known.tuned, "endpoint": known.endpoints}
    rows = [(kind, name, p.input, p.output, p.training) for kind, found in kinds.items() for name, p in sorted(found.items())]

    def text() -> None:
        table(("kind", "name", "input", "output", "training"), rows)
        click.echo(f"As of {known.as_of or 'no date'}. Yours go into prices.yaml in the home.")

    keys = ("kind", "name", "input", "output", "training")
    emit({"as_of": known.as_of, "prices": [dict(zip(keys, row, strict=True)) for row in rows]}, as_json, text)


@command.group(name="budget")
def budget_group() -> None:
    """Set, show and remove budgets: a call that does not fit one is not sent."""


@budget_group.command(name="set", context_settings={"ignore_unknown_options": True})  # a negative amount is no option
@click.argument("usd", type=FiniteRange(0))
@period_option
@project_option
@model_option
@method_option
@purpose_option
@json_option
@click.pass_context
def set_(
    ctx: click.Context,
    usd: float,
    period: Period,
    project: str | None,
    model: str | None,
    method: str | None,
    purpose: str | None,
    as_json: bool,
) -> None:
    """Let calls cost USD at most: all of them, or those that the options name. What was spent before counts."""
    home = open_home(ctx)
    ledger = home.ledger
    if model is not None:
        _warn_of_unserved(home, model)
    ledger.set_budget(_named(usd, period, project, model, method, purpose))
    _emit_budgets(ledger.budgets(), as_json)


@budget_group.command()
@json_option
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """Show every budget with what its period has cost."""
    _emit_budgets(open_home(ctx).ledger.budgets(), as_json)


@budget_group.command()
@period_option
@project_option
@model_option
@method_option
@purpose_option
@json_option
@click.pass_context
def remove(
    ctx: click.Context,
    period: Period,
    project: str | None,
    model: str | None,
    method: str | None,
    purpose: str | None,
    as_json: bool,
) -> None:
    """End the budget with these options."""
    ledger = open_home(ctx).ledger
    ledger.remove_budget(_named(0.0, period, project, model, method, purpose))
    _emit_budgets(ledger.budgets(), as_json)


_HEADINGS = ("calls", "prompt tokens", "reply tokens", "trained tokens", "spent", "of it estimated", "held")


def _only(**named: str | None) -> dict[str, str]:
    return {name: value for name, value in named.items() if value is not None}


def _named(usd: float, period: Period, project: str | None, model: str | None, method: str | None, purpose: str | None) -> Budget:
    from homeroom.ledger.records import ANY, Budget

    for name, value in (("project", project), ("model", model)):
        if value == "":  # an unset variable of a script must not be taken for everything
            raise click.UsageError(
                f"--{name} is empty. Name one, or leave the option out for all of them.", click.get_current_context()
            )
    return Budget(usd, period, project or ANY, model or ANY, method or ANY, purpose or ANY)


def _warn_of_unserved(home: Homeroom, model: str) -> None:
    """Say that a budget is about a model which no endpoint of the settings has: a mistyped name would stop nothing."""
    served = [f"{endpoint.name}/{name}" for endpoint in home.settings.endpoints for name in endpoint.models]
    if model not in served and not model.startswith("ft:") and not home.ledger.totals((), model=model)[0].calls:
        known = ", ".join(served) or "none"
        click.echo(
            f"warning: no endpoint lists the model {model!r} (listed: {known}). The budget is about that very name",
            err=True,
        )


def _figures(t: Total) -> tuple[str, ...]:
    counts = (t.calls, t.tokens.prompt, t.tokens.completion, t.tokens.trained)
    return (*(f"{count:,}" for count in counts), *(f"${usd:.4f}" for usd in (t.usd, t.estimated_usd, t.held_usd)))


def _sum_key(groups: list[str]) -> tuple[str, ...]:
    return ("sum", *[""] * (len(groups) - 1)) if groups else ()


def _total(t: Total, groups: list[str]) -> dict[str, Any]:  # JSON
    return {**dict(zip(groups, t.key, strict=True)), **{k: v for k, v in dataclasses.asdict(t).items() if k != "key"}}


def _cost(cost: Cost) -> dict[str, Any]:  # JSON
    record = dataclasses.asdict(cost)
    return {**record.pop("about"), **record}


def _budget(budget: Budget) -> dict[str, Any]:  # JSON
    return {**dataclasses.asdict(budget), "left_usd": max(0.0, budget.usd - budget.spent_usd)}


def _emit_budgets(budgets: tuple[Budget, ...], as_json: bool) -> None:
    emit([_budget(b) for b in budgets], as_json, lambda: _show_budgets(budgets))


def _limit(usd: float) -> str:
    """In cents, or as exactly as it was set."""
    return f"${usd:,.2f}" if round(usd, 2) == usd else f"${usd:,.9f}".rstrip("0")


def _show_budgets(budgets: tuple[Budget, ...]) -> None:
    if not budgets:
        click.echo("No budget: nothing stops a paid call. Set one: homeroom costs budget set 5 --per month")
        return
    rows = [(b.scope, b.period, _limit(b.usd), f"${b.spent_usd:.4f}", f"${max(0.0, b.usd - b.spent_usd):.4f}") for b in budgets]
    table(("budget for", "per", "at most", "spent and held", "left"), rows)
