"""Reading what a request carries, with one kind of error for what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from flask import request

from homeroom.server.failures import RequestError

# JSON of a client: its values are checked one by one below.
Json = dict[str, Any]


MAX_DEPTH = 64
"""Lists and objects inside each other. Deeper ones end the parsers, here and in what the request is passed on to."""

MAX_DIGITS = 309
"""Of a whole number: with more no double holds it."""


def json_object() -> Json:
    """The JSON object that was sent. A double can hold every number in it.

    Raises:
        RequestError: it is no JSON, or no object (``not-json``); a number in it is not finite, or beyond what a double holds
            (``number-too-large``, with ``param`` naming its place); it is nested too deep, or a text in it holds half a character
            (``bad-request``).
    """
    try:
        body = json.loads(request.get_data(), parse_int=_whole) if request.is_json else None
    except RecursionError:
        raise RequestError(f"the JSON object is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RequestError("the request must carry a JSON object with Content-Type: application/json", code="not-json")
    _check(body)
    return body


def _whole(digits: str) -> float:
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS else math.inf


def _check(body: Json) -> None:
    level: list[object] = [body]
    for _ in range(MAX_DEPTH):
        for item in level:
            if isinstance(item, str) and not _is_text(item):
                raise RequestError(
                    "a text holds half a character (a lone \\ud800 to \\udfff), which cannot be kept. Write it again"
                )
            if not _is_held(item):
                place = _place(body, item)
                raise RequestError(
                    f"'{place}' must be a finite number that a double can hold, up to about 1.8e308", param=place,
                    code="number-too-large",
                )  # fmt: skip
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


def _is_held(item: object) -> bool:
    try:
        return not isinstance(item, int | float) or math.isfinite(item)
    except OverflowError:
        return False


def _place(body: Json, wanted: object) -> str:
    """Where a value stands, as OpenAI names places: ``messages[0].content``. The first place of that very object."""
    waiting: list[tuple[str, object]] = [("", body)]
    for place, item in waiting:
        if item is wanted:
            break
        if isinstance(item, dict):
            waiting += [(f"{place}.{name[:40]}".lstrip("."), value) for name, value in item.items()]
        elif isinstance(item, list):
            waiting += [(f"{place}[{index}]", value) for index, value in enumerate(item)]
    return place


def text_field(body: Json, name: str, default: str | None = None) -> str:
    """A text of the JSON object, or ``default`` when it is absent.

    Raises:
        RequestError: it is absent without a default, or no text.
    """
    value = body.get(name, default)
    if not isinstance(value, str):
        raise RequestError(f"{name!r} must be a text, not {value!r:.80}", param=name)
    return value
