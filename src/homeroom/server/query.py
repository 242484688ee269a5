"""Parameters in the address of an API request, checked one by one."""

from __future__ import annotations

from flask import request

from homeroom.server.failures import RequestError


def query_text(name: str) -> str | None:
    """A parameter as it came; None when it is absent or empty.

    Raises:
        RequestError: it is there twice, or holds a character that no id has.
    """
    values = request.args.getlist(name)
    if len(values) > 1:
        raise RequestError(f"{name!r} is there {len(values)} times; give it once", param=name)
    if values and any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in values[0]):
        raise RequestError(f"{name!r} holds a control character", param=name)
    return values[0] or None if values else None


def query_whole(name: str, *, default: int, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``.

    Raises:
        RequestError: it is something else.
    """
    text = query_text(name)
    if text is None:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12 and low <= int(text) <= high):
        raise RequestError(f"{name!r} must be a whole number from {low} to {high}, not {text[:40]!r}", param=name)
    return int(text)


def query_choice(name: str, default: str, *others: str) -> str:
    """One of the words; ``default`` when it is absent.

    Raises:
        RequestError: it is another word.
    """
    text = query_text(name) or default
    if text not in (default, *others):
        raise RequestError(f"{name!r} must be one of {', '.join((default, *others))}, not {text[:40]!r}", param=name)
    return text
