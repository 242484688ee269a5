"""What every kind of caller gets at every address: worked out from `homeroom.server.policy`, driven cell by cell in the tests.

A further kind of caller (a person who signed in, an API key, a suspended account) is one more entry of `CREDENTIALS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

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
    """

    name: str
    title: str
    refused: Callable[[str, Policy], Outcome | None]
    everywhere: bool = False


HOST = Outcome(403, "host-refused")
ORIGIN = Outcome(403, "origin-refused")
CSRF = Outcome(400, "csrf")
MEDIA_TYPE = Outcome(415, "media-type")


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


def outcome(method: str, policy: Policy, credential: Credential) -> Outcome:
    """What a caller gets at a listed method of an address."""
    return credential.refused(method, policy) or Outcome(policy.done)


def unlisted(method: str, credential: Credential) -> Outcome:
    """What a caller gets for a method that an address does not have."""
    if credential.everywhere:
        return credential.refused(method, Policy("pages", "none")) or Outcome(405)
    if credential.name in ("embedded", "linked") and not (credential.name == "linked" and method in SAFE_METHODS):
        return ORIGIN
    return Outcome(405)


def cells(routes: Mapping[str, Policy] = ROUTES) -> Iterator[tuple[str, str, Credential, Outcome]]:
    """Every address, method and caller with what is expected: listed methods, HEAD beside GET, and all others."""
    rules = sorted({route.split(" ", 1)[1] for route in routes})
    for rule in rules:
        for method in METHODS:
            listed = "GET" if method == "HEAD" else method
            policy = routes.get(f"{listed} {rule}")
            if policy is None and any(_matches(other, rule) for other in rules if f"{listed} {other}" in routes):
                continue  # "/chat/turns" is also what "/chat/<conversation_id>" looks like
            for credential in CREDENTIALS:
                expected = outcome(method, policy, credential) if policy else unlisted(method, credential)
                yield rule, method, credential, expected


def _matches(rule: str, other: str) -> bool:
    """Whether ``rule``, with something in its places, can be the address ``other``."""
    pattern = re.sub(r"<path:\w+>", ".+", re.sub(r"<\w+>", "[^/]+", re.escape(rule).replace("\\:", ":")))
    return re.fullmatch(pattern, other) is not None
