"""``homeroom tune run A.yaml B.yaml``: several recipes as one batch with one table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import duration, emit, table

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.spending import Quote
    from homeroom.app.work import When
    from homeroom.schema.jobs import Job
    from homeroom.tuning.recipe_file import Run

Row = dict[str, Any]  # JSON: what came of a run


class Budget:
    """The money that the runs of a batch may cost together: what could come to more is not begun.

    Args:
        quotes: Of the runs that are not made yet, by label.
        usd: At most; None is no limit.

    Raises:
        ConfigError: ``price-unknown``: a run's price is not known, so nothing can be held to the limit.
    """

    def __init__(self, quotes: Sequence[Quote], usd: float | None) -> None:
        from homeroom.errors import ConfigError

        self._most = {quote.label: quote.most_usd for quote in quotes if quote.paid}
        self._usd, self._spent = usd, 0.0
        unknown = next((quote.label for quote in quotes if quote.paid and not quote.priced), None)
        if usd is not None and unknown is not None:
            raise ConfigError(
                f"The price of {unknown!r} is not known, so --budget-usd {usd:g} cannot be kept. Write it into prices.yaml in "
                "the home and look: homeroom tune plan",
                code="price-unknown",
            )

    @property
    def note(self) -> str:
        """Told beside the sum."""
        return "" if self._usd is None else f"; what could come to more than ${self._usd:.2f} in all is not begun"

    def refused(self, label: str) -> str:
        """Why the run is not begun; empty where it may be."""
        most = self._most.get(label, 0.0)
        if self._usd is None or self._spent + most <= self._usd:
            return ""
        return f"it could cost ${most:.2f}, and ${max(0.0, self._usd - self._spent):.2f} of --budget-usd {self._usd:g} are left"

    def begun(self, home: Homeroom, label: str, job: Job) -> None:
        """Count a run: by the ledger once it is over, until then by the most that it can be."""
        if label in self._most:
            told = sum(total.usd + total.held_usd for total in home.ledger.totals((), job=job.id))
            self._spent += told if job.done else self._most[label]


def labelled(files: Sequence[tuple[Path, Sequence[Run]]]) -> list[tuple[str, Run]]:
    """Each run with its name; with its file's too where names are not enough."""
    names = Counter(run.name for _, runs in files for run in runs)
    return [(run.name if names[run.name] == 1 else f"{path.stem}.{run.name}", run) for path, runs in files for run in runs]


def run_batch(
    home: Homeroom,
    dataset: str,
    runs: Sequence[tuple[str, Run]],
    *,
    minutes: float | None,
    budget: Budget,
    again: bool,
    when: When,
    wait: bool,
    as_json: bool,
) -> int:
    """Make all of them and print one table; what they cost was agreed to. Returns the exit code: 1 when a run is missing."""
    from homeroom.app.batch import is_local, submit_batch
    from homeroom.cli import progress
    from homeroom.tuning.recipe import Recipe

    local = [(label, run) for label, run in runs if isinstance(run, Recipe) and is_local(home, run)]
    others = [(label, run) for label, run in runs if not is_local(home, run)]
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    jobs: list[Job] = []
    rows: list[Row] = []
    if local:
        job = submit_batch(home, dataset, local, minutes=minutes, again=again, when=when)
        if not as_json:
            before = "; done before, --again repeats it" if job.done else ""
            click.echo(f"{', '.join(label for label, _ in local)}: job {job.id}{before}", err=True)
        if wait:
            job = progress.wait(home, job, quiet=as_json)
            rows += (job.result or {})["runs"]
        jobs.append(job)
    for label, run in others:
        if deadline is not None and time.monotonic() >= deadline:
            rows.append({"run": label, "method": run.method, "state": "not begun", "models": []})
            continue
        if why := budget.refused(label):
            rows.append({"run": label, "method": run.method, "state": "not begun", "error": why, "models": []})
            continue
        job, row = _alone(home, dataset, label, run, again=again, when=when, wait=wait, as_json=as_json)
        budget.begun(home, label, job)
        jobs.append(job)
        rows += [row] if row else []
    order = {label: at for at, (label, _) in enumerate(runs)}
    rows.sort(key=lambda row: order[row["run"]])
    verdicts = {model.name: model.verdict for model in home.registry.list()}
    for row in rows:
        row["verdicts"] = [verdicts.get(name, "deleted") for name in row["models"]]
    emit({"jobs": [asdict(job) for job in jobs], "runs": rows}, as_json, lambda: _text(jobs, rows, wait=wait))
    return 0 if all(row["state"] == "made" for row in rows) else 1


def _alone(
    home: Homeroom, dataset: str, label: str, run: Run, *, again: bool, when: When, wait: bool, as_json: bool
) -> tuple[Job, Row | None]:
    """A run that is a job of its own; with what came of it, where it is waited for."""
    from homeroom.app.tuning import submit_tuning
    from homeroom.cli import progress
    from homeroom.errors import JobFailed

    job = submit_tuning(home, dataset, run, again=again, when=when)
    if not as_json:
        click.echo(f"{label}: job {job.id}{'; done before, --again repeats it' if job.done else ''}", err=True)
    if not wait:
        return job, None
    about: Row = {"run": label, "method": run.method, "base": run.base or home.settings.default_base}
    try:
        job = progress.wait(home, job, quiet=as_json)
    except JobFailed as error:
        if not as_json:
            click.echo(f"warning: {label}: {error.message}", err=True)
        return home.jobs.get(job.id), {**about, "state": "failed", "error": error.message, "models": []}
    result = job.result or {}
    metrics = result.get("metrics") or {}
    numbers = {key: metrics.get(key) for key in ("valid_loss", "base_valid_loss", "selection_score")}
    seconds = metrics.get("seconds") or (job.cost or {}).get("seconds")
    models = list(result.get("models") or [result["model"]])
    return job, {**about, "state": "made", "models": models, **numbers, "seconds": seconds}


def _text(jobs: Sequence[Job], rows: Sequence[Row], *, wait: bool) -> None:
    if not wait:
        for job in jobs:
            click.echo(f"Queued. Follow it: homeroom jobs follow {job.id}")
        for row in rows:
            click.echo(f"{row['run']}: {row['state']}{': ' + row['error'] if 'error' in row else ''}")
        return
    table(("run", "method", "valid. loss", "base's", "time", "model", "verdict"), [_cells(row) for row in rows])
    missing = [row for row in rows if row["state"] != "made"]
    if missing:
        click.echo(
            f"{len(missing)} of {len(rows)} missing. The same command makes those; with more --minutes or --budget-usd "
            "where these ran out"
        )
    if any(row["models"] for row in rows):
        click.echo("Judge one: homeroom eval run --model NAME    Chat with it: homeroom chat --model NAME")


def _cells(row: Row) -> tuple[object, ...]:
    loss = _number(row.get("valid_loss")) or (
        f"score {row['selection_score']:.2f}" if row.get("selection_score") is not None else ""
    )
    took = duration(row["seconds"]) if row.get("seconds") else ""
    models = "\n".join(row["models"]) or (f"{row['state']}: {row['error']}" if "error" in row else row["state"])
    return row["run"], row.get("method"), loss, _number(row.get("base_valid_loss")), took, models, "\n".join(row["verdicts"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
