"""``homeroom tune compare``: methods head to head on one test split."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, open_home, require_place, table
from homeroom.cli.spending import agree
from homeroom.cli.unsolved import offer

if TYPE_CHECKING:
    from homeroom.app.comparing import Lineup
    from homeroom.app.home import Homeroom
    from homeroom.evaluation.comparison import Comparison
    from homeroom.schema.jobs import Job

WIDTH = 120
LONGEST_PROMPT_BYTES = 100_000


@click.command(name="compare")
@click.option("--dataset", default="homeroom-course", show_default=True, help="Dataset: id, name or name@version.")
@click.option("--methods", help="Methods to compare, with commas: METHOD or METHOD=BASE; all when nothing is named.")
@click.option("--recipe", "recipes", multiple=True, type=click.Path(path_type=Path), help="Recipe file whose run takes part.")
@click.option("--models", multiple=True, metavar="NAME", help="Tuned model that takes part: name, id8 or suffix.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="The part that is compared; the models' own when omitted.")
@click.option("--base", default="", help="What controls and new runs are on; the settings' default when omitted.")
@click.option("--items", default=24, show_default=True, type=click.IntRange(1, 10_000), help="Most held-out replies of each.")
@click.option("--shots", default=3, show_default=True, type=click.IntRange(0, 32), help="Demonstrations of the few-shot control.")
@click.option("--max-tokens", default=96, show_default=True, type=click.IntRange(1, 4096), help="Longest reply, in tokens.")
@click.option("--prompt", type=click.Path(path_type=Path), help="File with a prompt in place of the well-written one.")
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="Copy the HTML report to this file.")
@click.option("--again", is_flag=True, help="Compare anew; models and answers that were kept are used again.")
@click.option("--yes", is_flag=True, help="Do not ask before money is spent.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the jobs.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    dataset: str,
    methods: str | None,
    recipes: tuple[Path, ...],
    models: tuple[str, ...],
    task: str | None,
    base: str,
    items: int,
    shots: int,
    max_tokens: int,
    prompt: Path | None,
    target: Path | None,
    again: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Compare methods head to head on the same test split, with the base, a well-written prompt and few-shot as controls.

    Models that were tuned on this version of the dataset take part as they are; what is missing is tuned first. The answer
    says which one is better and by how much, or that so many examples show no difference.
    """
    from homeroom.app.comparing import Wanted, comparison_quotes, lineup, submit_comparison

    if target is not None and not wait:
        raise click.UsageError("--to copies the report of a comparison that has ended. Leave --no-wait out.", ctx)
    if target is not None:
        require_place(target, "--to")
    named = tuple(part.strip() for part in (methods or "").split(",") if part.strip())
    if methods is not None and not named:
        raise click.UsageError("--methods names no method. Name some, or leave it out for all of them.", ctx)
    home = open_home(ctx)
    written = _written(prompt) if prompt is not None else ""
    wanted = Wanted(dataset, named, recipes, models, task or "", base, items, shots, max_tokens, written, again)
    found = lineup(home, wanted)
    if not as_json:
        _introduce(found)
    agree(comparison_quotes(home, found, wanted), yes=yes, as_json=as_json)
    submitted = submit_comparison(home, found, wanted)
    if not wait:
        jobs = [job.id for _, job in submitted.tunings] + [submitted.job.id]
        emit(
            {"job": submitted.job.id, "tunings": jobs[:-1]},
            as_json,
            lambda: click.echo(f"Queued {', '.join(jobs)}. Follow: homeroom jobs follow {submitted.job.id}"),
        )
        return
    job = _followed(home, submitted.tunings, submitted.job, quiet=as_json)
    show_report(home, job, target, as_json=as_json)


