"""Filters and globals of the templates."""

from __future__ import annotations

import time
from typing import Any

from flask import Flask, g

from homeroom.server.context import services

SUBJECTS = {"mathematics": "Mathematics", "science": "Science", "reading": "Reading", "history": "History"}
SUITABILITY = {
    "practice": "Shows the workflow. Not for learners.",
    "trainee": "For trainee teachers, with supervision.",
    "learner": "May face learners, with supervision.",
}
LARGER_MODEL_COMMAND = "homeroom models pull <id>"


def install(app: Flask) -> None:
    """Make them known to ``app``."""
    app.jinja_env.filters.update(ago=ago, percent=percent, subject=subject_title, avatar=avatar, seconds=duration, figure=figure)
    app.jinja_env.globals.update(LARGER_MODEL_COMMAND=LARGER_MODEL_COMMAND, SUITABILITY=SUITABILITY)
    app.context_processor(_everywhere)


def _everywhere() -> dict[str, Any]:
    """What the frame of every page shows."""
    return {"training": lambda: [job for job in services().jobs() if job.state == "running"], "model_title": model_title}


def model_title(name: str) -> str:
    """What a person reads for a model's name; the name itself when the model is gone."""
    if "model_titles" not in g:
        g.model_titles = {card.name: card.label for card in services().models.list()}
    return str(g.model_titles.get(name, name))


def ago(when: float | None, now: float | None = None) -> str:
    """A moment as a person says it: ``just now``, ``5 min ago``, ``3 h ago``, ``2 days ago``, or the date."""
    if not when:
        return ""
    passed = max(0.0, (time.time() if now is None else now) - when)
    if passed < 60:
        return "just now"
    if passed < 3600:
        return f"{passed // 60:.0f} min ago"
    if passed < 86_400:
        return f"{passed // 3600:.0f} h ago"
    if passed < 7 * 86_400:
        days = int(passed // 86_400)
        return "yesterday" if days == 1 else f"{days} days ago"
    return time.strftime("%d %b %Y", time.localtime(when)).lstrip("0")


def duration(value: float | None) -> str:
    """A time span: ``8 s``, ``3 min 20 s``, ``1 h 5 min``."""
    if value is None:
        return ""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(fraction: float) -> int:
    """0 to 1 as a whole percentage."""
    return round(100 * min(1.0, max(0.0, fraction)))


def figure(value: object) -> str:
    """A number of a run, short: ``2.257``, ``16,000``; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def subject_title(subject: str) -> str:
    """A subject as a person reads it."""
    return SUBJECTS.get(subject, subject.replace("-", " ").capitalize())


def avatar(subject: str) -> str:
    """The CSS class of an avatar's colour."""
    return f"avatar-{subject}" if subject in SUBJECTS else "avatar-other"
