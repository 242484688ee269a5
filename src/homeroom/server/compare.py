"""Two models on one question, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, render_template, url_for

from homeroom.chat.compare import Comparison
from homeroom.chat.conversations import Conversation, Exchange
from homeroom.chat.directory import ModelCard
from homeroom.chat.replies import Done
from homeroom.errors import NotFoundError
from homeroom.server.context import scope, services
from homeroom.server.errors import shown_or_none
from homeroom.server.failures import RequestError
from homeroom.server.models import PickerChoices, picker_choices
from homeroom.server.reply_stream import stream_reply
from homeroom.server.requests import json_object, text_field

blueprint = Blueprint("compare", __name__)


@blueprint.get("/compare")
def page() -> str:
    """A new comparison: the newest tutor against its base."""
    return _page(None, None)


@blueprint.get("/compare/<conversation_id>")
def stored(conversation_id: str) -> str:
    """A comparison as it was."""
    conversation = services().conversations.get(scope(), conversation_id)
    exchanges = services().conversations.exchanges(scope(), conversation_id)
    if conversation.kind != "compare" or not exchanges:
        raise NotFoundError(f"there is no comparison {conversation_id!r}. Make one: /compare", code="conversation-not-found")
    return _page(conversation, exchanges[0])


@blueprint.post("/compare")
def start() -> Response:
    """Ask both models and stream both answers."""
    body = json_object()
    text = text_field(body, "text")
    models = body.get("models")
    if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
        raise RequestError(f"'models' must be a list of two names, not {models!r:.80}", param="models")
    return stream_reply(lambda: services().compare.start(scope(), text, models), _begin, _end)


@blueprint.post("/compare/<turn_id>/choose")
def choose(turn_id: str) -> str:
    """This answer is the better one."""
    turn = services().compare.choose(scope(), turn_id)
    exchange = services().conversations.exchanges(scope(), turn.conversation_id)[0]
    return render_template("_answers.html", exchange=exchange, picked=turn.id)


def _page(conversation: Conversation | None, exchange: Exchange | None) -> str:
    found = services()
    past = found.conversations.list(scope(), kind="compare", limit=30)
    picked = ""
    if exchange is not None:
        said = found.feedback.for_turns(scope(), [v.id for v in exchange.variants])
        picked = next((turn_id for turn_id, given in said.items() if given.thumb == "up"), "")
    return render_template(
        "compare.html",
        conversation=conversation,
        exchange=exchange,
        picked=picked,
        past=past,
        pickers=_two_pickers(exchange),
    )


def _two_pickers(exchange: Exchange | None) -> tuple[PickerChoices, PickerChoices]:
    """The models of the comparison shown; else what the chat uses, and its base or whatever else there is."""
    if exchange is not None and len(exchange.variants) == 2:
        return picker_choices("tutor", exchange.variants[0].model), picker_choices("tutor", exchange.variants[1].model)
    first = picker_choices("tutor")
    if first.selected is None:
        return first, first
    cards: list[ModelCard] = [card for _, group in first.groups for card in group if card.name != first.selected.name]
    other = next((card for card in cards if card.name == first.selected.base), cards[0] if cards else first.selected)
    return first, picker_choices("tutor", other.name)


def _begin(comparison: Comparison) -> Mapping[str, Any]:
    return {
        "replies": [reply.id for reply in comparison.replies],
        "url": url_for("compare.stored", conversation_id=comparison.conversation_id),
        "html": render_template(
            "_answers.html",
            exchange=Exchange(comparison.user_turn),
            streaming=[(reply.id, reply.card) for reply in comparison.replies],
        ),
    }


def _end(comparison: Comparison, done: Done) -> Mapping[str, Any]:
    model = next(r.card.name for r in comparison.replies if r.id == done.reply_id)
    error = shown_or_none(done.error)
    return {"html": render_template("_answer.html", turn=done.turn, reply_id=done.reply_id, model=model, error=error)}
