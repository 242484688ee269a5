"""Practise teaching: choose a learner, teach, and read the notes at the end. The first page of Homeroom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from homeroom.chat.conversations import Exchange
from homeroom.chat.directory import ModelCard, resolve_card
from homeroom.chat.practice import PracticeSession
from homeroom.chat.replies import Done, Reply
from homeroom.chat.scenarios import PracticeScenario
from homeroom.errors import NotFoundError
from homeroom.server.chat_pages import newest_exchange
from homeroom.server.context import scope, services
from homeroom.server.errors import Shown, shown_or_none
from homeroom.server.models import picker_choices
from homeroom.server.reply_stream import stream_reply
from homeroom.server.requests import json_object, text_field

blueprint = Blueprint("practice", __name__)
BANDS = {"K-2": range(3), "3-5": range(3, 6), "6-8": range(6, 9), "9-12": range(9, 13)}


@blueprint.get("/")
def page() -> str:
    """The learners to practise on."""
    everyone = services().practice.scenarios()
    return render_template(
        "practice.html",
        scenarios=_filtered(everyone),
        total=len(everyone),
        subjects=sorted({s.subject for s in everyone if s.subject}),
        bands=[band for band, grades in BANDS.items() if any(s.grade in grades for s in everyone)],
        subject=request.args.get("subject", ""),
        band=request.args.get("band", ""),
        sessions=services().practice.list(scope(), limit=6),
        picker=picker_choices("learner"),
    )


@blueprint.get("/practice/cards")
def cards() -> str:
    """The cards alone, for a changed filter."""
    return render_template("_scenarios.html", scenarios=_filtered(services().practice.scenarios()))


@blueprint.post("/practice")
def start() -> BaseResponse:
    """Begin a session with a learner."""
    model = request.form.get("model", "")
    if model:
        resolve_card(services().models, model, "learner")
    session = services().practice.start(scope(), request.form.get("scenario", ""), model=model)
    return redirect(url_for("practice.session", session_id=session.id), 303)


@blueprint.get("/practice/<session_id>")
def session(session_id: str) -> str | BaseResponse:
    """Teach the learner."""
    found = services().practice.get(scope(), session_id)
    if found.finished:
        return redirect(url_for("practice.notes", session_id=session_id))
    return render_template(
        "session.html",
        session=found,
        scenario=found.scenario,
        exchanges=services().practice.exchanges(scope(), session_id),
        card=_card(found),
    )


@blueprint.post("/practice/<session_id>/turns")
def send(session_id: str) -> Response:
    """Say something and stream what the learner answers."""
    text = text_field(json_object(), "text")
    found = services().practice.get(scope(), session_id)
    return stream_reply(
        lambda: services().practice.send(scope(), session_id, text),
        lambda reply: _begin(found, reply),
        lambda reply, done: _end(found, reply, done),
    )


@blueprint.post("/practice/<session_id>/turns/<turn_id>/again")
def again(session_id: str, turn_id: str) -> Response:
    """Let the learner answer the newest turn again."""
    found = services().practice.get(scope(), session_id)
    return stream_reply(
        lambda: services().practice.retry(scope(), session_id, turn_id),
        lambda reply: _begin(found, reply),
        lambda reply, done: _end(found, reply, done),
    )


@blueprint.post("/practice/<session_id>/finish")
def finish(session_id: str) -> BaseResponse:
    """End the session."""
    services().practice.finish(scope(), session_id)
    return redirect(url_for("practice.notes", session_id=session_id), 303)


@blueprint.post("/practice/<session_id>/delete")
def delete(session_id: str) -> BaseResponse:
    """Remove the session with everything said in it."""
    services().practice.delete(scope(), session_id)
    return redirect(url_for("practice.page"), 303)


@blueprint.get("/practice/<session_id>/notes")
def notes(session_id: str) -> str | BaseResponse:
    """What the session showed."""
    found = services().practice.get(scope(), session_id)
    if not found.finished:
        return redirect(url_for("practice.session", session_id=session_id))
    return render_template(
        "notes.html",
        session=found,
        scenario=found.scenario,
        notes=services().practice.notes(scope(), session_id),
        exchanges=services().practice.exchanges(scope(), session_id),
    )


def _filtered(scenarios: Sequence[PracticeScenario]) -> list[PracticeScenario]:
    subject, band = request.args.get("subject", ""), request.args.get("band", "")
    grades = BANDS.get(band)
    return [s for s in scenarios if (not subject or s.subject == subject) and (grades is None or s.grade in grades)]


def _card(session: PracticeSession) -> ModelCard | None:
    """The model that plays the learner; None when it was deleted since."""
    try:
        return resolve_card(services().models, session.model or None, "learner")
    except NotFoundError:
        return None


def _render(session: PracticeSession, exchange: Exchange, *, streaming: str = "", error: Shown | None = None) -> str:
    return render_template(
        "_exchange.html",
        exchange=exchange,
        newest=True,
        streaming=streaming,
        error=error,
        said={},
        kind="practice",
        session=session,
        scenario=session.scenario,
    )


def _begin(session: PracticeSession, reply: Reply) -> Mapping[str, Any]:
    html = _render(session, Exchange(reply.user_turn), streaming=reply.id)
    return {"reply": reply.id, "exchange": reply.user_turn.id, "html": html}


def _end(session: PracticeSession, reply: Reply, done: Done) -> Mapping[str, Any]:
    exchange = newest_exchange(reply)
    return {"exchange": exchange.user.id, "html": _render(session, exchange, error=shown_or_none(done.error))}
