"""Signing in to the pages with a key, and out again. Only a server that other machines reach asks for it.

No address and no log ever holds the key: it travels in the body of a form, and what stays in the browser's cookie is a random
text that ends with the key, with signing out, and after half a day.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, current_app, make_response, redirect, render_template, request, session, url_for

from homeroom.server.auth import SIGNED_IN, door
from homeroom.server.failures import TooManyRequestsError
from homeroom.server.limits import RateLimit

blueprint = Blueprint("sign_in", __name__)
ATTEMPTS_PER_MINUTE = 20
RETURN_TO = "return_to"
MAX_RETURN_TO = 500
_ATTEMPTS = "homeroom.attempts"


def install(app: Flask) -> None:
    """Let ``app`` sign people in, with a count of wrong keys for each address."""
    app.extensions[_ATTEMPTS] = RateLimit(ATTEMPTS_PER_MINUTE)


@blueprint.get("/sign-in")
def page() -> str:
    """The form, or who is signed in."""
    return _form()


@blueprint.post("/sign-in")
def submit() -> Response:
    """Sign in with the key of the form. What the browser held before is forgotten, so that nobody can have put it there."""
    keys, sign_ins = door().keys, door().sign_ins
    if sign_ins is None or keys is None:
        return _go(url_for("practice.page"))
    key = keys.authenticate(request.form.get("key", "").strip())
    if key is None:
        _count_wrong_key()
        return make_response(_form(refused=True), 401)
    return_to = session.get(RETURN_TO, "")
    session.clear()
    session[SIGNED_IN] = sign_ins.begin(key)
    return _go(return_to or url_for("practice.page"))


@blueprint.post("/sign-out")
def leave() -> Response:
    """Sign out: the cookie is worth nothing from now on, in this browser or anywhere."""
    sign_ins, token = door().sign_ins, session.get(SIGNED_IN)
    if sign_ins is None:
        return _go(url_for("practice.page"))
    if isinstance(token, str):
        sign_ins.end(token)
    session.clear()
    return _go(url_for("sign_in.page"))


def lead_to_sign_in() -> Response:
    """Answer a browser that asked for a page without being signed in.

    A strict cookie does not come along when somebody follows a link on another site. Such a request is first sent once more, by a
    page of ours: whoever is signed in arrives, and no cookie is replaced.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        return make_response(render_template("again.html"))
    where = request.full_path.rstrip("?")
    if request.method == "GET" and request.url_rule is not None and len(where) <= MAX_RETURN_TO:  # an address of ours
        session[RETURN_TO] = where
    return _go(url_for("sign_in.page"))


def _count_wrong_key() -> None:
    """Only these are counted: whoever guesses must not keep a class out that comes from the same address with its own keys.

    Raises:
        TooManyRequestsError: too many came from this address.
    """
    attempts: RateLimit = current_app.extensions[_ATTEMPTS]
    try:
        attempts.take(request.remote_addr or "", "sign-in")
    except TooManyRequestsError as error:
        raise TooManyRequestsError(
            f"{ATTEMPTS_PER_MINUTE} wrong keys a minute are looked at, and more came from this address. Wait a moment",
            retry_after_s=error.retry_after_s,
        ) from None


def _form(*, refused: bool = False) -> str:
    return render_template("sign_in.html", refused=refused, needed=door().sign_ins is not None, key=door().signed_in())


def _go(where: str) -> Response:
    """A redirect that asks for the page anew, whatever the method was."""
    return make_response(redirect(where, 303))
