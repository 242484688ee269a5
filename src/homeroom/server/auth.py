"""Who calls the API: a key, once there is one. It is looked at before the body is read.

Until the first key is made the API answers this machine alone and asks for none. From then on every call needs one, also when all
keys were revoked since: taking a key away must never open the door.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from flask import Flask, Response, g, request

from homeroom.accounts.keys import ApiKey
from homeroom.errors import HomeroomError
from homeroom.server.failures import TooManyRequestsError
from homeroom.server.limits import RateLimit
from homeroom.server.policy import Policy, policy_of

SCHEME = "bearer"


class KeyMissingError(HomeroomError):
    """The call carries no key that holds."""

    code = "invalid-api-key"
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


def install(app: Flask, keys: Keys, clock: Callable[[], float] = time.monotonic) -> None:
    """Ask every call of the API for a key. Call it after `homeroom.server.security.protect`, whose checks come first.

    Args:
        app: The application.
        keys: Looked up at each call, so that a revoked key ends at once.
        clock: Seconds that only grow.
    """
    asked = False
    counts: dict[str, RateLimit] = {}

    def check() -> None:
        nonlocal asked
        policy = policy_of(request)
        if policy is None or policy.family != "api":
            return
        asked = asked or keys.any_ever()
        if not asked:
            return
        key = _key_of(keys)
        _check_scope(key, policy)
        count = counts.get(key.id)
        if count is None or count.per_minute != key.requests_per_minute:
            count = counts[key.id] = RateLimit(key.requests_per_minute, clock=clock)
        g.api_key, g.api_count = key, count
        try:
            count.take(key.id, "api")
        except TooManyRequestsError as error:
            raise TooManyRequestsError(
                f"the key {key.shown}... allows {key.requests_per_minute} requests a minute. Wait a moment, or make one that "
                "allows more: homeroom users key create NAME --rpm N",
                retry_after_s=error.retry_after_s,
            ) from None

    def tell(response: Response) -> Response:
        count = g.get("api_count")
        if count is not None:
            left, whole_s = count.left(g.api_key.id, "api")
            response.headers["x-ratelimit-limit-requests"] = str(count.per_minute)
            response.headers["x-ratelimit-remaining-requests"] = str(math.floor(left))
            response.headers["x-ratelimit-reset-requests"] = f"{whole_s:.3f}s"
        return response

    app.before_request(check)
    app.after_request(tell)


def _key_of(keys: Keys) -> ApiKey:
    given = request.headers.get("Authorization", "")
    scheme, _, secret = given.partition(" ")
    if scheme.lower() != SCHEME or not secret.strip():
        raise KeyMissingError(
            "this server asks for an API key. Send it as Authorization: Bearer KEY; whoever runs it makes one with: "
            "homeroom users key create NAME"
        )
    key = keys.authenticate(secret.strip())
    if key is None:
        raise KeyMissingError("this API key is not known, expired or was revoked. Ask whoever runs the server for another one")
    return key


def _check_scope(key: ApiKey, policy: Policy) -> None:
    if not key.may(policy.scope):
        raise KeyScopeError(
            f"the key {key.shown}... allows {', '.join(sorted(key.scopes))}, and this needs {policy.scope}. Ask for one that "
            f"does: homeroom users key create NAME --scope {policy.scope}"
        )
