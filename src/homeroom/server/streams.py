"""Server-sent events, and how many streams are admitted at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flask import Response

from homeroom.server.failures import TooManyStreamsError

RETRY_AFTER_S = 5.0
SSE_PING = b": ping\n\n"


def sse(event: str, data: Mapping[str, Any]) -> bytes:
    """One server-sent event with JSON data."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


class Admission:
    """Admits at most ``limit`` streams, so that threads are left for short requests such as `/health`."""

    def __init__(self, limit: int, what: str = "replies") -> None:
        self._limit = limit
        self._what = what
        self._lock = threading.Lock()
        self._open = 0

    @property
    def open(self) -> int:
        """How many are admitted now."""
        return self._open

    def enter(self) -> Callable[[], None]:
        """Admit one; call what is returned once when it ends (more often does nothing).

        Raises:
            TooManyStreamsError: ``limit`` are open.
        """
        with self._lock:
            if self._open >= self._limit:
                raise TooManyStreamsError(
                    f"{self._open} {self._what} are on their way, which is all this server takes at once. Try again in "
                    f"{RETRY_AFTER_S:.0f} seconds",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._open += 1
        left = False

        def leave() -> None:
            nonlocal left
            with self._lock:
                if not left:
                    left = True
                    self._open -= 1

        return leave


def event_stream(body: Iterable[bytes], *on_close: Callable[[], None]) -> Response:
    """A response of server-sent events. ``on_close`` runs when it ended or the client left, even before the first byte."""
    response = Response(_flushed(body), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    for call in on_close:
        response.call_on_close(call)
    return response


def _flushed(body: Iterable[bytes]) -> Iterator[bytes]:
    yield b": open\n\n"
    yield from body
