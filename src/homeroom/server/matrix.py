"""What every kind of caller gets at every address: worked out from `homeroom.server.policy`, driven cell by cell in the tests.

`CREDENTIALS` are the callers of a server that only this machine reaches, `BEYOND` those of one that other machines reach. A
further kind of caller is one more entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from homeroom.accounts.keys import Scopes
from homeroom.server.policy import ROUTES, SAFE_METHODS, Policy

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A status, and the error's code where it is a refusal."""

    status: int
    code: str = ""

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


@dataclass(frozen=True, slots=True)
class Credential:
    """A kind of caller.

    Attributes:
        name: How it is called.
        title: What a person reads in the table.
        refused: What stops it at a listed address; None when nothing does.
        everywhere: Whether it is stopped before anybody looks whether the address exists.
        stray: What stops it, by method and address, at a method that the address does not have; None for the usual.
    """

    name: str
    title: str
    refused: Callable[[str, Policy], Outcome | None]
    everywhere: bool = False
    stray: Callable[[str, str], Outcome | None] | None = None


HOST = Outcome(403, "host-refused")
ORIGIN = Outcome(403, "origin-refused")
CSRF = Outcome(400, "csrf")
MEDIA_TYPE = Outcome(415, "media-type")
NO_KEY = Outcome(401, "invalid-api-key")
NO_SIGN_IN = Outcome(401, "sign-in")
NO_SCOPE = Outcome(403, "insufficient-permissions")
WIDER: Mapping[Scopes, frozenset[Scopes]] = {
    "chat": frozenset({"chat"}),
    "tune": frozenset({"chat", "tune"}),
    "admin": frozenset({"chat", "tune", "admin"}),
}
"""What a key of each scope may do."""


def _never(method: str, policy: Policy) -> None:
    return None


def _csrf(method: str, policy: Policy) -> Outcome | None:
    return CSRF if policy.token else None


CREDENTIALS: tuple[Credential, ...] = (
    Credential("valid", "our own page, or a program on this machine", _never),
    Credential("none", "no cookie, no token", _csrf),
    Credential("wrong-token", "another page's token", _csrf),
    Credential("wrong-host", "under another host name", lambda method, policy: HOST, everywhere=True),
    Credential("wrong-origin", "another site's page", lambda method, policy: ORIGIN, everywhere=True),
    Credential("embedded", "another site's picture, script or frame", lambda method, policy: ORIGIN),
    Credential(
        "linked",
        "a link on another site",
        lambda method, policy: None if policy.linkable and method in SAFE_METHODS else ORIGIN,
    ),
    Credential(
        "foreign-form",
        "a form of another site, as a browser without these headers sends it",
        lambda method, policy: CSRF if policy.token else MEDIA_TYPE if policy.takes in ("json", "upload", "command") else None,
    ),
)


def _by_page(holds: Scopes | None, *, token: bool = True) -> Callable[[str, Policy], Outcome | None]:
    """What stops a browser that signed in with a key of that scope; None for one that is not signed in (any more)."""

    def refused(method: str, policy: Policy) -> Outcome | None:
        if policy.scope is not None:
            if policy.family == "api":
                return NO_KEY
            if holds is None:
                return NO_SIGN_IN
            if policy.scope not in WIDER[holds]:
                return NO_SCOPE
        return None if token else _csrf(method, policy)

    return refused


def _by_key(holds: Scopes | None) -> Callable[[str, Policy], Outcome | None]:
    """What stops a program with a key of that scope; None for a key that does not hold."""

    def refused(method: str, policy: Policy) -> Outcome | None:
        if policy.scope is None:
            return _csrf(method, policy)
        if policy.family != "api":
            return NO_SIGN_IN
        if holds is None:
            return NO_KEY
        return None if policy.scope in WIDER[holds] else NO_SCOPE

    return refused


def _stray(*, page: bool = False, key: bool = False) -> Callable[[str, str], Outcome | None]:
    """What stops a caller who may see pages, or call the API, where nothing is served."""

    def refused(method: str, rule: str) -> Outcome | None:
        if rule.startswith("/v1/"):
            return None if key else NO_KEY
        return None if page else NO_SIGN_IN

    return refused


BEYOND: tuple[Credential, ...] = (
    Credential("stranger", "nobody: no sign-in, no key", _by_page(None, token=False), stray=_stray()),
    Credential("page-chat", "signed in, key for chat", _by_page("chat"), stray=_stray(page=True)),
    Credential("page-tune", "signed in, key for tune", _by_page("tune"), stray=_stray(page=True)),
    Credential("page-admin", "signed in, key for admin", _by_page("admin"), stray=_stray(page=True)),
    Credential(
        "page-no-token", "signed in for admin, without our page's token", _by_page("admin", token=False), stray=_stray(page=True)
    ),
    Credential("page-revoked", "signed in, key revoked since", _by_page(None), stray=_stray()),
    Credential("page-ended", "signed in, signed out since", _by_page(None), stray=_stray()),
    Credential("key-chat", "a program with a key for chat", _by_key("chat"), stray=_stray(key=True)),
    Credential("key-tune", "a program with a key for tune", _by_key("tune"), stray=_stray(key=True)),
    Credential("key-admin", "a program with a key for admin", _by_key("admin"), stray=_stray(key=True)),
    Credential("key-revoked", "a program with a revoked key", _by_key(None), stray=_stray()),
    Credential("beyond-host", "signed in, under another host name", lambda method, policy: HOST, everywhere=True),
    Credential("beyond-origin", "signed in, from another site's page", lambda method, policy: ORIGIN, everywhere=True),
)


def outcome(method: str, policy: Policy, credential: Credential) -> Outcome:
    """What a caller gets at a listed method of an address."""
    return credential.refused(method, policy) or Outcome(policy.done)


def unlisted(method: str, rule: str, credential: Credential) -> Outcome:
    """What a caller gets for a method that an address does not have."""
    if credential.stray is not None:
        return credential.stray(method, rule) or Outcome(405)
    if credential.everywhere:
        return credential.refused(method, Policy("pages", "none")) or Outcome(405)
    if credential.name in ("embedded", "linked") and not (credential.name == "linked" and method in SAFE_METHODS):
        return ORIGIN
    return Outcome(405)


def cells(
    routes: Mapping[str, Policy] = ROUTES, credentials: Sequence[Credential] = CREDENTIALS
) -> Iterator[tuple[str, str, Credential, Outcome]]:
    """Every address, method and caller with what is expected: listed methods, HEAD beside GET, and all others."""
    rules = sorted({route.split(" ", 1)[1] for route in routes})
    for rule in rules:
        for method in METHODS:
            listed = "GET" if method == "HEAD" else method
            policy = routes.get(f"{listed} {rule}")
            if policy is None and any(_matches(other, rule) for other in rules if f"{listed} {other}" in routes):
                continue  # "/chat/turns" is also what "/chat/<conversation_id>" looks like
            for credential in credentials:
                expected = outcome(method, policy, credential) if policy else unlisted(method, rule, credential)
                yield rule, method, credential, expected


def _matches(rule: str, other: str) -> bool:
    """Whether ``rule``, with something in its places, can be the address ``other``."""
    pattern = re.sub(r"<path:\w+>", ".+", re.sub(r"<\w+>", "[^/]+", re.escape(rule).replace("\\:", ":")))
    return re.fullmatch(pattern, other) is not None
