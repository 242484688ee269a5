"""What runs of this home were forecast to take, and what they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeroom.schema.models import TunedModel
from homeroom.tuning.huggingface.forecast import Accuracy, Past, accuracy

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

IN_COMPANY = ("batch", "sweep")
"""Kinds of jobs that make several runs in one process: the base is read once, and the peak of its memory is not one run's."""
MOST_JOBS = 10_000
TOKENS = "tokens_expected"
"""In the forecast of a run at an endpoint, which tells tokens and money."""


@dataclass(frozen=True, slots=True)
class MadeRun:
    """A run with its forecast.

    Attributes:
        model: What it made.
        base: On which.
        created_at: When; Unix time.
        past: The whole run as it was forecast, and as it went.
        note: Why it says nothing about forecasts: it was stopped early, or continued after a stop. Empty where it does.
    """

    model: str
    base: str
    created_at: float
    past: Past
    note: str = ""


def calibrations(home: Homeroom) -> Path:
    """Where what this machine was measured to take is kept."""
    return home.settings.home / "calibration"


def record(home: Homeroom) -> list[Past]:
    """Trainings that this home made, the oldest first: the raw forecast, and what they took. For the next forecast.

    One that was stopped early counts with the part of the forecast that it did.
    """
    found = []
    together = _jobs_of_several(home)
    for model in _forecast_models(home):
        alone = model.job_id not in together
        forecast, metrics = model.metrics["forecast"], model.metrics
        if model.method == "dspy" or TOKENS in forecast:
            continue
        done = float(metrics.get("tokens") or 0) / max(1.0, float(forecast.get("trained_tokens") or 1))
        train_s, seconds = float(metrics.get("train_seconds") or 0), float(metrics.get("seconds") or 0)
        memory = int(metrics.get("peak_memory_bytes") or 0) if alone and not forecast.get("gpu_memory_bytes") else 0
        whole = seconds >= train_s  # else it is that of the last attempt of a run that was continued
        overhead = seconds - train_s if alone and whole else None
        raw = float(forecast.get("train_raw_s") or 0) * min(1.0, done)
        made_on = str(forecast.get("machine") or "")
        found.append(Past(raw, train_s, int(forecast.get("memory_raw_bytes") or 0), memory, overhead_s=overhead, machine=made_on))
    return found


def made_runs(home: Homeroom) -> tuple[list[MadeRun], Accuracy | None]:
    """Runs with a forecast of their time, the oldest first, and how well the forecasts of trainings that ran whole held."""
    timed = [model for model in _forecast_models(home) if "time_s" in model.metrics["forecast"]]
    together = _jobs_of_several(home)
    runs = [_made(model, alone=model.job_id not in together) for model in timed]
    trained = [run for run, model in zip(runs, timed, strict=True) if model.method != "dspy"]
    return runs, accuracy(run.past for run in trained if not run.note)


def charged_runs(home: Homeroom) -> list[tuple[TunedModel, str]]:
    """Runs at endpoints, where nobody knows the time and memory, the oldest first: tokens and money, forecast and charged."""
    return [(model, told(model.metrics)) for model in _forecast_models(home) if TOKENS in model.metrics["forecast"]]


def told(metrics: Mapping[str, Any], *, alone: bool = True) -> str:
    """A line that sets what a run took beside its forecast; empty where there is none.

    Args:
        metrics: Of the tuned model.
        alone: Whether its process made no other run: else nobody knows how much of the memory was this one's.
    """
    forecast = metrics.get("forecast")
    if not isinstance(forecast, Mapping):
        return ""
    if "calls" in forecast:
        return _told_search(metrics, forecast)
    if TOKENS in forecast:
        return _told_charged(metrics, forecast)
    past = _past(metrics, forecast, alone=alone)
    took = f"took {past.actual_s:.0f} s: {abs(past.ratio - 1):.0%} {'longer' if past.ratio > 1 else 'shorter'}"
    if _was_continued(metrics):
        took = f"the training took {metrics['train_seconds']:.0f} s in more than one attempt"
    memory = f"; memory {past.forecast_bytes / 1e9:.1f} GB, took {past.actual_bytes / 1e9:.1f} GB" if past.actual_bytes else ""
    return f"Forecast {past.forecast_s:.0f} s ({past.low_s:.0f} to {past.high_s:.0f} s), {took}{memory}"


