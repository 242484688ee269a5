"""``homeroom tune recommend --probe``: a short tune against a prompt and demonstrations, before anybody tunes in earnest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import plural
from homeroom.cli.spending import agree

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.evaluation.comparison import Comparison

ANSWERS = {
    "tuned": "Tune: a short tune is already better than a prompt and than demonstrations.",
    "control": "Do not tune: what a prompt shows does as well or better.",
    "no-difference": "Do not tune yet: no difference is shown.",
    "too-few": "Do not tune yet: there is too little to judge by.",
}


def run_probe(
    home: Homeroom, dataset: str | None, task: str, base: str, items: int, recipe: Path | None, *, yes: bool, quiet: bool
) -> tuple[Comparison, dict[str, Any]]:
    """The probe's comparison, and what it is in JSON.

    Raises:
        ConfigError: ``probe-dataset``: none was named, or a file; ``needs-yes``.
    """
    from homeroom.app.probing import Question, probe_quotes, submit_probe
    from homeroom.cli import progress
    from homeroom.errors import ConfigError
    from homeroom.evaluation.comparison_report import read_comparison

    if dataset is None or Path(dataset).suffix == ".jsonl":
        what = "none was named" if dataset is None else f"{dataset!r} is a file"
        raise ConfigError(
            f"A probe needs a dataset, and {what}. Make one of a file: homeroom data split FILE; then: homeroom "
            "tune recommend --probe --dataset NAME",
            code="probe-dataset",
        )
    question = Question(dataset, task, base, items, recipe)
    agree(probe_quotes(home, question), yes=yes, as_json=quiet)
    submitted = submit_probe(home, question)
    for label, job in submitted.tunings:
        if not quiet:
            click.echo(f"{label}: job {job.id}", err=True)
        progress.wait(home, job, quiet=quiet, indent="  ")
    if not quiet:
        click.echo(f"Probe: job {submitted.job.id}{'; done before' if submitted.job.done else ''}", err=True)
    done = progress.wait(home, submitted.job, quiet=quiet, indent="  ")
    result = done.result or {}
    folder = home.artifacts.path(str(result["report"]))
    found = read_comparison(folder / "comparison.json")
    record = found.to_dict()
    record.pop("evaluation")
    more = {"answer": ANSWERS[found.advice.kind], "set_aside": result["set_aside"], "report": str(folder / "report.html")}
    return found, {**record, **more}


def show_probe(found: Comparison, record: dict[str, Any]) -> None:
    """The probe's answer and figures, for a person."""
    from homeroom.cli.compare import show

    click.secho(record["answer"], bold=True)
    show(found)
    click.echo(
        f"{plural(int(record['set_aside']), 'training example')} were set aside for this and are not used again; the test split "
        "was not opened."
    )
    click.echo(f"Whole report: {record['report']}\n")
