"""``homeroom tune ask`` and ``score``: a program of several fields in use, and what it is worth on unseen examples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import emit, json_option, open_home, plural, table, visible
from homeroom.cli.progress import Line, bar
from homeroom.cli.spending import asking, yes_option
from homeroom.errors import ConfigError

if TYPE_CHECKING:
    from homeroom.app.program_scores import ProgramScore

program_option = click.option("--program", default="", help="A shipped program; left out, the one that the model was tuned for.")
tokens_option = click.option(
    "--max-tokens", default=256, show_default=True, type=click.IntRange(1, 4096), help="Longest reply, in tokens."
)


def _values(pairs: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` as a mapping.

    Raises:
        ConfigError: ``program-inputs``: one has no name.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (sign and name.isidentifier()):
            raise ConfigError(
                f"{pair!r} is no input of a program: write NAME=VALUE, such as student_says='It is 7.' The inputs of each "
                "program: docs/how-to/tune-with-dspy.md",
                code="program-inputs",
            )
        found[name] = value
    return found


@click.command(name="ask")
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, metavar="NAME=VALUE...")
@program_option
@tokens_option
@yes_option
@json_option
@click.pass_context
def ask(ctx: click.Context, model: str, inputs: tuple[str, ...], program: str, max_tokens: int, yes: bool, as_json: bool) -> None:
    """Give a model the inputs of a program and print each field of its reply.

    MODEL is one that was tuned for a program; or any other with --program, which it is asked untuned.
    """
    from homeroom.app.programs import program as opened

    given = _values(inputs)
    spend = asking(yes=yes, as_json=as_json)
    with opened(open_home(ctx), program, model=model, max_tokens=max_tokens, spend=spend) as asked:
        found = dict(asked.ask(**given))
        emit({"model": asked.name, "fields": found}, as_json, lambda: _fields(found))


def _fields(found: dict[str, Any]) -> None:  # fields are any JSON
    for name, value in found.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{click.style(name.replace('_', ' ') + ':', bold=True)} {visible(text)}")


@click.command(name="score")
@click.argument("model")
@click.option("--dataset", default="", help="Version whose test split is asked; left out, the program's bundled ones.")
@program_option
@tokens_option
@yes_option
@json_option
@click.pass_context
def score(ctx: click.Context, model: str, dataset: str, program: str, max_tokens: int, yes: bool, as_json: bool) -> None:
    """Judge the fields that a model gives for the test split: scenario, feedback_teacher or feedback_learner.

    A model that was tuned for a signature of your own is judged by what its search chose by, on the dataset it was tuned on.
    Score the base as well, with --program, to see what tuning was worth. Each look at the test split is counted.
    """
    from homeroom.app.program_scores import score_program

    line = Line(as_json)
    try:
        found = score_program(
            open_home(ctx),
            model,
            dataset,
            name=program,
            max_tokens=max_tokens,
            spend=asking(yes=yes, as_json=as_json),
            on_progress=lambda done, total: line.show(f"Asking  {bar(done / max(1, total))}"),
        )
    finally:
        line.clear()
    emit(found.to_dict(), as_json, lambda: _score(found))


def _score(found: ProgramScore) -> None:
    many = len(found.scores)
    click.echo(
        f"{found.model}: {found.score:.2f} of 1 on {plural(many, 'held-out example')} of {found.dataset} ({found.program})"
    )
    if found.measure.startswith("reference"):
        click.echo("Measured by the words that each reply shares with the authored one, as the search chose.")
    else:
        click.echo(f"The authored replies reach {found.authored:.2f} under the same checks.")
    if found.failed:
        table(("check that was not passed", f"of {many}"), list(found.failed.items()))
    click.echo(found.look)
