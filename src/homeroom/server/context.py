"""What a view needs besides the request: the services, who asks, and room for a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Request, current_app, request

from homeroom.server.changes import ChangeFeed
from homeroom.server.services import Services
from homeroom.server.streams import Admission
from homeroom.storage import Scope

_KEY = "homeroom"


@dataclass(frozen=True, slots=True)
class Context:
    """Lives as long as the application."""

    services: Services
    replies: Admission
    listeners: Admission
    feed: ChangeFeed
    identify: Callable[[Request], Scope]


def attach(context: Context) -> None:
    """Give ``context`` to the current application."""
    current_app.extensions[_KEY] = context


def context() -> Context:
    """The current application's."""
    found = current_app.extensions[_KEY]
    assert isinstance(found, Context)
    return found


def end_streams(app: Flask) -> None:
    """End the replies and events on their way, keeping what came so far: for shutting down."""
    with app.app_context():
        found = context()
    found.services.chat.stop_all()
    found.feed.close()


def services() -> Services:
    """The objects behind the pages."""
    return context().services


def scope() -> Scope:
    """Who is asking. The only place where a view learns it."""
    return context().identify(request)
