"""What a person says of a reply."""

from __future__ import annotations

from typing import cast, get_args

from flask import Blueprint, render_template, request

from homeroom.chat.feedback import Consent, Feedback, Thumb
from homeroom.server.context import scope, services
from homeroom.server.failures import RequestError

blueprint = Blueprint("feedback", __name__)

REASONS = {
    "up": ("Asked a good question", "Used the learner's own work", "Right level", "Clear and short"),
    "down": ("Gave the answer away", "Said wrong work is right", "Not correct", "Too long or too hard", "Off the question"),
}


@blueprint.get("/turns/<turn_id>/feedback")
def form(turn_id: str) -> str:
    """The form with what was said so far."""
    return _form(services().feedback.get(scope(), turn_id))


@blueprint.post("/turns/<turn_id>/thumb")
def thumb(turn_id: str) -> str:
    """Store the thumb at once, then ask for more."""
    given = services().feedback.save(scope(), turn_id, thumb=_thumb(request.form.get("thumb", "")))
    return _form(given)


@blueprint.post("/turns/<turn_id>/feedback")
def save(turn_id: str) -> str:
    """Store the reason, a better answer, and whether both may be used."""
    reasons = [r.strip() for r in request.form.getlist("reason") if r.strip()]
    given = services().feedback.save(
        scope(),
        turn_id,
        thumb=_thumb(request.form.get("thumb", "")),
        reason="; ".join(reasons),
        better_answer=request.form.get("better_answer", ""),
        consent=_consent(request.form.get("consent", "not-asked")),
    )
    return _form(given, saved=True)


@blueprint.post("/turns/<turn_id>/feedback/withdraw")
def withdraw(turn_id: str) -> str:
    """Remove what was said, with the consent that was given."""
    services().feedback.withdraw(scope(), turn_id)
    return render_template("_thumbs.html", turn_id=turn_id, given=None, oob=True)


def _form(given: Feedback, *, saved: bool = False) -> str:
    return render_template("_feedback.html", turn_id=given.turn_id, given=given, reasons=REASONS, saved=saved)


def _thumb(value: str) -> Thumb | None:
    if value and value not in get_args(Thumb):
        raise RequestError(f"a thumb is 'up' or 'down', not {value!r}", param="thumb")
    return cast(Thumb, value) if value else None


def _consent(value: str) -> Consent:
    if value not in get_args(Consent):
        raise RequestError(f"consent is 'granted', 'refused' or 'not-asked', not {value!r}", param="consent")
    return cast(Consent, value)