def _written(path: Path) -> str:
    """The prompt in a file.

    Raises:
        ConfigError: ``prompt-file``: it is not there, no text, or empty; ``file-not-plain``, ``file-oversized``.
    """
    from homeroom.errors import ConfigError
    from homeroom.storage.plain import read_plain

    try:
        text = read_plain(path, limit_bytes=LONGEST_PROMPT_BYTES, links=True).decode("utf-8").strip()
        problem = "" if text else "it is empty"
    except FileNotFoundError:
        text, problem = "", "there is no such file"
    except UnicodeDecodeError:
        text, problem = "", "it is no UTF-8 text"
    if problem:
        raise ConfigError(
            f"--prompt {str(path)!r} holds no prompt: {problem}. Write the prompt into it, or leave --prompt out for the one "
            "that Homeroom brings: homeroom tune compare --help",
            code="prompt-file",
        )
    return text


def show_report(home: Homeroom, job: Job, target: Path | None, *, as_json: bool) -> None:
    """The outcome of a comparison's job, and where its report is."""
    from homeroom.evaluation.comparison_report import read_comparison

    folder = home.artifacts.path(str((job.result or {})["report"]))
    result = read_comparison(folder / "comparison.json")
    page = folder / "report.html"
    if target is not None:
        target.write_bytes(page.read_bytes())
        page = target
    record = result.to_dict()
    record.pop("evaluation")
    more = {"job": job.id, "report": str(page), "json": str(folder / "comparison.json")}

    def text() -> None:
        show(result)
        click.echo(f"Whole report: {page}")
        offer(home, (facts.model for facts in result.facts))

    emit({**record, **more}, as_json, text)


def _introduce(found: Lineup) -> None:
    version = f"{found.dataset.info.name}@{found.dataset.info.version}"
    click.echo(f"{version}, task {found.task}, controls on {found.base}", err=True)
    for entry in found.entries:
        click.echo(f"  {entry.label}{'' if entry.model else ': will be tuned first'}", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def _followed(home: Homeroom, tunings: tuple[tuple[str, Job], ...], job: Job, *, quiet: bool) -> Job:
    from homeroom.cli import progress

    for label, tuning in tunings:
        if not quiet:
            click.echo(f"{label}: job {tuning.id}", err=True)
        progress.wait(home, tuning, quiet=quiet, indent="  ")
    if not quiet:
        click.echo(f"Comparison: job {job.id}{'; done before, --again repeats it' if job.done else ''}", err=True)
    return progress.wait(home, job, quiet=quiet, indent="  ")


def show(result: Comparison) -> None:
    """The tables and the advice, for a terminal."""
    from homeroom.evaluation.comparison_report import fact_texts, share_text

    rows = []
    for standing, facts in zip(result.standings, result.facts, strict=True):
        rows.append((standing.title, share_text(standing), standing.outcome, *fact_texts(standing, facts)))
    heads = ("system", "passes every check", "verdict", "tuned in", "tuning", "replies", "p50", "memory to tune", "to answer",
             "text goes to")  # fmt: skip
    table(heads, rows)
    click.echo()
    _measures(result)
    click.echo()
    click.secho(result.advice.headline, bold=True)
    for reason in result.advice.reasons:
        for number, line in enumerate(textwrap.wrap(reason, WIDTH - 4)):
            click.echo(f"{'  - ' if number == 0 else '    '}{line}")
    if result.opening:
        click.echo(str(result.opening["text"]))


def _measures(result: Comparison) -> None:
    """Every measure with a direction: the mean of each system, and the authored replies' beside it."""
    evaluation = result.evaluation
    cards = {card.system: card for card in evaluation.scorecards}
    names = [standing.name for standing in result.standings] + ["authored"]
    rows = []
    for measure in evaluation.measures:
        if measure.direction != "neither":
            less = " (less)" if measure.direction == "lower" else ""
            means = [cards[name].summaries[measure.name].mean for name in names]
            rows.append((f"{measure.title}{less}", *("-" if mean is None else f"{mean:.2f}" for mean in means)))
    table(("measure", *[*names[:-1], "people"]), rows)
