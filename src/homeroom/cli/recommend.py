"""``homeroom tune recommend``: which method to begin with, and why."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.common import emit, json_option, open_home, size, table, visible
from homeroom.cli.probe import run_probe, show_probe
from homeroom.cli.values import COUNT, FiniteRange
from homeroom.tuning.recommend.inputs import INPUTS, Input, shown

if TYPE_CHECKING:
    from homeroom.app.recommending import Found
    from homeroom.tuning.recommend.decide import Recommendation
    from homeroom.tuning.recommend.inputs import Situation, Value
    from homeroom.tuning.recommend.rules import Method

TOLD_BYTES = 5_000_000  # from here on looking at data takes noticeably long
TOO_FEW, ENOUGH = 5, 50
"""Examples below which nothing is tuned; from which on a test split mostly holds the 16 replies of a verdict."""
YES_NO = {"yes": True, "no": False}
BEFORE_AND_AFTER = (
    "on examples that are set aside for it",
    "all that was tuned on one test split, beside the base and a well-written prompt",
)


def _type(entry: Input) -> click.ParamType[Any]:
    if entry.kind == "yes-no":
        return click.Choice(list(YES_NO))
    if entry.kind == "date":
        return click.DateTime(["%Y-%m-%d"])
    if entry.kind == "choice":
        return click.Choice(entry.choices)
    return click.IntRange(0, COUNT) if entry.name == "examples" else FiniteRange(0)


def _value(entry: Input, typed: Any) -> Value:  # what click made of it
    if entry.kind == "yes-no":
        return YES_NO.get(typed)
    if isinstance(typed, datetime):
        return typed.date()
    value: Value = typed
    return value


def input_options(function: Callable[..., None]) -> Callable[..., None]:
    """An option for each input, handed over as one mapping ``given`` of those that were given."""

    @functools.wraps(function)
    def wrapped(**arguments: Any) -> None:  # click's own
        given = {e.name: _value(e, arguments.pop(e.name)) for e in INPUTS}
        function(given={name: value for name, value in given.items() if value is not None}, **arguments)

    for entry in reversed(INPUTS):
        found = f" Found by itself: {entry.found}." if entry.found else ""
        wrapped = click.option(
            entry.option, entry.name, type=_type(entry), default=None, help=entry.question.replace("`", "") + found
        )(wrapped)
    return wrapped


@click.command(name="recommend")
@click.argument("data", required=False)
@input_options
@click.option("--dataset", help="The same as DATA: a dataset by id, name or name@version.")
@click.option("--probe", is_flag=True, help="Try it: prompt, few-shot and a short tune on training examples that are set aside.")
@click.option("--task", type=click.Choice(["tutor", "learner"]), help="Whose examples count and, with --probe, are tuned on.")
@click.option("--base", default="", help="With --probe: the model; the settings' default when omitted.")
@click.option(
    "--items", default=24, show_default=True, type=click.IntRange(1, 10_000), help="With --probe: most replies to judge by."
)
@click.option("--recipe", type=click.Path(path_type=Path), help="With --probe: recipe of the short tune.")
@click.option("--yes", is_flag=True, help="With --probe: do not ask before money is spent.")
@click.option("--ask/--no-ask", default=None, help="Ask for what is not known; by default in a terminal.")
@click.option("--all", "whole", is_flag=True, help="Show what spoke for and against every method.")
@json_option
def command(
    data: str | None,
    given: dict[str, Value],
    dataset: str | None,
    probe: bool,
    task: str | None,
    base: str,
    items: int,
    recipe: Path | None,
    yes: bool,
    ask: bool | None,
    whole: bool,
    as_json: bool,
) -> None:
    """Say which method fits, why, and what to type. DATA is a dataset or a file of examples.

    What can be found out is looked up: the data and its quality, the machine, its network, keys. The rest is asked in a
    terminal, or given as options; what nobody says is taken as the table in the documentation tells.

    With --probe it is tried: the base, a well-written prompt, demonstrations and a short tune answer training examples that are
    set aside for it and never used again. It may say: do not tune.
    """
    from homeroom.app.recommending import data_bytes, look, situation_of
    from homeroom.tuning.recommend.decide import recommend

    context = click.get_current_context()
    _require_use(context, probe=probe, both=data is not None and dataset is not None)
    home = open_home(context)
    data = dataset or data
    probed = run_probe(home, data, task or "", base, items, recipe, yes=yes, quiet=as_json) if probe else None
    if data is not None and not as_json and (held := data_bytes(Path(data))) > TOLD_BYTES:
        click.echo(f"checking {data} ({size(held)}) ...", err=True)
    found = look(home, data, task or "")
    values = {**found.values, **given}
    if not as_json and (ask if ask is not None else sys.stdin.isatty() and sys.stdout.isatty()):
        values |= asked(found, given)
    answer = recommend(situation_of(values))
    record = _plain(answer, found, given) | ({"probe": probed[1]} if probed else {})

    def text() -> None:
        if probed:
            show_probe(*probed)
            click.echo("What the table of rules says:")
        show(answer, found, whole=whole)

    emit(record, as_json, text)


def _require_use(context: click.Context, *, probe: bool, both: bool) -> None:
    """Refuse what would be passed over in silence.

    Raises:
        click.UsageError: an option of the probe without ``--probe``, or data named twice.
    """
    if both:
        raise click.UsageError("DATA and --dataset name the same thing: give one of them.", context)
    for name in ("base", "items", "recipe"):
        if not probe and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is for a probe. Add --probe.", context)


def asked(found: Found, given: dict[str, Value]) -> dict[str, Value]:
    """What a person answers to the questions that are neither given nor found out."""
    answers: dict[str, Value] = {}
    for entry in INPUTS:
        if entry.name in given:
            continue
        if entry.name in found.values and entry.name != "access":
            click.echo(f"{entry.name}: {shown(found.values[entry.name])} ({found.where[entry.name]})", err=True)
            continue
        if entry.name == "quality":
            continue  # nobody knows it who has not run the check
        default = shown(found.values.get(entry.name, entry.default))
        kind = _type(entry)
        if entry.name == "budget_usd":
            typed = click.prompt(f"{entry.question} (empty: no limit)", default="", show_default=False, err=True)
            answers[entry.name] = FiniteRange(0)(typed) if typed.strip() else None
        else:
            answers[entry.name] = _value(entry, click.prompt(entry.question, default=default, type=kind, err=True))
    return answers


def show(answer: Recommendation, found: Found, *, whole: bool) -> None:
    """The answer for a person."""
    from homeroom.app.recommending import measured_by, passed_over

    click.secho(f"{answer.scores[0].title}  ({answer.method})", bold=True)
    click.echo(f"  {answer.on_examples}")
    for reason in answer.reasons:
        click.echo(f"  - {reason}")
    named = [f"{name} = {shown(getattr(answer.situation, name))}" for name in answer.decided_by]
    click.echo(f"  Decided by: {', '.join(named)}")
    _show_commands(answer.method, found, answer.situation)
    second = next(s for s in answer.scores if s.method == answer.second)
    later = f", {answer.second_later}" if answer.second_later else ""
    click.echo(f"Second choice: {second.title}  ({answer.second}){later}")
    _show_commands(answer.second, found, answer.situation)
    for warning in (*answer.warnings, *passed_over(found, answer.situation)):
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    if whole:
        rows = []
        for score in answer.scores:
            for number, one in enumerate(score.reasons):
                total = ("excluded" if score.excluded else score.points) if number == 0 else ""
                because = f"{one.because} ({', '.join(f'{k} = {v}' for k, v in one.inputs.items())})"
                points = "excludes" if one.points is None else f"{one.points:+}"
                rows.append((score.method if number == 0 else "", total, points, because))
            if not score.reasons:
                rows.append((score.method, score.points, "", ""))
        click.echo()
        table(("method", "points", "", "because"), rows)
    probe, compare = measured_by(found)
    soon = _soon(answer.situation.examples)
    before, after = ("on the test split", "the same of what was tuned") if found.program else BEFORE_AND_AFTER
    click.echo(f"The points are a rule of thumb. What counts is measured{soon}. Before tuning, {before}:")
    click.echo(f"    {probe}")
    click.echo(f"Afterwards, {after}:")
    click.echo(f"    {compare}")


def _soon(examples: int) -> str:
    """What to say where few examples hold out too few replies to measure by."""
    if examples < TOO_FEW:
        return ", once there are examples of several topics"
    return ", though so few examples hold out too few replies for a verdict" if examples < ENOUGH else ""


def _show_commands(method: Method, found: Found, situation: Situation) -> None:
    from homeroom.app.recommending import commands, explained

    for line in commands(method, found, situation):
        click.echo(f"    {visible(line)}")
    for line in explained(method, found, situation):
        click.echo(f"  ({line})")


def _plain(answer: Recommendation, found: Found, given: dict[str, Value]) -> dict[str, Any]:  # JSON
    from homeroom.app.recommending import commands, explained, measured_by, passed_over

    record = dataclasses.asdict(answer)
    inputs = {
        e.name: {
            "value": record["situation"][e.name],
            "from": "given" if e.name in given else found.where.get(e.name, "taken for granted"),
        }
        for e in INPUTS
    }
    record.pop("situation")
    both = {method: list(commands(method, found, answer.situation)) for method in (answer.method, answer.second)}
    about = {method: list(explained(method, found, answer.situation)) for method in both}
    more = {"about": about, "notes": list(passed_over(found, answer.situation)), "measure": list(measured_by(found))}
    return {**record, "reasons": list(answer.reasons), "inputs": inputs, "commands": both, **more}
