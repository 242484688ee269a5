"""What each address of the server is for and what it takes: the one list that decides, next to the code that serves.

An address that is not here is not served: `enforce_list` keeps the application from being made, `policy_of` refuses the request.
`homeroom.server.security` enforces what is written here; `homeroom.server.matrix` says what that means for every kind of caller;
the documentation and the tests are made from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flask import Flask, Request

from homeroom.accounts.keys import Scopes
from homeroom.server.failures import RefusedError

Family = Literal["pages", "changes", "replies", "api", "files", "events", "health"]
"""Addresses that share a count of requests (`homeroom.server.limits`)."""

Rows = Literal["own", "project", "shared", "none"]
"""Whose rows are behind it: the caller's own, those that keys of the API share (`auth.scope_of_caller`), everybody's, none."""

Takes = Literal["nothing", "form", "json", "upload", "command"]
"""What a request may carry. An ``upload`` is a multipart form; a ``command`` is its address alone and takes no form."""

SAFE_METHODS = frozenset({"GET", "HEAD"})
SMALL, LARGE, TEXTS, UPLOAD = 20_000, 1_000_000, 8_000_000, 4_200_000_000


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one method of one address.

    Attributes:
        family: Which count of requests it falls under.
        rows: Whose rows it reads or changes.
        takes: What it may carry.
        body_bytes: The most that it may carry.
        token: Whether the token of our pages is needed (CSRF). Never for the API, whose callers are programs: there a form is
            refused instead, which is all that another site's page can send unasked.
        linkable: Whether another site may lead here by a link. Nothing else of ours may be used by another site's page.
        done: Status of a valid request.
        scope: What a key must allow, where keys are asked for (`homeroom.server.auth`); None is open to anybody.
    """

    family: Family
    rows: Rows
    takes: Takes = "nothing"
    body_bytes: int = SMALL
    token: bool = False
    linkable: bool = False
    done: int = 200
    scope: Scopes | None = "chat"


def _page(rows: Rows, scope: Scopes | None = "chat") -> Policy:
    return Policy("pages", rows, linkable=True, scope=scope)


def _part(rows: Rows, scope: Scopes = "chat") -> Policy:
    """A piece of a page that our own scripts fetch."""
    return Policy("pages", rows, scope=scope)


def _form(rows: Rows, done: int = 200, body_bytes: int = SMALL, scope: Scopes | None = "chat") -> Policy:
    return Policy("changes", rows, "form", body_bytes, token=True, done=done, scope=scope)


def _reply(rows: Rows) -> Policy:
    """A message that a model answers: the longest that people write is checked by what stores it."""
    return Policy("replies", rows, "json", LARGE, token=True)


def _read() -> Policy:
    return Policy("api", "project", scope="tune")


def _command() -> Policy:
    return Policy("api", "project", "command", scope="tune")


