"""Tells open pages that models or jobs changed."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, jsonify

from homeroom.server.context import context
from homeroom.server.streams import SSE_PING, event_stream, sse

blueprint = Blueprint("events", __name__)


@blueprint.get("/events")
def events() -> Response:
    """Server-sent events ``changed`` with topic and version: first the topics as they are, then each change.

    The browser reconnects by itself when the stream ends; one that finds no room asks `/events/state` from time to time.
    """
    shared = context()
    leave = shared.listeners.enter()

    def body() -> Iterator[bytes]:
        for news in shared.feed.listen():
            yield from (sse("changed", {"topic": topic, "version": version}) for topic, version in sorted(news.items()))
            if not news:
                yield SSE_PING

    return event_stream(body(), leave)


@blueprint.get("/events/state")
def state() -> Response:
    """The versions now, for pages without a stream."""
    return jsonify(context().feed.current())
