"""What every request must pass before a view sees it, and the headers that every answer carries.

The server listens on loopback, yet any web page a person visits can send requests there. So: the host must be ours (DNS
rebinding), a request that changes something must come from our own pages (Origin, Sec-Fetch-Site, CSRF token), and a page
may load nothing and run nothing that we did not serve.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from flask import Flask, Request, Response, request, session

from homeroom.errors import HomeroomError
from homeroom.server.failures import RefusedError, RequestError

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
API_PREFIX = "/v1/"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers then send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class MediaTypeError(HomeroomError):
    """The API takes JSON only: a form of another site must not post to it."""

    code = "media-type"
    status = 415


def protect(app: Flask, *, hosts: Iterable[str] = ()) -> None:
    """Put the checks before every view of ``app`` and the headers on every answer.

    ``hosts`` are names to answer to besides loopback's.
    """
    known = LOOPBACK_HOSTS | {host.lower() for host in hosts}

    def check() -> None:
        check_host(request, known)
        if request.method not in SAFE_METHODS:
            check_origin(request)
            if request.path.startswith(API_PREFIX):
                check_media_type(request)
            else:
                check_csrf(request)

    app.before_request(check)
    app.after_request(set_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token


def check_host(incoming: Request, known: Iterable[str]) -> None:
    """Refuse a host name that is not ours.

    Raises:
        RefusedError: the Host header names another host.
    """
    name = urlsplit(f"//{incoming.headers.get('Host', '')}").hostname or ""
    if name not in known:
        raise RefusedError(
            f"this server does not answer to the host {name!r}. Open it at the address that it printed", code="host-refused"
        )


def check_origin(incoming: Request) -> None:
    """Refuse a change that another site's page asks for.

    Raises:
        RefusedError: the browser says that the request comes from elsewhere.
    """
    origin = incoming.headers.get("Origin")
    if origin is not None and origin != f"{incoming.scheme}://{incoming.headers.get('Host', '')}":
        raise RefusedError(f"a page of {origin!r} may not do this. Use Homeroom's own pages", code="origin-refused")
    if incoming.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        raise RefusedError("a page of another site may not do this. Use Homeroom's own pages", code="origin-refused")


def check_media_type(incoming: Request) -> None:
    """Refuse anything but JSON: what a form can send needs no permission of the browser's.

    Raises:
        MediaTypeError: another content type.
    """
    if not incoming.is_json:
        raise MediaTypeError(f"send JSON with Content-Type: application/json, not {incoming.content_type!r}")


def check_csrf(incoming: Request) -> None:
    """Refuse a change without the token that our pages carry.

    Raises:
        RequestError: the token is absent or another one's.
    """
    expected = session.get("csrf")
    given = incoming.headers.get(CSRF_HEADER)
    if given is None and incoming.mimetype in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        given = incoming.form.get(CSRF_FIELD)
    if not expected or not given or not hmac.compare_digest(str(expected), given):
        raise RequestError("this page is too old to send anything. Load it again, then repeat", code="csrf")


def csrf_token() -> str:
    """The token of this browser's session, made on first use."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    return str(session["csrf"])


def set_headers(response: Response) -> Response:
    """The headers of every answer. A view may have set a policy of its own, such as that of a report."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
