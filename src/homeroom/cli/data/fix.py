"""``homeroom data fix``: what rules can mend without a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, plural, visible
from homeroom.cli.data.sources import shown_progress

if TYPE_CHECKING:
    from homeroom.data.fix import Fix, Fixed, FixPlan

SHOWN = 20


@click.command(name="fix")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--apply/--dry-run", "apply_", default=False, help="Write the mended file, or only show what would change (default)."
)
@click.option("--select", multiple=True, metavar="RULE", help="Only fixes of these rules.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Without fixes of these rules.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration; homeroom-data.yaml beside the file if there.")
@click.option("--roster", type=click.Path(path_type=Path), help="Names of the class, one on each line.")
@click.option(
    "--restore", type=click.Path(path_type=Path), metavar="FILE.original.redacted", help="Put back what an earlier fix took out."
)
@click.option("--all", "everything", is_flag=True, help="Show every change.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    apply_: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    config: Path | None,
    roster: Path | None,
    restore: Path | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Show what can be mended in FILE without a person, as a diff; --apply does it and keeps the original.

    The original stays beside it as FILE.original. What was taken out as personal goes to FILE.original.redacted, which only you
    can read: keep both where the data is at home.
    """
    from homeroom.app.checking import check_files
    from homeroom.data.fix import apply_fixes, plan_fixes
    from homeroom.settings import load_settings

    if restore is not None:
        _restore(file, restore, as_json)
        return
    show, clear = shown_progress("Checking", as_json)
    try:
        result = check_files(
            [str(file)],
            settings=lambda: load_settings(ctx.find_root().obj["overrides"]),
            select=select,
            ignore=ignore,
            config=config,
            roster=roster,
            progress=show,
        )
    finally:
        clear()
    plan = plan_fixes(file, result.findings)
    done = apply_fixes(plan) if apply_ and plan.fixes else None
    data = {
        "file": str(file),
        "fixes": [
            {"line": f.line, "message": f.message, "codes": f.codes, "before": f.before, "after": f.after} for f in plan.fixes
        ],
        "waiting": plan.waiting,
        "applied": done is not None,
        "original": str(done.original) if done else None,
        "redactions": str(done.redactions) if done and done.redactions else None,
    }

    emit(data, as_json, lambda: _tell(plan, done, everything))


def _tell(plan: FixPlan, done: Fixed | None, everything: bool) -> None:
    _show(plan, everything)
    if done is not None:
        click.echo(f"{plural(done.fixes, 'text')} mended. The original is {done.original}")
        if done.redactions:
            click.echo(f"What was taken out ({done.redacted}) is in {done.redactions}: keep it private.")
    elif plan.fixes:
        click.echo(f"{plural(len(plan.fixes), 'text')} would change. Do it with: homeroom data fix {plan.file} --apply")
    if plan.waiting:
        click.echo(f"{plural(plan.waiting, 'fix').replace('fixs', 'fixes')} touch what another one touches: run it again after.")


def _show(plan: FixPlan, everything: bool) -> None:
    if not plan.fixes:
        click.echo("Nothing here can be mended without a person.")
    for fix in plan.fixes if everything else plan.fixes[:SHOWN]:
        click.secho(f"{plan.file.name}:{fix.line} message {fix.message}  {', '.join(fix.codes)}", bold=True)
        _show_diff(fix)
    if not everything and len(plan.fixes) > SHOWN:
        click.echo(f"… and {len(plan.fixes) - SHOWN} more (--all shows them)")


def _show_diff(fix: Fix) -> None:
    for line in fix.diff():
        click.secho(f"  {visible(line)}", fg={"-": "red", "+": "green"}.get(line[:1]))


def _restore(file: Path, mapping: Path, as_json: bool) -> None:
    from homeroom.data.convert import write_examples
    from homeroom.data.fix import read_redactions, restored
    from homeroom.data.reading import load_examples

    entries = read_redactions(mapping)
    examples = load_examples(file)
    done = list(restored(examples, entries))
    changed = sum(old != new for old, new in zip(examples, done, strict=True))
    write_examples(lambda: done, file, force=True)
    emit(
        {"file": str(file), "restored": changed},
        as_json,
        lambda: click.echo(f"{plural(changed, 'example')} of {file} read as before."),
    )
