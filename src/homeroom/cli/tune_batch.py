"""``homeroom tune run A.yaml B.yaml``: several recipes as one batch with one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import duration, emit, table
from homeroom.cli.unsolved import offer

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.several import Batch, Row
    from homeroom.errors import JobFailed
    from homeroom.schema.jobs import Job
    from homeroom.tuning.recipe_file import Run


def fed(home: Homeroom, dataset: str, files: Sequence[tuple[Path, list[Run]]]) -> list[tuple[Path, list[Run]]]:
    """Of several files those runs whose program finds its fields in ``dataset``; the others are named and left out.

    Raises:
        DataError: ``program-fields``: of a single file, or where nothing would be left.
    """
    from homeroom.app.tuning import plan_tuning
    from homeroom.errors import DataError
    from homeroom.tuning.dspy.recipe import DspyRecipe

    kept: list[tuple[Path, list[Run]]] = []
    refused: DataError | None = None
    for path, runs in files:
        good = []
        for run in runs:
            try:
                if len(files) > 1 and isinstance(run, DspyRecipe) and run.program:
                    plan_tuning(home, dataset, run)
                good.append(run)
            except DataError as error:
                if error.code != "program-fields":
                    raise
                refused = error
                click.echo(f"{run.name}: left out, no example of the dataset has the fields of its program", err=True)
        kept.append((path, good))
    if refused is not None and not any(runs for _, runs in kept):
        raise refused
    return kept


def labelled(files: Sequence[tuple[Path, Sequence[Run]]]) -> list[tuple[str, Run]]:
    """Each run with its name; with its file's too where names are not enough."""
    names = Counter(run.name for _, runs in files for run in runs)
    return [(run.name if names[run.name] == 1 else f"{path.stem}.{run.name}", run) for path, runs in files for run in runs]


def run_batch(batch: Batch, *, wait: bool, as_json: bool) -> int:
    """Make all of them and print one table. Returns the exit code: 1 when a run is missing."""
    home = batch.home
    jobs, rows = batch.make(Told(home, wait=wait, quiet=as_json))
    verdicts = {model.name: model.verdict for model in home.registry.list()}
    for row in rows:
        row["verdicts"] = [verdicts.get(name, "deleted") for name in row["models"]]
    emit({"jobs": [asdict(job) for job in jobs], "runs": rows}, as_json, lambda: _text(home, jobs, rows, wait=wait))
    return 0 if all(row["state"] == "made" for row in rows) else 1


class Told:
    """Implements `homeroom.app.several.Follower`: a line for each job, and its progress where it is waited for."""

    def __init__(self, home: Homeroom, *, wait: bool, quiet: bool) -> None:
        self._home, self._wait, self._quiet = home, wait, quiet

    def begun(self, label: str, job: Job) -> None:
        """A line for the job."""
        if not self._quiet:
            click.echo(f"{label}: job {job.id}{'; done before, --again repeats it' if job.done else ''}", err=True)

    def wait(self, job: Job) -> Job | None:
        """Follow it with a bar, if it is waited for."""
        from homeroom.cli import progress

        return progress.wait(self._home, job, quiet=self._quiet) if self._wait else None

    def failed(self, label: str, error: JobFailed) -> None:
        """A line for the reason."""
        if not self._quiet:
            click.echo(f"warning: {label}: {error.message}", err=True)


def _text(home: Homeroom, jobs: Sequence[Job], rows: Sequence[Row], *, wait: bool) -> None:
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
        offer(home, (name for row in rows for name in row["models"]))


def _cells(row: Row) -> tuple[object, ...]:
    loss = _number(row.get("valid_loss")) or (
        f"score {row['selection_score']:.2f}" if row.get("selection_score") is not None else ""
    )
    took = duration(row["seconds"]) if row.get("seconds") else ""
    models = "\n".join(row["models"]) or (f"{row['state']}: {row['error']}" if "error" in row else row["state"])
    return row["run"], row.get("method"), loss, _number(row.get("base_valid_loss")), took, models, "\n".join(row["verdicts"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
