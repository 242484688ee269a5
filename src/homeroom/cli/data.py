"""``homeroom data``: check files, show examples, make and list dataset versions."""

from __future__ import annotations

from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, plural, table, when


@click.group(name="data")
def command() -> None:
    """Check, show, split and version training data."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "format_", help="chat, prompt-completion or mathdial; detected when omitted.")
@json_option
def check(files: tuple[Path, ...], format_: str | None, as_json: bool) -> int:
    """Check files of examples; exits 1 when there is an error.

    Every problem is listed with file, line and rule.
    """
    from homeroom.data.reading import read_examples

    results = [(path, read_examples(path, format=format_)) for path in files]
    problems = [p for _, result in results for p in result.problems]
    errors = [p for p in problems if p.severity == "error"]
    count = sum(len(result.examples) for _, result in results)
    data = {
        "files": {str(path): {"format": r.format, "examples": len(r.examples)} for path, r in results},
        "problems": [
            {"file": p.file, "line": p.line, "rule": p.rule, "severity": p.severity, "message": p.message} for p in problems
        ],
        "ok": not errors,
    }

    def text() -> None:
        for problem in problems:
            click.echo(f"{problem} ({problem.severity})" if problem.severity != "error" else str(problem))
        found = f"{plural(len(errors), 'error')}, {plural(len(problems) - len(errors), 'warning')}"
        verdict = found if problems else "nothing to mend"
        click.echo(f"{plural(count, 'example')} in {plural(len(files), 'file')}: {verdict}.")

    emit(data, as_json, text)
    return 1 if errors else 0


@command.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("-n", "count", default=3, show_default=True, type=click.IntRange(1), help="How many examples.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="Only examples of this task.")
@json_option
def show(file: Path | None, count: int, task: str | None, as_json: bool) -> None:
    """Show examples of a file, or of the bundled course."""
    from homeroom.data.course import load_course
    from homeroom.data.reading import load_examples

    examples = load_examples(file) if file else load_course()
    chosen = [e for e in examples if task in (None, e.task)][:count]

    def text() -> None:
        for example in chosen:
            meta = " · ".join(
                f"{k} {v}" for k, v in example.metadata.items() if k in ("task", "subject", "grade", "topic", "scenario")
            )
            click.secho(f"{example.id}  {meta}", bold=True)
            for message in example.messages:
                click.echo(f"  {message.role:>9}: {message.content}")
            click.echo()

    emit([e.to_dict() for e in chosen], as_json, text)


@command.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the dataset; the file's name when omitted.")
@click.option("--parent", help="Version whose split is inherited: id, name or name@version.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split.")
@json_option
@click.pass_context
def split(ctx: click.Context, file: Path | None, name: str | None, parent: str | None, seed: int, as_json: bool) -> None:
    """Make an immutable dataset version of a file (or the bundled course), with whole topics held out."""
    from homeroom.data.course import COURSE_NAME, load_course
    from homeroom.data.reading import load_examples

    examples = load_examples(file) if file else load_course()
    home = open_home(ctx)
    dataset = home.datasets.create(name or (file.stem if file else COURSE_NAME), examples, seed=seed, parent=parent)
    info = dataset.info
    counts = info.counts["splits"]

    def text() -> None:
        click.echo(f"{info.name}@{info.version}  {info.id[:12]}")
        click.echo(f"train {counts['train']} · validation {counts['validation']} · test {counts['test']} examples")
        click.echo(f"Tune on it with: homeroom tune run --dataset {info.name}@{info.version}")

    emit(_info(info), as_json, text)


@command.command()
@json_option
@click.pass_context
def versions(ctx: click.Context, as_json: bool) -> None:
    """List dataset versions, newest first."""
    home = open_home(ctx)
    infos = home.datasets.list()

    def text() -> None:
        if not infos:
            click.echo("No dataset yet. Make one with: homeroom data split FILE")
            return
        rows = []
        for i in infos:
            counts = (i.counts["splits"][s] for s in ("train", "validation", "test"))
            rows.append((f"{i.name}@{i.version}", i.id[:12], i.counts.get("examples"), *counts, when(i.created_at)))
        table(("dataset", "id", "examples", "train", "validation", "test", "made"), rows)

    emit([_info(i) for i in infos], as_json, text)


def _info(info: object) -> dict[str, object]:
    import dataclasses

    return dataclasses.asdict(info)  # type: ignore[call-overload, no-any-return]  # DatasetInfo, imported lazily


@command.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD=HEADING", help="Where a table's headings are not the usual ones."
)
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@json_option
def convert(source: Path, target: Path, columns: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Convert a table (CSV, TSV, XLSX) or another JSONL format to chat JSONL."""
    from homeroom.app.project import convert_file, parse_columns

    count = convert_file(source, target, parse_columns(columns), force=force).examples
    emit({"examples": count, "file": str(target)}, as_json, lambda: click.echo(f"{plural(count, 'example')} written to {target}"))
