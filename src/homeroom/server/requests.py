"""Reading what a request carries, with one kind of error for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import request

from homeroom.server.failures import RequestError

# JSON of a client: its values are checked one by one below.
Json = dict[str, Any]


MAX_DEPTH = 64
"""Lists and objects inside each other. Deeper ones end the parsers, here and in what the request is passed on to."""


def json_object() -> Json:
    """The JSON object that was sent.

    Raises:
        RequestError: it is no JSON, or no object (``not-json``); it is nested too deep, or a text in it holds half a character
            (``bad-request``).
    """
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        raise RequestError(f"the JSON object is nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(body, dict):
        raise RequestError("the request must carry a JSON object with Content-Type: application/json", code="not-json")
    _check(body)
    return body


def _check(body: Json) -> None:
    level: list[object] = [body]
    for _ in range(MAX_DEPTH):
        for item in level:
            if isinstance(item, str) and not _is_text(item):
                raise RequestError(
                    "a text holds half a character (a lone \\ud800 to \\udfff), which cannot be kept. Write it again"
                )
        level = [part for item in level for part in _parts(item)]
        if not level:
            return
    raise RequestError(f"the JSON object is nested deeper than {MAX_DEPTH} levels")


def _parts(item: object) -> Iterator[object]:
    if isinstance(item, dict):
        yield from item.keys()
        yield from item.values()
    elif isinstance(item, list):
        yield from item


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_field(body: Json, name: str, default: str | None = None) -> str:
    """A text of the JSON object, or ``default`` when it is absent.

    Raises:
        RequestError: it is absent without a default, or no text.
    """
    value = body.get(name, default)
    if not isinstance(value, str):
        raise RequestError(f"{name!r} must be a text, not {value!r:.80}", param=name)
    return value
