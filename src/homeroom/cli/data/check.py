"""``homeroom data check``: every rule over files of examples."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import json_option, plural, table, visible
from homeroom.cli.data.sources import column_option, format_option, shown_progress
from homeroom.cli.values import COUNT

if TYPE_CHECKING:
    from homeroom.data.lint.model import Finding
    from homeroom.data.lint.run import LintResult

WORST = 10
QUOTED = 110
ORDER = {"error": 0, "warning": 1, "info": 2}


@click.command(name="check")
@click.argument("files", nargs=-1, required=True)
@format_option
@column_option
@click.option("--select", multiple=True, metavar="RULE", help="Only these rules: a code, a family (STR) or a name.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Without these rules.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration; homeroom-data.yaml beside the first file if there."
)
@click.option("--base", default="", help="Base model: its tokenizer counts, and its context is the limit.")
@click.option(
    "--max-tokens", default=0, type=click.IntRange(0, COUNT), help="Most tokens of an example, in place of the base's context."
)
@click.option("--method", type=click.Choice(["dspy", "openai", "huggingface"]), help="What the data is for.")
@click.option("--roster", type=click.Path(path_type=Path), help="Names of the class, one on each line, to find them in texts.")
@click.option("--against", metavar="OTHER", help="A file or version to be judged on: report what FILES share with it.")
@click.option("--semantic", is_flag=True, help="Also find examples that say the same in other words, with an embedding model.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes; one for each core when omitted.")
@click.option("--all", "everything", is_flag=True, help="Show every finding, not the worst of each rule.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    format_: str | None,
    columns: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    config: Path | None,
    base: str,
    max_tokens: int,
    method: str | None,
    roster: Path | None,
    against: str | None,
    semantic: bool,
    jobs: int | None,
    everything: bool,
    as_json: bool,
) -> int:
    """Check FILES of examples; exits 1 when there is an error.

    FILES may be of any kind that can be read; NAME@VERSION is a dataset version. Every finding has a code, a line, and says what
    to do. What a person has decided with `homeroom data review` is not reported again.
    """
    from homeroom.app.checking import check_files
    from homeroom.app.project import parse_columns
    from homeroom.settings import load_settings

    show, clear = shown_progress("Checking", as_json)

    def announce(line: str) -> None:
        clear()
        click.echo(line, err=True)

    try:
        result = check_files(
            files,
            settings=lambda: load_settings(ctx.find_root().obj["overrides"]),
            format=format_,
            columns=parse_columns(columns),
            select=select,
            ignore=ignore,
            config=config,
            base=base,
            max_tokens=max_tokens,
            method=method or "",
            roster=roster,
            against=against,
            semantic=semantic,
            jobs=jobs,
            progress=show,
            announce=announce,
        )
    finally:
        clear()
    if as_json:
        _print_json(result)
    else:
        _print_text(result, everything)
    return 0 if result.ok else 1


def _print_json(result: LintResult) -> None:
    """As a stream: there may be a hundred thousand findings."""
    click.echo('{"findings": [', nl=False)
    for number, finding in enumerate(result.findings):
        click.echo((",\n " if number else "\n ") + json.dumps(finding.to_dict(), ensure_ascii=False), nl=False)
    click.echo("],\n" + f'"summary": {json.dumps(result.summary, ensure_ascii=False)}' + "}")


def _print_text(result: LintResult, everything: bool) -> None:
    by_rule: dict[str, list[Finding]] = defaultdict(list)
    for finding in result.findings:
        by_rule[finding.code].append(finding)
    rules = sorted(by_rule.values(), key=lambda found: (min(ORDER[f.severity] for f in found), -len(found), found[0].code))
    if everything:
        for finding in result.findings:
            click.echo(line_of(finding))
    elif rules:
        rows = [
            (f[0].code, f[0].name, _severities(f), len(f), _places(f), "yes" if any(x.edit for x in f) else "") for f in rules
        ]
        table(("rule", "name", "severity", "found", "lines", "fix"), rows)
        click.echo("\nThe worst:")
        for finding in _worst(rules):
            click.echo(f"  {line_of(finding)}")
    click.echo(("\n" if rules else "") + closing(result))


def _severities(found: Sequence[Finding]) -> str:
    return min((f.severity for f in found), key=lambda s: ORDER[s])


def _places(found: Sequence[Finding]) -> str:
    places = [str(f.line) for f in found if f.line][:4]
    return ", ".join(places) + (" …" if len(found) > 4 else "")


def _worst(rules: Sequence[Sequence[Finding]]) -> list[Finding]:
    """The first of each rule, errors first, then more of the gravest."""
    first = [found[0] for found in rules]
    more = [finding for found in rules for finding in found[1:] if finding.severity == "error"]
    return (first + more)[:WORST]


def line_of(finding: Finding) -> str:
    """``examples.jsonl:12: QUA001 wrong-arithmetic: ...`` with the words quoted."""
    name = Path(finding.file).name if finding.file else "all files"
    place = f"{name}:{finding.line}" if finding.line else name
    quote = " ".join(visible(finding.quote).split())
    quoted = f"  « {quote[:QUOTED]}{'…' if len(quote) > QUOTED else ''} »" if quote and quote not in finding.message else ""
    return f"{place}: {finding.code} {finding.name}: {' '.join(visible(finding.message).split())}{quoted}"


def closing(result: LintResult) -> str:
    """The last line: counts, and what to do next."""
    summary = result.summary
    counted = f"{plural(summary['examples'], 'example')} in {plural(len(summary['files']), 'file')}"
    if not result.findings:
        return f"{counted}: nothing to mend."
    parts = [plural(summary["errors"], "error"), plural(summary["warnings"], "warning")]
    parts += [plural(summary["info"], "note")] if summary["info"] else []
    notes = []
    if summary["fixable"]:
        notes.append(f"{summary['fixable']} can be mended with: homeroom data fix")
    if summary["needs_person"]:
        notes.append(f"{summary['needs_person']} need a person: homeroom data review")
    return f"{counted}: {', '.join(parts)}." + "".join(f"\n{note}" for note in notes)