ROUTES: Mapping[str, Policy] = {
    "GET /": _page("own"),
    "GET /practice/cards": _part("shared"),
    "POST /practice": _form("own", 303),
    "GET /practice/<session_id>": _page("own"),
    "POST /practice/<session_id>/turns": _reply("own"),
    "POST /practice/<session_id>/turns/<turn_id>/again": _reply("own"),
    "POST /practice/<session_id>/finish": _form("own", 303),
    "POST /practice/<session_id>/delete": _form("own", 303),
    "GET /practice/<session_id>/notes": _page("own"),
    "GET /chat": _page("own"),
    "GET /chat/<conversation_id>": _page("own"),
    "GET /chat/sidebar": _part("own"),
    "POST /chat/turns": _reply("own"),
    "POST /chat/<conversation_id>/turns": _reply("own"),
    "POST /chat/<conversation_id>/title": _form("own", 204),
    "POST /chat/<conversation_id>/delete": _form("own", 204),
    "POST /turns/<turn_id>/again": _reply("own"),
    "POST /turns/<turn_id>/choose": _form("own"),
    "POST /turns/<turn_id>/thumb": _form("own"),
    "GET /turns/<turn_id>/feedback": _part("own"),
    "POST /turns/<turn_id>/feedback": _form("own", body_bytes=200_000),
    "POST /turns/<turn_id>/feedback/withdraw": _form("own"),
    "POST /replies/<reply_id>/stop": Policy("changes", "own", token=True, done=204),
    "GET /compare": _page("own"),
    "GET /compare/<conversation_id>": _page("own"),
    "POST /compare": _reply("own"),
    "POST /compare/<turn_id>/choose": _form("own"),
    "GET /models": _page("shared"),
    "GET /models/list": _part("shared"),
    "GET /models/picker": _part("shared"),
    "GET /models/notice": _part("shared"),
    "GET /models/settings": _part("shared", "admin"),
    "POST /models/settings": _form("shared", body_bytes=100_000, scope="admin"),
    "POST /models/use": _form("shared", scope="admin"),
    "GET /models/report": _page("shared"),
    "GET /jobs": _page("shared", "tune"),
    "GET /jobs/list": _part("shared", "tune"),
    "GET /jobs/banner": _part("shared"),
    "GET /jobs/<job_id>": _page("shared", "tune"),
    "GET /jobs/<job_id>/detail": _part("shared", "tune"),
    "GET /events": Policy("events", "shared"),
    "GET /events/state": Policy("events", "shared"),
    "GET /v1/models": Policy("api", "shared"),
    "GET /v1/models/<path:name>": Policy("api", "shared"),
    "DELETE /v1/models/<path:name>": Policy("api", "shared", "command", scope="tune"),
    "POST /v1/chat/completions": Policy("api", "none", "json", LARGE),
    "POST /v1/completions": Policy("api", "none", "json", LARGE),
    "POST /v1/responses": Policy("api", "none", "json", LARGE),
    "POST /v1/embeddings": Policy("api", "none", "json", TEXTS),  # many at once
    "POST /v1/files": Policy("api", "project", "upload", UPLOAD, scope="tune"),  # the settings say how much of it
    "GET /v1/files": _read(),
    "GET /v1/files/<file_id>": _read(),
    "GET /v1/files/<file_id>/content": _read(),
    "DELETE /v1/files/<file_id>": _command(),
    "POST /v1/fine_tuning/jobs": Policy("api", "project", "json", 200_000, scope="tune"),
    "GET /v1/fine_tuning/jobs": _read(),
    "GET /v1/fine_tuning/jobs/<job_id>": _read(),
    "POST /v1/fine_tuning/jobs/<job_id>/cancel": _command(),
    "POST /v1/fine_tuning/jobs/<job_id>/pause": _command(),
    "POST /v1/fine_tuning/jobs/<job_id>/resume": _command(),
    "GET /v1/fine_tuning/jobs/<job_id>/events": _read(),
    "GET /v1/fine_tuning/jobs/<job_id>/checkpoints": _read(),
    "GET /sign-in": _page("none", None),
    "POST /sign-in": _form("none", 303, scope=None),
    "POST /sign-out": _form("none", 303),
    "GET /health": Policy("health", "none", scope=None),
    "GET /ready": Policy("pages", "none", scope=None),
    "GET /static/<path:filename>": Policy("files", "none", scope=None),
}


UNLISTED_PAGE = Policy("pages", "none", linkable=True)
UNLISTED_API = Policy("api", "none", linkable=True)
"""What holds for an address or a method that is not served: asking for nothing needs no less than asking for something."""


class UnlistedRouteError(RuntimeError):
    """The application serves an address that nobody gave a policy, or the list names one that is not served."""


def served(app: Flask) -> set[str]:
    """Every method and address of ``app``, as the list names them. HEAD goes with GET."""
    return {f"{method} {rule.rule}" for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD"}}


def enforce_list(app: Flask, routes: Mapping[str, Policy] = ROUTES) -> None:
    """Refuse to go on with an application that serves anything else than what is listed.

    Raises:
        UnlistedRouteError: names what is missing on either side.
    """
    found = served(app)
    problems = [f"{route} has no policy" for route in sorted(found - routes.keys())]
    problems += [f"{route} is listed and not served" for route in sorted(routes.keys() - found)]
    if problems:
        raise UnlistedRouteError(f"{'; '.join(problems)}. Mend ROUTES in homeroom/server/policy.py")


def policy_of(incoming: Request, routes: Mapping[str, Policy] = ROUTES) -> Policy | None:
    """The policy of a request; None when no address matches it, which ends in 404 or 405.

    Raises:
        RefusedError: ``route-unlisted`` when something is served that is not listed.
    """
    if incoming.url_rule is None:
        return None
    method = "GET" if incoming.method == "HEAD" else incoming.method
    policy = routes.get(f"{method} {incoming.url_rule.rule}")
    if policy is None:
        raise RefusedError(f"{method} {incoming.url_rule.rule} has no policy, so it is not served", code="route-unlisted")
    return policy
