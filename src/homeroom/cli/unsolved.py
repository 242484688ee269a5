"""``homeroom tune unsolved``: the examples that tuned models fail on, as a file for editing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, open_home, plural, table
from homeroom.cli.spending import asking, yes_option

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.app.unsolved import Unsolved
    from homeroom.schema.examples import Example


@click.command(name="unsolved")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File for the examples: JSON Lines.")
@click.option("--dataset", default="", help="Dataset to take the questions from; the model's own when omitted.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="What to ask a model that plays both parts.")
@click.option("--items", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Most replies to ask for.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@yes_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    models: tuple[str, ...],
    out: Path,
    dataset: str,
    task: str | None,
    items: int,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Write the validation examples that none of the models solves to a file, to edit and to write more like them.

    A reply is solved when it passes every check behind the verdict. The test split is not opened.
    """
    from homeroom.app.unsolved import unsolved
    from homeroom.cli.progress import Line
    from homeroom.errors import ConflictError

    if out.exists() and not force:
        raise ConflictError(f"{str(out)!r} exists. Choose another name or add --force.", code="file-exists")
    line = Line(quiet=as_json)
    found = unsolved(
        open_home(ctx),
        models,
        dataset=dataset,
        task=task or "",
        items=items,
        tell=lambda name, done, total: line.show(f"{name}: {done} of {total} replies", final=done == total),
        spend=asking(yes=yes, as_json=as_json),
    )
    examples = found.examples()
    if examples:
        _write(examples, out)
    record = {
        "dataset": found.dataset,
        "task": found.task,
        "asked": found.asked,
        "unsolved": found.items,
        "checks": dict(found.checks),
        "examples": len(examples),
        "file": str(out) if examples else None,
    }
    emit(record, as_json, lambda: _tell(found, len(models), len(examples), out))


def offer(home: Homeroom, names: Iterable[str]) -> None:
    """Print the command that shows what none of these models solves: one for each part that they play."""
    known = {model.name: model for model in home.registry.list()}
    parts: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        if name in known and known[name].task != "program" and known[name].dataset:
            parts.setdefault(known[name].task, []).append(name)
    for task, models in parts.items():
        who = "it does not solve yet" if len(models) == 1 else "none of them solves yet"
        part = f" ({task})" if len(parts) > 1 else ""
        click.echo(f"What {who}{part}, as a file for editing: homeroom tune unsolved {' '.join(models)} --out FILE.jsonl")


def _write(examples: list[Example], out: Path) -> None:
    from homeroom.storage.files import write_atomically

    out.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(example.to_dict(), ensure_ascii=False) + "\n" for example in examples)
    write_atomically(out, lines.encode())


def _tell(found: Unsolved, models: int, examples: int, out: Path) -> None:
    asked = plural(found.asked, "validation reply").replace("replys", "replies")
    if not examples:
        click.echo(f"Nothing is left: each of {asked} of {found.dataset} was solved by one of the models. No file was written.")
        return
    count = plural(models, "model")
    click.echo(f"{len(found.items)} of {asked} of {found.dataset} ({found.task}) not solved by any of {count}")
    table(("check that was not passed", "replies"), found.checks.most_common())
    written = plural(examples, "example")
    click.echo(f"{written} written to {out}: better the replies, and write more of the kind on other topics")
    click.echo(f"Then look at it and take it in: homeroom data check {out}    homeroom data merge --help")
