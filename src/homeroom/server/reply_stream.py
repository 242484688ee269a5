"""Replies as server-sent events for our own pages.

Events: ``begin`` (what the page needs before the first word), ``delta`` (``reply`` and ``text``), then ``done`` or ``failed``
with ``reply`` and the HTML of what is now stored. A streamed turn and a stored page are rendered by the same templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

from flask import Response, stream_with_context

from homeroom.chat.replies import Delta, Done, ReplyEvent
from homeroom.server.context import context
from homeroom.server.errors import as_event
from homeroom.server.streams import SSE_PING, event_stream, sse


class Streamed(Protocol):
    """A reply, or several: `homeroom.chat.replies.Reply`, `homeroom.chat.compare.Comparison`."""

    def events(self) -> Iterator[ReplyEvent]:
        """Pieces until the end."""
        ...

    def close(self) -> None:
        """Stop what still runs."""
        ...


S = TypeVar("S", bound=Streamed)


def stream_reply(
    start: Callable[[], S], begin: Callable[[S], Mapping[str, Any]], end: Callable[[S, Done], Mapping[str, Any]]
) -> Response:
    """Admit a stream, start the reply and send it.

    Args:
        start: Stores the message and starts the reply; not called when there is no room.
        begin: Data of the first event.
        end: Data of the last event of each reply, without the error.

    Raises:
        TooManyStreamsError: as many are on their way as the server admits.
    """
    with ExitStack() as undo:
        leave = context().replies.enter()
        undo.callback(leave)
        streamed = start()
        undo.callback(streamed.close)
        first = sse("begin", begin(streamed))
        undo.pop_all()

    def body() -> Iterator[bytes]:
        yield first
        for event in streamed.events():
            if isinstance(event, Delta):
                yield sse("delta", {"reply": event.reply_id, "text": event.text})
            elif isinstance(event, Done):
                yield _last(event, end(streamed, event))
            else:
                yield SSE_PING

    return event_stream(stream_with_context(body()), streamed.close, leave)


def _last(done: Done, data: Mapping[str, Any]) -> bytes:
    if done.error is None:
        return sse("done", {"reply": done.reply_id, **data})
    return sse("failed", {"reply": done.reply_id, **data, **as_event(done.error)})
