"""Reading what a request carries, with one kind of error for what is wrong."""

from __future__ import annotations

from typing import Any

from flask import request

from homeroom.server.failures import RequestError

# JSON of a client: its values are checked one by one below.
Json = dict[str, Any]


def json_object() -> Json:
    """The JSON object that was sent.

    Raises:
        RequestError: it is no JSON, or no object.
    """
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise RequestError("the request must carry a JSON object with Content-Type: application/json", code="not-json")
    return body


def text_field(body: Json, name: str, default: str | None = None) -> str:
    """A text of the JSON object, or ``default`` when it is absent.

    Raises:
        RequestError: it is absent without a default, or no text.
    """
    value = body.get(name, default)
    if not isinstance(value, str):
        raise RequestError(f"{name!r} must be a text, not {value!r:.80}", param=name)
    return value