def _told_search(metrics: Mapping[str, Any], forecast: Mapping[str, Any]) -> str:
    """The same of a search for a prompt: calls, money and time."""
    calls, sent = int(metrics.get("requests") or 0), int(metrics.get("requests_sent") or 0)
    known = f", {calls - sent} of them answered before" if sent < calls else ""
    said = [f"Forecast {forecast['calls']} calls ({forecast['calls_low']} to {forecast['calls_most']}), took {calls}{known}"]
    if forecast.get("counted"):
        spent = f"spent ${float(metrics.get('usd') or 0):.4f}"
        if forecast.get("priced"):
            said.append(f"money ${forecast['cost_usd']:.4f} (at most ${forecast['cost_high_usd']:.4f}), {spent}")
        else:
            said.append("money: no price is known")
    if "time_s" in forecast:
        between = f"{forecast['time_low_s']:.0f} to {forecast['time_high_s']:.0f} s"
        said.append(f"time {forecast['time_s']:.0f} s ({between}), took {float(metrics.get('seconds') or 0):.0f} s")
    return "; ".join(said)


def _told_charged(metrics: Mapping[str, Any], forecast: Mapping[str, Any]) -> str:
    """The same of a run at an endpoint: tokens and money, of all its jobs and attempts."""
    planned, trained, spent = int(forecast[TOKENS]), metrics.get("trained_tokens"), metrics.get("cost_usd")
    between = f"{forecast['tokens_low']:,} to {forecast['tokens_high']:,}"
    took = "the endpoint told none"
    if trained is not None:
        off = f": {abs(trained / planned - 1):.0%} {'more' if trained > planned else 'fewer'}" if planned else ""
        took = f"trained {trained:,}{off}"
    said = f"Forecast {planned:,} tokens ({between}), {took}"
    if not forecast.get("counted"):
        return said
    if not forecast.get("priced") or spent is None:
        return f"{said}; money: no price is known"
    return f"{said}; money ${forecast['cost_usd']:.4f} (at most ${forecast['cost_high_usd']:.4f}), charged ${spent:.4f}"


def _was_continued(metrics: Mapping[str, Any]) -> bool:
    """Whether the whole time is known only of the last attempt: it is less than the training took, or replies were there."""
    if "calls" in metrics["forecast"]:
        return int(metrics.get("requests_sent") or 0) < int(metrics.get("requests") or 0)
    return float(metrics.get("seconds") or 0) < float(metrics.get("train_seconds") or 0)


def _forecast_models(home: Homeroom) -> Sequence[TunedModel]:
    models = [m for m in home.registry.list() if isinstance(m.metrics.get("forecast"), Mapping)]
    once = {(m.job_id, m.artifact or m.name): m for m in models}  # an adapter that is registered for two roles is one run
    return sorted(once.values(), key=lambda m: m.created_at)


def _jobs_of_several(home: Homeroom) -> frozenset[str]:
    return frozenset(job.id for kind in IN_COMPANY for job in home.jobs.list(kind=kind, limit=MOST_JOBS))


def _made(model: TunedModel, *, alone: bool) -> MadeRun:
    metrics, forecast = model.metrics, model.metrics["forecast"]
    note = "stopped early" if int(metrics.get("steps") or 0) < int(forecast.get("steps") or 0) else ""
    if _was_continued(metrics):
        note = "replies were known from before" if "calls" in forecast else "continued after a stop"
    return MadeRun(model.name, model.base, model.created_at, _past(metrics, forecast, alone=alone), note)


def _past(metrics: Mapping[str, Any], forecast: Mapping[str, Any], *, alone: bool) -> Past:
    on_gpu = bool(forecast.get("gpu_memory_bytes"))
    memory = ("gpu_memory_bytes", "peak_gpu_memory_bytes") if on_gpu else ("memory_bytes", "peak_memory_bytes")
    return Past(
        forecast_s=float(forecast.get("time_s") or 0),
        actual_s=max(float(metrics.get("seconds") or 0), float(metrics.get("train_seconds") or 0)),  # of all attempts
        forecast_bytes=int(forecast.get(memory[0]) or 0),
        actual_bytes=int(metrics.get(memory[1]) or 0) if alone else 0,
        low_s=float(forecast.get("time_low_s") or 0),
        high_s=float(forecast.get("time_high_s") or 0),
    )
