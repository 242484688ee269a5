"""``homeroom practice``: teach a simulated learner in the terminal."""

from __future__ import annotations

import click

from homeroom.cli.chat import suitability_note
from homeroom.cli.common import emit, json_option, open_home, table, typed_lines, visible
from homeroom.cli.spending import agree_to_talk, yes_option


@click.command(name="practice")
@click.option("--scenario", help="Number, id or learner's name.")
@click.option("--list", "list_", is_flag=True, help="List the scenarios and end.")
@click.option("--model", help="Name, id8 or suffix of a model; the routed learner when omitted.")
@yes_option
@json_option
@click.pass_context
def command(ctx: click.Context, scenario: str | None, list_: bool, model: str | None, yes: bool, as_json: bool) -> None:
    """Practise teaching with a simulated learner. You are the teacher; an empty line ends and gives notes on your own words."""
    import dataclasses

    from homeroom.app.talk import practice_scenarios, scenario_named

    home = open_home(ctx)
    scenarios = practice_scenarios(home)
    if list_:
        rows = [(n, s.name, s.grade_title, s.topic_title, s.temperament, s.problem) for n, s in enumerate(scenarios, start=1)]
        data = [dataclasses.asdict(s) for s in scenarios]
        emit(data, as_json, lambda: table(("", "learner", "grade", "topic", "temperament", "task"), rows))
        return
    _session(ctx, scenario_named(scenarios, scenario), model, yes=yes, as_json=as_json)


def _session(ctx: click.Context, scenario: object, model: str | None, *, yes: bool, as_json: bool) -> None:
    import dataclasses

    from homeroom.app.talk import talking
    from homeroom.chat.practice_feedback import feedback
    from homeroom.chat.scenarios import PracticeScenario
    from homeroom.schema.examples import Message

    assert isinstance(scenario, PracticeScenario)
    home = open_home(ctx)
    with talking(home, model, "learner") as (models, card):
        agree_to_talk(home, card, scenario.system_message, yes=yes, as_json=as_json)
        chat_model = models.chat_model(card.name)
        transcript = [Message("system", scenario.system_message)]
        if not as_json:
            click.secho(f"{scenario.name}, {scenario.grade_title}, {scenario.temperament}. {scenario.problem}", bold=True)
            click.echo(f"{scenario.name} answered: {scenario.claim}. You are the teacher. An empty line ends.")
            click.secho(suitability_note(card.suitability), fg="yellow", err=True)
        for text in typed_lines("teacher> "):
            transcript.append(Message("user", text))
            reply = ""
            if not as_json:
                click.echo(f"{scenario.name}: ", nl=False)
            for chunk in chat_model.stream(transcript, card.generation):
                reply += chunk.text
                if not as_json:
                    click.echo(visible(chunk.text), nl=False)
            if not as_json:
                click.echo()
            transcript.append(Message("assistant", reply))
    notes = feedback(transcript, scenario)

    def text_notes() -> None:
        click.secho("\nNotes on your turns", bold=True)
        for observation in (*notes.strengths, *notes.to_watch):
            mark = "+" if observation.tone == "strength" else "-"
            click.echo(f"{mark} {observation.title}. {observation.detail}")
            for quote in observation.quotes:
                click.echo(f"    turn {quote.turn}: “{quote.text}”")
        if notes.suggestion is not None:
            click.echo(f"> Try next: {notes.suggestion.title}. {notes.suggestion.detail} “{notes.suggestion.say}”")
        click.secho(notes.method, dim=True)

    emit({"transcript": [m.to_dict() for m in transcript], "notes": dataclasses.asdict(notes)}, as_json, text_notes)
