"""How plans and forecasts are shown."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import duration, emit, plural, size, table, when

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.tuning import Plan


def time_of(plan: Plan) -> str:
    """``3 min 20 s (2 min 10 s to 5 min 0 s)``; ``-`` where it is not known."""
    if not plan.time_s:
        return "-"
    between = f" ({duration(plan.time_low_s)} to {duration(plan.time_high_s)})" if plan.time_high_s else ""
    return duration(plan.time_s) + between


def memory_of(plan: Plan) -> str:
    """``1.9 GB (up to 2.4 GB)``, with the GPU's where one is used; ``-`` where nothing is done on this machine."""
    if not plan.memory_bytes and not plan.gpu_memory_bytes:
        return "-"
    most = f" (up to {size(plan.memory_high_bytes)})" if plan.memory_high_bytes > plan.memory_bytes else ""
    return size(plan.memory_bytes) + most + (f" + {size(plan.gpu_memory_bytes)} GPU" if plan.gpu_memory_bytes else "")


def jobs_of(plan: Plan) -> list[str]:
    """What an endpoint is asked to do: examples, and how often each is seen. Nothing of other plans."""
    return [
        f"a job on {plural(job['examples'], 'example')}, {plural(job['epochs'], 'epoch')}" for job in plan.details.get("jobs", ())
    ]


def gpus(name: str, plan: Plan) -> None:
    """Which GPUs would hold a run that was planned for one that is not here; nothing of other plans."""
    found = plan.details.get("gpu")
    if found is None:
        return
    if found["memory_bytes"]:
        answer = {"yes": "it fits", "tight": "it fits, with less than a fifth to spare", "no": "it does not fit"}[found["holds"]]
        batch = f"; batch_tokens: auto would take {found['auto_batch_tokens']}" if found["auto_batch_tokens"] else ""
        click.echo(f"{name}: on a GPU of {gigabytes(found['memory_bytes'])}: {answer}{batch}")
    first = found["options"][0]
    click.echo(f"\n{name}: which GPU holds it, at batch_tokens: {first['batch_tokens']} (tight: with less than a fifth to spare)")
    rows = [
        (
            option["quantise"],
            "yes" if option["gradient_checkpointing"] else "no",
            size(option["gpu_memory_bytes"]),
            *(fit["holds"] for fit in option["fits_on"]),
        )
        for option in found["options"]
    ]
    sizes = [gigabytes(fit["memory_bytes"]) for fit in first["fits_on"]]
    table(("quantise", "gradient_checkpointing", "needs", *sizes), rows)


def gigabytes(value: float) -> str:
    """``24 GB``; ``25.8 GB`` where it is no whole number."""
    return f"{value / 1e9:.1f}".removesuffix(".0") + " GB"


def money_of(plan: Plan) -> str:
    """``$0.00``, ``$0.12 (at most $0.40)``, or ``not known`` where a price is missing."""
    if not plan.details.get("priced", True):
        return "not known"
    most = f" (at most ${plan.cost_high_usd:.2f})" if plan.cost_high_usd else ""
    return f"${plan.cost_usd:.2f}{most}"


def history(home: Homeroom, *, as_json: bool) -> None:
    """Runs that were made here: forecast beside actual, and how well forecasts held."""
    from homeroom.app.forecasts import charged_runs, made_runs

    runs, found = made_runs(home)
    charged = charged_runs(home)

    def text() -> None:
        if not runs and not charged:
            click.echo("No run with a forecast yet. Make one: homeroom tune run")
            return
        rows = [
            (
                when(run.created_at),
                run.model,
                f"{duration(run.past.forecast_s)} ({duration(run.past.low_s)} to {duration(run.past.high_s)})",
                duration(run.past.actual_s),
                run.note or f"{run.past.forecast_s / run.past.actual_s - 1:+.0%}",
                size(run.past.forecast_bytes) if run.past.forecast_bytes else "-",
                size(run.past.actual_bytes) if run.past.actual_bytes else "-",
            )
            for run in runs
        ]
        if runs:
            table(("made", "model", "forecast", "took", "forecast off by", "memory forecast", "used"), rows)
        if found is not None:
            inside = f", {found.inside:.0%} inside their interval" if found.inside is not None else ""
            memory = f"; memory: median {found.memory_median_error:.0%}" if found.memory_median_error is not None else ""
            runs_told = plural(found.runs, "whole run")
            click.echo(f"{runs_told}: median error {found.median_error:.0%}, p90 {found.p90_error:.0%}{inside}{memory}")
        if charged:
            table(("made", "model", "at an endpoint"), [(when(model.created_at), model.name, line) for model, line in charged])

    rows = [{**dataclasses.asdict(run), "ratio": run.past.ratio if run.past.forecast_s else None} for run in runs]
    there = [{"model": model.name, "created_at": model.created_at, "told": line} for model, line in charged]
    emit({"runs": rows, "at_endpoints": there, "accuracy": dataclasses.asdict(found) if found else None}, as_json, text)
