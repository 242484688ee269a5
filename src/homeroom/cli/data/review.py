"""``homeroom data review``: what needs a person, and their decisions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, plural, table


@click.command(name="review")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--decide",
    nargs=2,
    type=(str, click.Choice(["yes", "no"])),
    metavar="LINE:CODE yes|no",
    help="Decide about one finding: yes, it is fine as it stands; no, it must change.",
)
@click.option("--by", help="Who decides; needed with --decide.")
@click.option("--note", default="", help="Why.")
@click.option("--all", "everything", is_flag=True, help="Also what a rule can tell without a person.")
@json_option
def command(file: Path, decide: tuple[str, str] | None, by: str | None, note: str, everything: bool, as_json: bool) -> int:
    """Show what only a person can decide about FILE, and take decisions.

    Decisions are kept beside the file in FILE.review, with name and date. A finding that somebody found fine is no longer
    reported, until its record changes.
    """
    from homeroom.data.lint import review
    from homeroom.data.lint.run import lint
    from homeroom.errors import ConfigError

    result = lint(file)
    if decide is not None:
        if by is None:
            raise ConfigError(f"--decide {decide[0]!r} needs a name: add --by 'Ana Ruiz'", code="review-by")
        made = review.decide(file, result.findings, decide[0], fine=decide[1] == "yes", by=by, note=note)
        said = "is fine" if made.fine else "must change"
        emit(asdict(made), as_json, lambda: click.echo(f"Line {made.line}, {made.code} {said}, says {made.by} ({made.at[:10]})."))
        return 0
    found = review.items(result.findings, {str(file): review.read_decisions(file)})
    shown = [item for item in found if everything or item.finding.needs_person or item.decision is not None]
    emit([_record(item) for item in shown], as_json, lambda: _text(shown, file))
    return 0


def _record(item: object) -> dict[str, object]:
    from homeroom.data.lint.review import Item

    assert isinstance(item, Item)
    return {**item.finding.to_dict(), "decision": asdict(item.decision) if item.decision else None}


def _text(shown: list, file: Path) -> None:  # type: ignore[type-arg]  # of review.Item, which is imported lazily
    waiting = [item for item in shown if item.decision is None]
    if not shown:
        click.echo("Nothing needs a person.")
        return
    rows = []
    for item in shown:
        decision = item.decision
        state = "open" if decision is None else f"{'fine' if decision.fine else 'must change'}: {decision.by}, {decision.at[:10]}"
        rows.append((f"{item.finding.line}:{item.finding.code}", item.finding.name, state, item.finding.message))
    table(("place", "rule", "decision", "what"), rows)
    click.echo(f"{plural(len(waiting), 'decision')} open, {len(shown) - len(waiting)} made.")
    if waiting:
        place = f"{waiting[0].finding.line}:{waiting[0].finding.code}"
        click.echo(f"Decide with: homeroom data review {file} --decide {place} yes --by NAME --note 'why'")
