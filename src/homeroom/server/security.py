"""What every request must pass before a view sees it, and the headers that every answer carries.

Any web page a person visits can send requests to a server that the person reaches. So: the host must be ours (DNS rebinding), a
request must come from our own pages or from no page at all (Origin, Sec-Fetch-Site), its sender must be let in where that is
asked (`homeroom.server.auth`), one that changes something must carry our pages' token, and a page may load nothing and run
nothing that we did not serve. Which of it holds for which address says `homeroom.server.policy`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from flask import Flask, Request, Response, request, session
from werkzeug.exceptions import RequestEntityTooLarge

from homeroom.server.failures import MediaTypeError, RefusedError, RequestError
from homeroom.server.hosts import Hosts
from homeroom.server.limits import RateLimit, check_headers
from homeroom.server.policy import LARGE, SAFE_METHODS, UNLISTED_API, UNLISTED_PAGE, Policy, policy_of

API_PREFIX = "/v1/"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})

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
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
}


def _admit_all(policy: Policy) -> None:
    """Nobody is asked who they are."""


def protect(
    app: Flask, *, hosts: Hosts | None = None, rate: RateLimit | None = None, admit: Callable[[Policy], None] = _admit_all
) -> None:
    """Put the checks before every view of ``app`` and the headers on every answer.

    Args:
        app: The application.
        hosts: Names to answer to; loopback's alone when None.
        rate: Counts requests; the default limit when None.
        admit: Refuses whoever may not do what is asked, by raising. Called before anything of the body is read.
    """
    known = hosts or Hosts()
    counted = rate or RateLimit()

    def check() -> None:
        check_host(request, known)
        check_headers(request)
        policy = policy_of(request) or (UNLISTED_API if request.path.startswith(API_PREFIX) else UNLISTED_PAGE)
        if policy.family != "health":  # so that whoever watches over the server is never told to wait
            counted.take(request.remote_addr or "", policy.family)
        check_origin(request, policy)
        admit(policy)
        if (request.content_length or 0) > policy.body_bytes:
            raise RequestEntityTooLarge
        request.max_content_length = policy.body_bytes  # for those that come without a length
        request.max_form_memory_size = min(policy.body_bytes, LARGE)  # fields of a form; files of an upload go to the disk
        if policy.token:
            check_csrf(request)
        if request.method not in SAFE_METHODS and request.url_rule is not None:
            check_media_type(request, policy)

    app.before_request(check)
    app.after_request(set_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token


def check_host(incoming: Request, known: Hosts) -> None:
    """Refuse a host name that is not ours, and learn from it whether the browser speaks HTTPS with whoever stands in front.

    Raises:
        RefusedError: ``host-refused``: the Host header names another host.
    """
    given = incoming.headers.get("Host", "")
    scheme = known.scheme(given)
    if scheme is None:
        raise RefusedError(
            f"this server does not answer to the host {given[:80]!r}. Open it at the address that it printed, or allow the name: "
            "homeroom serve --allow-host NAME",
            code="host-refused",
        )
    incoming.scheme = scheme


def check_origin(incoming: Request, policy: Policy) -> None:
    """Refuse what another site's page asks for. Programs send neither header; a link from elsewhere may lead to a page.

    Source of the second rule: "resource isolation policy", https://web.dev/articles/fetch-metadata.

    Raises:
        RefusedError: ``origin-refused``: the browser says that the request comes from elsewhere.
    """
    origin = incoming.headers.get("Origin")
    if origin is not None and origin != f"{incoming.scheme}://{incoming.headers.get('Host', '')}":
        raise RefusedError(f"a page of {origin[:80]!r} may not do this. Use Homeroom's own pages", code="origin-refused")
    if incoming.headers.get("Sec-Fetch-Site", "none") in {"same-origin", "none"}:
        return
    mode, place = incoming.headers.get("Sec-Fetch-Mode"), incoming.headers.get("Sec-Fetch-Dest")
    followed = incoming.method in SAFE_METHODS and (mode, place) == ("navigate", "document")
    if not (policy.linkable and followed):
        raise RefusedError("a page of another site may not do this. Use Homeroom's own pages", code="origin-refused")


def check_media_type(incoming: Request, policy: Policy) -> None:
    """Refuse what the address does not take. To the API nothing but JSON: a form needs no permission of the browser's.

    Raises:
        MediaTypeError: ``media-type``.
    """
    if policy.takes == "json" and not incoming.is_json:
        raise MediaTypeError(f"send JSON with Content-Type: application/json, not {str(incoming.content_type)[:80]!r}")
    if policy.takes == "upload" and incoming.mimetype != "multipart/form-data":
        raise MediaTypeError(f"send the file as multipart/form-data, not {str(incoming.content_type)[:80]!r}")
    if policy.takes == "command" and incoming.mimetype in {*FORMS, "text/plain"}:
        raise MediaTypeError(f"send no form here, or JSON, not {str(incoming.content_type)[:80]!r}")
    if policy.takes == "form" and incoming.mimetype not in FORMS and incoming.content_length:
        raise MediaTypeError(f"send a form, not {str(incoming.content_type)[:80]!r}")


def check_csrf(incoming: Request) -> None:
    """Refuse a change without the token that our pages carry.

    Raises:
        RequestError: ``csrf``: the token is absent or another one's.
    """
    expected = session.get("csrf")
    given = incoming.headers.get(CSRF_HEADER)
    if given is None and incoming.mimetype in FORMS:
        given = incoming.form.get(CSRF_FIELD)
    if not expected or not given or not hmac.compare_digest(str(expected).encode(), given.encode("utf-8", "replace")):
        raise RequestError("this page is too old to send anything. Load it again, then repeat", code="csrf")


def csrf_token() -> str:
    """The token of this browser's session, made on first use."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    return str(session["csrf"])


def set_headers(response: Response) -> Response:
    """The headers of every answer. A view may have set a policy of its own, such as that of a report."""
    present = {name.lower() for name, _ in response.headers}  # looked up once: each search of werkzeug's reads them all
    for name, value in HEADERS.items():
        if name.lower() not in present:
            response.headers.add(name, value)
    return response
