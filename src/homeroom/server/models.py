"""The models: the picker, the list with what is known of each, and the editor of their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from homeroom.chat.directory import ModelCard, default_card, find_card
from homeroom.errors import NotFoundError
from homeroom.server.context import services
from homeroom.server.failures import RequestError

blueprint = Blueprint("models", __name__)

TASKS = ("tutor", "learner")
GROUPS = (("tuned", "Tuned here"), ("base", "Base models"), ("endpoint", "Endpoints"))
# A report is a page of our own making with plots and inline styles: it may draw and do nothing else.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'; base-uri 'none'"
MAX_SYSTEM_PROMPT = 8_000


@dataclass(frozen=True, slots=True)
class PickerChoices:
    """What a model picker offers: groups of cards, and the one that is picked."""

    task: str
    groups: tuple[tuple[str, tuple[ModelCard, ...]], ...]
    selected: ModelCard | None


def picker_choices(task: str, selected: str = "") -> PickerChoices:
    """Models for ``task``: tuned for it or general. One that was picked stays listed whatever it was tuned for."""
    cards = [c for c in services().models.list() if c.task in {task, "any"} or c.name == selected]
    groups = tuple((title, tuple(c for c in cards if c.kind == kind)) for kind, title in GROUPS)
    current = next((card for card in cards if card.name == selected), None)
    if current is None and cards:
        current = default_card(services().models, task)
    return PickerChoices(task, tuple((title, group) for title, group in groups if group), current)


@blueprint.get("/models")
def page() -> str:
    """All models."""
    return render_template("models.html", cards=_newest_first())


@blueprint.get("/models/list")
def listing() -> str:
    """The list alone, for when it changed."""
    return render_template("_models.html", cards=_newest_first())


@blueprint.get("/models/picker")
def picker() -> str:
    """The options of a picker, for when the list changed."""
    return render_template("_options.html", picker=picker_choices(_task(request.args), request.args.get("model", "")))


@blueprint.get("/models/notice")
def notice() -> str:
    """What anybody talking to these models must know."""
    names = set(request.args.getlist("model"))
    return render_template("_notice.html", cards=[card for card in services().models.list() if card.name in names])


@blueprint.get("/models/settings")
def settings() -> str:
    """The editor of one model's settings."""
    return render_template("_settings.html", card=find_card(services().models, request.args.get("name", "")), saved=False)


@blueprint.post("/models/settings")
def save_settings() -> str:
    """Store them with the model version."""
    card = find_card(services().models, request.form.get("name", ""))
    services().models.save_settings(card.name, {**card.settings, **read_settings(request.form)})
    return render_template("_settings.html", card=find_card(services().models, card.name), saved=True)


@blueprint.post("/models/use")
def use() -> Response:
    """Make a model what the pages for a task use."""
    card = find_card(services().models, request.form.get("name", ""))
    services().models.use_for(card.name, _task(request.form))
    response = make_response(render_template("_models.html", cards=_newest_first()))
    response.headers["HX-Trigger"] = "models-changed"
    return response


@blueprint.get("/models/report")
def report() -> Response:
    """The report of a scorecard, as it was written when the model was judged."""
    key = request.args.get("key", "")
    listed = {link.report for card in services().models.list() for link in card.scorecards if link.report}
    html = services().report(key) if key in listed else None
    if html is None:
        raise NotFoundError(f"there is no report {key!r}. Make one: homeroom eval", code="report-not-found")
    response = make_response(html)
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


def read_settings(form: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a form carries.

    Raises:
        RequestError: a value is no number or out of range; the message names the field and the value.
    """
    stops = [line for line in form.get("stop", "").replace("\r", "").split("\n") if line.strip()]
    if len(stops) > 4:
        raise RequestError(f"at most 4 stop texts are possible, not {len(stops)}. Remove some", param="stop", code="setting-stop")
    prompt = form.get("system_prompt", "").strip()
    if len(prompt) > MAX_SYSTEM_PROMPT:
        raise RequestError(
            f"the system prompt has {len(prompt):,} characters; {MAX_SYSTEM_PROMPT:,} is the limit",
            param="system_prompt",
            code="setting-system-prompt",
        )
    return {
        "temperature": _number(form, "temperature", "Temperature", 0.0, 2.0),
        "max_tokens": int(_number(form, "max_tokens", "Longest reply", 1, 4096)),
        "stop": stops,
        "system_prompt": prompt.replace("\r\n", "\n"),
    }


def _number(form: Mapping[str, str], name: str, title: str, low: float, high: float) -> float:
    text = form.get(name, "").strip().replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        message = f"{title}: {text!r} is not a number from {low:g} to {high:g}"
        raise RequestError(message, param=name, code=f"setting-{name.replace('_', '-')}")
    return value


def _task(values: Mapping[str, str]) -> str:
    task = values.get("task", "tutor")
    if task not in TASKS:
        raise RequestError(f"there is no task {task!r}; it is 'tutor' or 'learner'", param="task")
    return task


def _newest_first() -> list[ModelCard]:
    cards = services().models.list()
    tuned = sorted((c for c in cards if c.kind == "tuned"), key=lambda c: -c.created_at)
    return [*tuned, *(c for c in cards if c.kind != "tuned")]
