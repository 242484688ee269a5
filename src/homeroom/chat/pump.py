"""Draws a reply in a thread of its own, so that a stop, a gone client and a second model need not wait for the next token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from homeroom.errors import HomeroomError, ProviderError
from homeroom.schema.chat import Chunk, Json, Usage

BUFFERED_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True)
class Drawn:
    """What has come since the last look: text, and how it ended once it did.

    ``logprobs`` and ``tool_calls`` are those of `homeroom.schema.chat.Chunk`, for whoever asked for them.
    """

    text: str = ""
    ended: bool = False
    finish_reason: str = ""
    usage: Usage | None = None
    error: HomeroomError | None = None
    logprobs: tuple[Json, ...] = ()
    tool_calls: tuple[Json, ...] = ()


class Pump:
    """Runs ``start()`` in a thread and keeps what it yields until `take` asks.

    The thread waits when nobody takes, and closes the stream itself: a generator must not be closed while it runs.

    Args:
        start: Opens the stream; called in the thread.
        name: Of the thread, for stack dumps.
        changed: Notified whenever there is something to take; shared by pumps that are read together.
    """

    def __init__(
        self, start: Callable[[], Iterator[Chunk]], *, name: str = "reply", changed: threading.Condition | None = None
    ) -> None:
        self._start = start
        self._changed = changed or threading.Condition()
        self._text: list[str] = []
        self._logprobs: list[Json] = []
        self._tool_calls: list[Json] = []
        self._waiting_characters = 0
        self._finish_reason = ""
        self._usage: Usage | None = None
        self._error: HomeroomError | None = None
        self._ended = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether `take` has something to say at once."""
        return bool(self._text or self._logprobs or self._tool_calls) or self._ended or self._stopped

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self) -> None:
        """Ask for the end; returns at once. The next `take` says that it ended."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Drawn:
        """Everything drawn since the last call, waiting up to ``timeout_s`` for something to say."""
        with self._changed:
            self._changed.wait_for(lambda: self.ready, timeout_s)
            text, logprobs, calls = "".join(self._text), tuple(self._logprobs), tuple(self._tool_calls)
            for waiting in (self._text, self._logprobs, self._tool_calls):
                waiting.clear()
            self._waiting_characters = 0
            self._changed.notify_all()
            if self._stopped:
                return Drawn(text, True, "stopped", self._usage, None, logprobs, calls)
            if self._ended:
                return Drawn(text, True, self._finish_reason, self._usage, self._error, logprobs, calls)
            return Drawn(text, logprobs=logprobs, tool_calls=calls)

    def _run(self) -> None:
        try:
            self._draw()
        except HomeroomError as error:
            with self._changed:
                self._error = error
        finally:
            with self._changed:
                if not self._finish_reason and self._error is None:
                    self._error = ProviderError(
                        "the model ended its reply without saying why. Try again; see: homeroom doctor",
                        code="reply-cut",
                    )
                self._ended = True
                self._changed.notify_all()

    def _draw(self) -> None:
        stream = self._start()
        try:
            for chunk in stream:
                with self._changed:
                    if chunk.text:
                        self._text.append(chunk.text)
                        self._waiting_characters += len(chunk.text)
                    self._logprobs.extend(chunk.logprobs)
                    self._tool_calls.extend(chunk.tool_calls)
                    self._finish_reason = chunk.finish_reason or self._finish_reason
                    self._usage = chunk.usage or self._usage
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._waiting_characters < BUFFERED_CHARACTERS or self._stopped)
                    if self._stopped:
                        return
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
