"""Who is calling: the one place where it is found out, before anything of the body is read.

The API knows its callers by a key. Until the first key is made it answers this machine alone and asks for none; from then on
every call needs one, also when all keys were revoked since: taking a key away must never open the door.

The pages ask nobody as long as only this machine reaches them. A server that other machines reach asks for a sign-in with a key
(`homeroom.server.sign_in`), whoever asks and from wherever. A key opens the API and a sign-in opens the pages: neither is taken
for the other, so that no page of another site can make a browser call the API.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from flask import Flask, Request, Response, current_app, g, request, session

from homeroom.accounts.keys import ApiKey, Scopes
from homeroom.errors import HomeroomError
from homeroom.server.failures import TooManyRequestsError
from homeroom.server.limits import RateLimit
from homeroom.server.policy import Policy
from homeroom.storage import LOCAL, Scope

SCHEME = "bearer"
SIGNED_IN = "signed_in"
"""Name of the sign-in in a browser's session."""
_DOOR = "homeroom.door"


class KeyMissingError(HomeroomError):
    """The call carries no key that holds."""

    code = "invalid-api-key"
    status = 401


class SignInError(HomeroomError):
    """Whoever asks for a page has not signed in, or no longer is."""

    code = "sign-in"
    status = 401


class KeyScopeError(HomeroomError):
    """The key may not do this."""

    code = "insufficient-permissions"
    status = 403


class Keys(Protocol):
    """The keys of a home: `homeroom.accounts.KeyStore`."""

    def any_ever(self) -> bool:
        """Whether a key was ever made."""
        ...

    def authenticate(self, secret: str) -> ApiKey | None:
        """The key with that secret, if it holds."""
        ...


class SignIns(Protocol):
    """The browsers that signed in: `homeroom.accounts.SignInStore`."""

    def begin(self, key: ApiKey) -> str:
        """Sign in; what is returned is the browser's."""
        ...

    def key_of(self, token: str) -> ApiKey | None:
        """The key that a browser signed in with, while both hold."""
        ...

    def end(self, token: str) -> None:
        """Sign out."""
        ...


class Door:
    """Lets callers in, or not.

    Args:
        keys: Looked up at each call, so that a revoked key ends at once; None asks nobody for one.
        sign_ins: Of a server that other machines reach; None where the pages are this machine's alone.
        clock: Seconds that only grow.
    """

    def __init__(self, keys: Keys | None, sign_ins: SignIns | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.keys, self.sign_ins = keys, sign_ins
        self._asked = sign_ins is not None
        self._clock = clock
        self._counts: dict[str, RateLimit] = {}

    def admit(self, policy: Policy) -> None:
        """Find out who sends the current request, and whether that caller may.

        Raises:
            KeyMissingError: the API is called without a key that holds.
            SignInError: a page is asked for without a sign-in that holds.
            KeyScopeError: the key does not allow it.
            TooManyRequestsError: the key's requests are used up.
        """
        if policy.scope is None:
            return
        if policy.family == "api":
            self._asked = self._asked or (self.keys is not None and self.keys.any_ever())
            if self._asked:
                g.caller = _key_of(self.keys)
                _check_scope(g.caller, policy.scope)
                self._count(g.caller)
        elif self.sign_ins is not None:
            g.caller = self.signed_in()
            if g.caller is None:
                raise SignInError("you are not signed in, or no longer are. Sign in at /sign-in; what you typed here stays")
            _check_scope(g.caller, policy.scope)

    def signed_in(self) -> ApiKey | None:
        """The key that the current request's browser signed in with."""
        token = session.get(SIGNED_IN)
        return self.sign_ins.key_of(token) if self.sign_ins is not None and isinstance(token, str) else None

    def _count(self, key: ApiKey) -> None:
        count = self._counts.get(key.id)
        if count is None or count.per_minute != key.requests_per_minute:
            count = self._counts[key.id] = RateLimit(key.requests_per_minute, clock=self._clock)
        g.api_count = count
        try:
            count.take(key.id, "api")
        except TooManyRequestsError as error:
            raise TooManyRequestsError(
                f"the key {key.shown}... allows {key.requests_per_minute} requests a minute. Wait a moment, or make one that "
                "allows more: homeroom users key create NAME --rpm N",
                retry_after_s=error.retry_after_s,
            ) from None


def install(app: Flask, door: Door) -> None:
    """Tell callers of the API what is left of their requests, and templates who is looking at them.

    Templates get ``stranger`` (whether they may show nothing of this home), ``caller`` and ``may``.
    """

    def may(scope: Scopes) -> bool:
        if door.sign_ins is None:
            return True
        key = g.get("caller")
        return key is not None and bool(key.may(scope))

    def about_caller() -> dict[str, object]:
        key = g.get("caller")
        return {"stranger": door.sign_ins is not None and key is None, "caller": key, "may": may}

    app.extensions[_DOOR] = door
    app.after_request(tell)
    app.context_processor(about_caller)


def door() -> Door:
    """The current application's."""
    found = current_app.extensions[_DOOR]
    assert isinstance(found, Door)
    return found


def tell(response: Response) -> Response:
    """Put what is left of a key's requests on the answer, as OpenAI does."""
    count = g.get("api_count")
    if count is not None:
        left, whole_s = count.left(g.caller.id, "api")
        response.headers["x-ratelimit-limit-requests"] = str(count.per_minute)
        response.headers["x-ratelimit-remaining-requests"] = str(math.floor(left))
        response.headers["x-ratelimit-reset-requests"] = f"{whole_s:.3f}s"
    return response


def scope_of_caller(incoming: Request) -> Scope:
    """Whose rows the caller sees.

    Programs share what is behind the API, as the keys of one project do at OpenAI. On the pages a key for everything (``admin``)
    is whoever runs this home; any other has conversations of its own, which nobody else sees.
    """
    key = g.get("caller")
    if not isinstance(key, ApiKey):
        return LOCAL
    if g.get("api_count") is not None or key.may("admin"):
        return key.owner
    return Scope(key.owner.workspace_id, key.id)


def _key_of(keys: Keys | None) -> ApiKey:
    given = request.headers.get("Authorization", "")
    scheme, _, secret = given.partition(" ")
    if scheme.lower() != SCHEME or not secret.strip():
        raise KeyMissingError(
            "this server asks for an API key. Send it as Authorization: Bearer KEY; whoever runs it makes one with: "
            "homeroom users key create NAME"
        )
    key = keys.authenticate(secret.strip()) if keys is not None else None
    if key is None:
        raise KeyMissingError("this API key is not known, expired or was revoked. Ask whoever runs the server for another one")
    return key


def _check_scope(key: ApiKey, scope: Scopes) -> None:
    if not key.may(scope):
        raise KeyScopeError(
            f"the key {key.shown}... allows {', '.join(sorted(key.scopes))}, and this needs {scope}. Ask for one that "
            f"does: homeroom users key create NAME --scope {scope}"
        )
