"""Errors that belong to the web alone. How any error is shown is decided in `homeroom.server.errors`."""

from __future__ import annotations

from homeroom.errors import HomeroomError


class RequestError(HomeroomError):
    """The request is malformed. ``param`` names the field, where it is one."""

    code = "bad-request"
    status = 400

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


class RefusedError(HomeroomError):
    """The request comes from a page or under an address that the server does not trust."""

    code = "refused"
    status = 403


class TooManyStreamsError(HomeroomError):
    """As many replies are on their way as the server admits."""

    code = "too-many-streams"
    status = 429

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequestsError(HomeroomError):
    """One address sends more than its share."""

    code = "too-many-requests"
    status = 429

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class HeadersTooLargeError(HomeroomError):
    """The headers or the address are longer than those of any honest request."""

    code = "headers-too-large"
    status = 431


class MediaTypeError(HomeroomError):
    """The request carries something else than its address takes."""

    code = "media-type"
    status = 415


class NotReadyError(HomeroomError):
    """A part that the server needs does not answer."""

    code = "not-ready"
    status = 503
