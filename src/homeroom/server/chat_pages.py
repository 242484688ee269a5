"""The chat: pages, streamed replies, variants, and what can be done to a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from homeroom.chat.conversations import Exchange
from homeroom.chat.feedback import Feedback
from homeroom.chat.replies import Done, Reply
from homeroom.chat.service import title_of
from homeroom.errors import NotFoundError
from homeroom.server.context import scope, services
from homeroom.server.errors import Shown, shown_or_none
from homeroom.server.failures import RequestError
from homeroom.server.models import picker_choices
from homeroom.server.reply_stream import stream_reply
from homeroom.server.requests import json_object, text_field

blueprint = Blueprint("chat", __name__)


@blueprint.get("/chat")
def new_chat() -> str:
    """An empty chat."""
    return _page(None)


@blueprint.get("/chat/<conversation_id>")
def chat(conversation_id: str) -> str:
    """A stored conversation."""
    return _page(conversation_id)


@blueprint.get("/chat/sidebar")
def sidebar() -> str:
    """The list of conversations, for when it changed."""
    return render_template(
        "_sidebar.html", conversations=services().conversations.list(scope()), current=request.args.get("current", "")
    )


@blueprint.post("/chat/turns")
def send_first() -> Response:
    """Start a conversation with its first message."""
    body = json_object()
    text, model = text_field(body, "text"), text_field(body, "model", "")
    return stream_reply(lambda: services().chat.send_first(scope(), text, model=model or None), _begin, _end)


@blueprint.post("/chat/<conversation_id>/turns")
def send(conversation_id: str) -> Response:
    """Send a message and stream the reply."""
    _chat_only(conversation_id)
    body = json_object()
    text, model = text_field(body, "text"), text_field(body, "model", "")
    return stream_reply(lambda: services().chat.send(scope(), conversation_id, text, model=model or None), _begin, _end)


@blueprint.post("/turns/<turn_id>/again")
def again(turn_id: str) -> Response:
    """Draw another variant of the newest reply, or answer the newest message that has none."""
    _chat_only(services().conversations.turn(scope(), turn_id).conversation_id)
    model = text_field(json_object(), "model", "")
    return stream_reply(lambda: services().chat.regenerate(scope(), turn_id, model=model or None), _begin, _end)


@blueprint.post("/replies/<reply_id>/stop")
def stop(reply_id: str) -> tuple[str, int]:
    """End a reply on its way; its stream says what was kept."""
    services().chat.stop(scope(), reply_id)
    return "", 204


@blueprint.post("/turns/<turn_id>/choose")
def choose(turn_id: str) -> str:
    """Build on this variant from now on."""
    _chat_only(services().conversations.turn(scope(), turn_id).conversation_id)
    turn = services().conversations.choose(scope(), turn_id)
    exchanges = services().conversations.exchanges(scope(), turn.conversation_id)
    exchange = next(e for e in exchanges if turn.id in {v.id for v in e.variants})
    return render_exchange(exchange, newest=exchange is exchanges[-1])


@blueprint.post("/chat/<conversation_id>/title")
def rename(conversation_id: str) -> Response:
    """Give the conversation another title."""
    _chat_only(conversation_id)
    title = request.form.get("title", "").strip()
    if not title:
        raise RequestError("the title is empty. Write one, or leave it as it was", param="title")
    services().conversations.rename(scope(), conversation_id, title_of(title))
    return _changed_sidebar()


@blueprint.post("/chat/<conversation_id>/delete")
def delete(conversation_id: str) -> BaseResponse:
    """Remove the conversation for good."""
    _chat_only(conversation_id)
    services().conversations.delete(scope(), conversation_id)
    response = _changed_sidebar()
    if request.form.get("current") == conversation_id:
        response.headers["HX-Redirect"] = url_for("chat.new_chat")
    return response


def render_exchange(exchange: Exchange, *, newest: bool, streaming: str = "", error: Shown | None = None) -> str:
    """A message with its reply as HTML."""
    said: Mapping[str, Feedback] = {}
    if exchange.chosen is not None and not streaming:
        said = services().feedback.for_turns(scope(), [exchange.chosen.id])
    return render_template(
        "_exchange.html", exchange=exchange, newest=newest, streaming=streaming, error=error, said=said, kind="chat"
    )


def _page(conversation_id: str | None) -> str:
    found = services()
    conversation = found.conversations.get(scope(), conversation_id) if conversation_id else None
    exchanges = found.conversations.exchanges(scope(), conversation.id) if conversation else ()
    if conversation is not None and conversation.kind != "chat":
        raise NotFoundError(f"there is no chat {conversation_id!r}. Start one: /chat", code="conversation-not-found")
    chosen = [e.chosen.id for e in exchanges if e.chosen is not None]
    return render_template(
        "chat.html",
        conversation=conversation,
        exchanges=exchanges,
        said=found.feedback.for_turns(scope(), chosen) if chosen else {},
        conversations=found.conversations.list(scope()),
        picker=picker_choices("tutor", conversation.model if conversation else ""),
    )


def _chat_only(conversation_id: str) -> None:
    """A practice session or a comparison is not continued here, although it is a conversation too."""
    if services().conversations.get(scope(), conversation_id).kind != "chat":
        raise NotFoundError(f"there is no chat {conversation_id!r}. Start one: /chat", code="conversation-not-found")


def _begin(reply: Reply) -> Mapping[str, Any]:
    exchange = Exchange(reply.user_turn)
    return {
        "reply": reply.id,
        "exchange": reply.user_turn.id,
        "html": render_exchange(exchange, newest=True, streaming=reply.id),
        "url": url_for("chat.chat", conversation_id=reply.conversation_id),
        "conversation": reply.conversation_id,
        "title": services().conversations.get(scope(), reply.conversation_id).title,
    }


def _end(reply: Reply, done: Done) -> Mapping[str, Any]:
    exchange = newest_exchange(reply)
    return {"exchange": exchange.user.id, "html": render_exchange(exchange, newest=True, error=shown_or_none(done.error))}


def newest_exchange(reply: Reply) -> Exchange:
    """What is stored of the exchange of ``reply``."""
    exchanges = services().conversations.exchanges(scope(), reply.conversation_id)
    return next((e for e in exchanges if e.user.id == reply.user_turn.id), Exchange(reply.user_turn))


def _changed_sidebar() -> Response:
    response = make_response("", 204)
    response.headers["HX-Trigger"] = "conversations-changed"
    return response
