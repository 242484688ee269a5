"""How an error is shown: decided here and nowhere else.

Programs get OpenAI's error object, htmx a fragment, scripts JSON, people a page. A stream that already began gets `as_event`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError

from homeroom.errors import (
    AuthError,
    ContextLengthError,
    HomeroomError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
)
from homeroom.server.auth import SignInError
from homeroom.server.security import API_PREFIX
from homeroom.server.sign_in import lead_to_sign_in

log = logging.getLogger(__name__)

_HTTP_WORDS = {
    400: "The request could not be read.",
    404: "There is no such page.",
    405: "This address does not take that kind of request.",
    413: "That is more than this server takes in one request. Send less at once.",
    500: "Something went wrong in Homeroom itself. The terminal that runs it shows what. What you had saved is safe.",
}
# Refusals that a person sees as a line of text: nothing of ours, not even a page, for whoever is not meant to read it, and
# no work for whoever asks for too much.
PLAIN_CODES = frozenset({"host-refused", "origin-refused", "too-many-requests", "headers-too-large"})
_OPENAI_CODES = {"context-length": "context_length_exceeded"}


@dataclass(frozen=True, slots=True)
class Shown:
    """An error as somebody sees it."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def type(self) -> str:
        """OpenAI's type for the status."""
        if self.status == 429:
            return "rate_limit_error"
        if self.status == 401:
            return "authentication_error"
        if self.status == 403:
            return "permission_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def to_openai(self) -> dict[str, Any]:
        """OpenAI's error object."""
        code = _OPENAI_CODES.get(self.code, self.code.replace("-", "_"))
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": code}}

    def to_json(self) -> dict[str, Any]:
        """For our own scripts."""
        return {"error": {"message": self.message, "code": self.code, "retry_after_s": self.retry_after_s}}


def shown(error: HomeroomError | HTTPException) -> Shown:
    """What to show for ``error``."""
    if isinstance(error, HTTPException):
        status = error.code or 500
        return Shown(status, f"http-{status}", _HTTP_WORDS.get(status) or error.description or "The request failed.")
    return Shown(
        status=_status(error),
        code=error.code,
        message=_sentence(error.message),
        param=getattr(error, "param", None),
        retry_after_s=getattr(error, "retry_after_s", None),
    )


def _status(error: HomeroomError) -> int:
    """Our status: an endpoint's refusal of *our* credential is not the visitor's 401."""
    if isinstance(error, RateLimitError | ContextLengthError | ProviderTimeoutError):
        return type(error).status
    if isinstance(error, ProviderError):
        refused = error.status in (400, 422) and not isinstance(error, AuthError)
        return 400 if refused else 502  # what an endpoint refuses in a request is the request's fault
    if error.code == "database-locked":
        return 503
    return error.status


def _sentence(message: str) -> str:
    return (
        message[:1].upper()
        + message[1:]
        + ("" if message.endswith((".", "!", "?", "/")) or ": homeroom" in message[-80:] else ".")
    )


def shown_or_none(error: HomeroomError | None) -> Shown | None:
    """What to show for the error of a reply that ended; None when it ended well."""
    return None if error is None else shown(error)


def as_event(error: HomeroomError) -> dict[str, Any]:
    """For a stream of our own pages that already began."""
    return shown(error).to_json()


def as_openai(error: HomeroomError) -> dict[str, Any]:
    """For a stream of the API that already began."""
    return shown(error).to_openai()


def install(app: Flask) -> None:
    """Show every error of ``app`` in the form that its reader understands."""
    app.register_error_handler(HomeroomError, _homeroom_error)
    app.register_error_handler(HTTPException, _http_error)


def _homeroom_error(error: HomeroomError) -> Response:
    view = shown(error)
    if view.status >= 500:
        # An endpoint's own words may quote what was sent to it, a key included: they are for the page, not for the log.
        said = f"status {error.status}, request {error.request_id}" if isinstance(error, ProviderError) else error.message
        log.warning("%s %s: %s (%s)", request.method, _rule(), error.code, said)
    return _respond(view)


def _rule() -> str:
    """The address of the request as the program names it: what a client writes into it stays out of the log."""
    return request.url_rule.rule if request.url_rule is not None else "(no such address)"


def _http_error(error: HTTPException) -> Response:
    if error.code is not None and error.code < 400:
        return make_response(error.get_response())
    if isinstance(error, InternalServerError) and error.original_exception is not None:
        log.error("%s %s failed", request.method, _rule(), exc_info=error.original_exception)
    response = _respond(shown(error))
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _respond(view: Shown) -> Response:
    if view.code == "host-refused":
        response = _plain(view)
    elif request.path.startswith(API_PREFIX):
        response = jsonify(view.to_openai())
    elif request.headers.get("HX-Request") == "true":
        response = make_response(render_template("_error.html", error=view))
        response.headers["HX-Retarget"] = "#notices"
        response.headers["HX-Reswap"] = "innerHTML"
    elif (
        request.accept_mimetypes.best_match(["text/html", "application/json", "text/event-stream"]) != "text/html"
        or request.is_json
    ):
        response = jsonify(view.to_json())
    elif view.code in PLAIN_CODES:
        response = _plain(view)
    elif view.code == SignInError.code:
        return lead_to_sign_in()
    else:
        response = make_response(render_template("error.html", error=view))
    response.status_code = view.status
    if view.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(view.retry_after_s)))
    elif view.status == 503:
        response.headers["Retry-After"] = "5"
    return response


def _plain(view: Shown) -> Response:
    response = make_response(f"{view.message}\n")
    response.mimetype = "text/plain"
    return response
