"""``homeroom tune traces``: a model's good replies as a file of examples."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, require_place
from homeroom.cli.spending import asking, yes_option
from homeroom.cli.values import COUNT


@click.command(name="traces")
@click.argument("model")
@click.option(
    "--dataset", default="homeroom-course", show_default=True, help="Whose train part is asked: id, name or name@version."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="File to write: .jsonl, or another of `data convert`."
)
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="Whose examples; what the model is for when left out.")
@click.option("--attempts", type=click.IntRange(1, 50), default=1, show_default=True, help="Replies to each question.")
@click.option("--limit", type=click.IntRange(1, COUNT), help="Most questions, spread over the topics.")
@click.option("--force", is_flag=True, help="Replace the file.")
@yes_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    dataset: str,
    out: Path,
    task: str | None,
    attempts: int,
    limit: int | None,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Write the replies of a model that pass every check as examples, for the next round or for weights.

    Only the train part of the dataset is asked, and no question is shown its own answer. Each example says that it was generated,
    and by which model.
    """
    from homeroom.app.traces import good_traces
    from homeroom.data.convert import write_examples
    from homeroom.errors import ConflictError, DataError

    if out.exists() and not force:
        raise ConflictError(f"{str(out)!r} exists. Choose another name or add --force.", code="file-exists")
    require_place(out, "--out")
    home = open_home(ctx)
    quiet = as_json or not sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if not quiet:
            click.echo(f"\r{done} of {total} replies", err=True, nl=done == total)

    spend = asking(yes=yes, as_json=as_json)
    found = good_traces(home, model, dataset, task=task, attempts=attempts, limit=limit, on_progress=progress, spend=spend)
    refused = "; ".join(f"{title}: {count}" for title, count in found.failed.items())
    if not found.examples:
        others = {"as the author said": found.authored, "empty or cut off": found.unanswered}
        why = "; ".join([*([refused] if refused else []), *(f"{what}: {count}" for what, count in others.items() if count)])
        raise DataError(
            f"Not one of {found.asked} replies of {found.model!r} is good and new ({why}). Take a better model, or more "
            "--attempts",
            code="nothing-left",
        )
    written = write_examples(lambda: found.examples, out, force=force)

    def text() -> None:
        click.echo(f"{written.examples} of {found.asked} replies pass every check and are new: {out}")
        if found.authored or found.unanswered:
            click.echo(f"Left out: {found.authored} that say what the author said, {found.unanswered} empty or cut off")
        if refused:
            click.echo(f"Refused by: {refused}")
        click.echo(f"Look at them: homeroom data show {out}    Make a version: homeroom data split {out}")

    emit({**found.to_dict(), "file": str(out)}, as_json, text)
