"""``homeroom eval``: compare models on held-out examples and judge."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, table, when
from homeroom.cli.spending import asking, yes_option


@click.group(name="eval")
def command() -> None:
    """Compare models on held-out examples."""


@command.command()
@click.option("--model", help="Name, id8 or suffix of a tuned model; the newest when omitted.")
@click.option("--dataset", default="", help="Dataset to test on; the model's own when omitted.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="What to judge a model for that plays both parts.")
@click.option("--items", default=24, show_default=True, type=click.IntRange(1, 10_000), help="Most held-out replies.")
@click.option("--shots", default=3, show_default=True, type=click.IntRange(0, 32), help="Demonstrations of the few-shot control.")
@click.option("--max-tokens", default=96, show_default=True, type=click.IntRange(1, 4096), help="Longest reply, in tokens.")
@click.option("--again", is_flag=True, help="Judge anew; answers that were kept are used again.")
@yes_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the end, or only queue the job.")
@json_option
@click.pass_context
def run(
    ctx: click.Context,
    model: str | None,
    dataset: str,
    task: str | None,
    items: int,
    shots: int,
    max_tokens: int,
    again: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> int:
    """Judge a tuned model against its base and its base with demonstrations. Exits 1 unless the verdict is to promote."""
    from homeroom.app.evaluation import submit_evaluation
    from homeroom.cli import progress
    from homeroom.cli.demo_view import Screen
    from homeroom.errors import NotFoundError
    from homeroom.evaluation.report import read_report

    home = open_home(ctx)
    models = home.registry.list()
    if model is None and not models:
        raise NotFoundError("There is no tuned model yet. Make one: homeroom tune run", code="model-not-found")
    candidate = home.registry.get(model) if model else models[0]
    job = submit_evaluation(
        home,
        candidate,
        dataset=dataset,
        items=items,
        shots=shots,
        max_tokens=max_tokens,
        tasks=(task,) if task else (),
        again=again,
        spend=asking(yes=yes, as_json=as_json),
    )
    if not wait:
        emit(dataclasses.asdict(job), as_json, lambda: click.echo(f"Queued {job.id}. Follow: homeroom jobs follow {job.id}"))
        return 0
    job = progress.wait(home, job, quiet=as_json)
    report = home.artifacts.path(str((job.result or {})["report"]))
    result = read_report(report / "evaluation.json")

    def text() -> None:
        Screen(home).evaluation(result)
        if looked := (job.result or {}).get("opening"):
            click.echo(f"\n   {looked['text']}")
        click.echo(f"\n   Whole report: {report / 'report.html'}")

    emit({**(job.result or {}), "report": str(report / "report.html")}, as_json, text)
    return 0 if result.verdict is not None and result.verdict.outcome == "promote" else 1


@command.command(name="list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List scorecards, newest first."""
    home = open_home(ctx)
    found = [card for model in home.registry.list() for card in home.registry.scorecards(model.name)]
    found.sort(key=lambda card: -card.created_at)

    def text() -> None:
        if not found:
            click.echo("No scorecard yet. Judge a model: homeroom eval run")
            return
        rows = [
            (c.model_name, c.summary.get("outcome"), c.summary.get("items"), when(c.created_at), c.summary.get("headline"))
            for c in found
        ]
        table(("model", "verdict", "replies", "made", "headline"), rows)

    emit([dataclasses.asdict(c) for c in found], as_json, text)


@command.command()
@click.argument("model")
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="Copy the HTML report to this file.")
@json_option
@click.pass_context
def report(ctx: click.Context, model: str, target: Path | None, as_json: bool) -> None:
    """Say where the newest report of a model is, or copy it."""
    from homeroom.errors import NotFoundError

    home = open_home(ctx)
    cards = [c for c in home.registry.scorecards(model) if c.report_artifact]
    if not cards:
        raise NotFoundError(f"{model!r} has no report yet. Judge it: homeroom eval run --model {model}", code="no-report")
    path = home.artifacts.path(cards[0].report_artifact) / "report.html"
    if target is not None:
        target.write_bytes(path.read_bytes())
        path = target
    emit({"report": str(path)}, as_json, lambda: click.echo(path))


@command.command()
@json_option
def metrics(as_json: bool) -> None:
    """List the measures: range, which way is better, whom they judge, and where they come from."""
    from homeroom.evaluation.metrics import METRICS

    rows = [(m.name, m.direction, "/".join(m.tasks), m.title, m.source) for m in METRICS]
    data = [
        {"name": m.name, "title": m.title, "range": m.range, "direction": m.direction, "tasks": m.tasks, "source": m.source}
        for m in METRICS
    ]
    emit(data, as_json, lambda: table(("measure", "better", "judges", "title", "where it comes from"), rows))
