"""Errors of the API that name the field which is wrong."""

from __future__ import annotations

from homeroom.errors import ConfigError, NotFoundError


class FieldError(ConfigError):
    """A field of a request is wrong. ``param`` names it as the client wrote it."""

    code = "bad-request"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


class MissingError(NotFoundError):
    """Nothing has the id or name that a field of a request gives."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


def short(value: object) -> str:
    """A client's value as a message shows it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
