"""Is the process alive, and can it do its work?"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from homeroom.errors import HomeroomError
from homeroom.server.auth import door
from homeroom.server.context import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def health() -> Response:
    """The process answers. Touches neither the database nor an engine."""
    return jsonify({"status": "ok"})


@blueprint.get("/ready")
def ready() -> tuple[Response, int]:
    """Every part answers: 200, or 503 with what does not and what to do."""
    parts: dict[str, str] = {}
    for name, check in services().checks.items():
        try:
            check()
        except HomeroomError as error:
            parts[name] = error.message
        else:
            parts[name] = "ok"
    whole = all(answer == "ok" for answer in parts.values())
    if door().sign_ins is not None and door().signed_in() is None:  # a message may name folders and addresses of this machine
        parts = {name: "ok" if answer == "ok" else "not ok" for name, answer in parts.items()}
    return jsonify({"status": "ready" if whole else "not ready", "checks": parts}), 200 if whole else 503
