"""``homeroom chat``: a conversation in the terminal, stored like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from homeroom.cli.common import emit, json_option, open_home, typed_lines, visible
from homeroom.cli.spending import agree_to_talk, yes_option

if TYPE_CHECKING:
    from homeroom.chat.replies import Reply
    from homeroom.errors import HomeroomError


@click.command(name="chat")
@click.option("--model", help="Name, id8 or suffix of a model; what the chat uses when omitted.")
@click.option("--system", help="System prompt in place of the model's own.")
@click.option("-m", "--message", help="Ask this one thing, print the reply and end.")
@yes_option
@json_option
@click.pass_context
def command(ctx: click.Context, model: str | None, system: str | None, message: str | None, yes: bool, as_json: bool) -> None:
    """Chat in the terminal. An empty line or Ctrl-D ends; Ctrl-C stops a reply."""
    from homeroom.app.talk import talking
    from homeroom.chat.conversations import ConversationStore
    from homeroom.chat.service import ChatService
    from homeroom.storage import Scope

    home = open_home(ctx)
    with talking(home, model, "tutor") as (models, card):
        agree_to_talk(home, card, card.system_prompt if system is None else system, yes=yes, as_json=as_json)
        conversations = ConversationStore(home.database)
        chat = ChatService(models, conversations)
        scope = Scope()
        conversation = conversations.create(scope, model=card.name)
        if not as_json:
            click.secho(f"{card.label} ({card.name})", bold=True, err=True)
            click.secho(suitability_note(card.suitability), fg="yellow", err=True)
        turns: list[dict[str, str]] = []
        for text in [message] if message is not None else typed_lines("you> "):
            reply, error = _reply(chat.send(scope, conversation.id, text, model=card.name, system=system), quiet=as_json)
            turns.append({"message": text, "reply": reply})
            if error is not None and (message is not None or as_json):
                raise error
            if error is not None:
                click.echo(f"error: {error.message}", err=True)
        data = {"model": card.name, "conversation": conversation.id, "reply": turns[-1]["reply"] if turns else "", "turns": turns}
        emit(data, as_json, lambda: None)


def _reply(reply: Reply, *, quiet: bool) -> tuple[str, HomeroomError | None]:
    """Show a reply as it comes. Returns its text, and why it failed if it did."""
    from homeroom.chat.replies import Delta, Done

    parts: list[str] = []
    error = None
    try:
        for event in reply.events():
            if isinstance(event, Delta):
                parts.append(event.text)
                if not quiet:
                    click.echo(visible(event.text), nl=False)
            elif isinstance(event, Done):
                error = event.error
    except KeyboardInterrupt:
        reply.stop()
    finally:
        reply.close()
    if not quiet and parts:
        click.echo()
    return "".join(parts), error


def suitability_note(suitability: str) -> str:
    """What a person must know before talking to a model of this suitability."""
    if suitability == "practice":
        return (
            "You are talking to an AI. This model shows the workflow; it must not teach children. "
            "Bring a larger one: homeroom models pull qwen3-1.7b"
        )
    return "You are talking to an AI. It can be wrong: check what it says."
