"""``homeroom data report``: what training data holds, as a page and as a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, plural, table, visible
from homeroom.cli.data.sources import shown_progress

if TYPE_CHECKING:
    from homeroom.data.lint.report_parts import Report

LONGEST = 160


@click.command(name="report")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--html", type=click.Path(path_type=Path), help="Where the page goes; FILE.report.html beside the first file when omitted."
)
@click.option("--select", multiple=True, metavar="RULE", help="Only these rules: codes, families or names.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Without these rules.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, files: tuple[str, ...], html: Path | None, select: tuple[str, ...], ignore: tuple[str, ...], as_json: bool
) -> int:
    """Write a page about FILES: coverage, lengths, reading level, duplicates, findings by rule, and what needs a person.

    NAME@VERSION is a dataset version. The page is one file with everything in it and may be sent to others; it quotes the data.
    """
    from homeroom.app.checking import report_on
    from homeroom.data.lint.report import write_report
    from homeroom.settings import load_settings

    first = Path(files[0])
    target = html or first.with_name(f"{first.name}.report.html")
    show, clear = shown_progress("Checking", as_json)
    try:
        report = report_on(
            files,
            settings=lambda: load_settings(ctx.find_root().obj["overrides"]),
            select=select,
            ignore=ignore,
            progress=show,
        )
    finally:
        clear()
    write_report(report, target)
    data = {"report": str(target), "summary": report.result.summary}
    emit(data, as_json, lambda: _text(report, target))
    return 0


def _text(report: Report, target: Path) -> None:
    from homeroom.data.lint.guide import GUIDE, rules_of
    from homeroom.data.lint.report_parts import worst_lines

    findings = report.result.findings
    rows = []
    for line in GUIDE:
        codes = {rule.about.code for rule in rules_of(line, report.rules)}
        mine = [f for f in findings if f.code in codes]
        counts = [sum(f.severity == name for f in mine) for name in ("error", "warning", "info")]
        rows.append((line.name, len(codes), *counts))
    table(("guideline", "rules", "errors", "warnings", "notes"), rows)
    worst = worst_lines(findings)
    if worst:
        click.echo("\nWorst lines:")
    for found in worst:
        first = found[0]
        place = f"{Path(first.file).name}:{first.line}"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        message = visible(" ".join(first.message.split()))
        click.echo(f"  {place} {first.code} {message[:LONGEST]}{'…' if len(message) > LONGEST else ''}{more}")
    summary = report.result.summary
    click.echo(
        f"\n{plural(summary['examples'], 'example')}: {plural(summary['errors'], 'error')}, "
        f"{plural(summary['warnings'], 'warning')}, "
        f"{plural(summary['info'], 'note')}; {summary['needs_person']} for a person (homeroom data review)."
    )
    click.echo(f"The page: {target}")
