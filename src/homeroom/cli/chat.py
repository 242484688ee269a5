"""``homeroom chat``: a conversation in the terminal, stored like any other."""

from __future__ import annotations

from collections.abc import Iterator

import click

from homeroom.cli.common import emit, json_option, open_home


@click.command(name="chat")
@click.option("--model", help="Name, id8 or suffix of a model; what the chat uses when omitted.")
@click.option("--system", help="System prompt in place of the model's own.")
@click.option("-m", "--message", help="Ask this one thing, print the reply and end.")
@json_option
@click.pass_context
def command(ctx: click.Context, model: str | None, system: str | None, message: str | None, as_json: bool) -> None:
    """Chat in the terminal. An empty line or Ctrl-D ends; Ctrl-C stops a reply."""
    from homeroom.app.talk import directory, full_name
    from homeroom.chat.conversations import ConversationStore
    from homeroom.chat.directory import resolve_card
    from homeroom.chat.service import ChatService
    from homeroom.storage import Scope

    home = open_home(ctx)
    with directory(home, model) as models:
        card = resolve_card(models, full_name(home, models, model), "tutor")
        conversations = ConversationStore(home.database)
        chat = ChatService(models, conversations)
        scope = Scope()
        conversation = conversations.create(scope, model=card.name)
        if not as_json:
            click.secho(f"{card.label} ({card.name})", bold=True, err=True)
            click.secho(suitability_note(card.suitability), fg="yellow", err=True)
        for text in [message] if message else _lines("you> "):
            reply = chat.send(scope, conversation.id, text, model=card.name, system=system)
            parts: list[str] = []
            try:
                for event in reply.events():
                    piece = getattr(event, "text", "")
                    parts.append(piece)
                    if not as_json:
                        click.echo(piece, nl=False)
            except KeyboardInterrupt:
                reply.stop()
            finally:
                reply.close()
            emit({"model": card.name, "reply": "".join(parts), "conversation": conversation.id}, as_json, click.echo)


def suitability_note(suitability: str) -> str:
    """What a person must know before talking to a model of this suitability."""
    if suitability == "practice":
        return (
            "You are talking to an AI. This model shows the workflow; it must not teach children. "
            "Bring a larger one: homeroom models pull qwen3-1.7b"
        )
    return "You are talking to an AI. It can be wrong: check what it says."


def _lines(prompt: str) -> Iterator[str]:
    """What the person types, until an empty line or the end of the input."""
    while True:
        try:
            text = input(prompt).strip()
        except EOFError:
            click.echo()
            return
        if not text:
            return
        yield text
