"""One reply on its way: pieces for whoever reads, and a turn in the store however it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from homeroom.chat.conversations import Turn
from homeroom.chat.directory import ModelCard
from homeroom.chat.pump import Drawn, Pump
from homeroom.errors import ContextLengthError, HomeroomError, ProviderError
from homeroom.schema.chat import ChatModel, Chunk, GenerationSettings, Usage
from homeroom.schema.examples import Message

PING_S = 5.0


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of the reply ``reply_id``."""

    reply_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Nothing new: written so that a reader who left is noticed."""


@dataclass(frozen=True, slots=True)
class Done:
    """The reply ended and ``turn`` is stored; None when there was no text to store. ``error`` says why it failed, if it did."""

    reply_id: str
    turn: Turn | None
    error: HomeroomError | None = None


ReplyEvent = Delta | Ping | Done


@dataclass(slots=True)
class Drawing:
    """Opens a model's stream, leaving out the oldest exchanges while the prompt does not fit. ``left_out`` counts messages."""

    model: ChatModel
    messages: Sequence[Message]
    settings: GenerationSettings
    left_out: int = 0

    def __call__(self) -> Iterator[Chunk]:
        """The stream.

        Raises:
            ContextLengthError: not even the last message fits.
        """
        kept = list(self.messages)
        while True:
            begun = False
            try:
                for chunk in self.model.stream(kept, self.settings):
                    begun = True
                    yield chunk
                return
            except ContextLengthError:
                shorter = without_oldest(kept)
                if begun or len(shorter) == len(kept):
                    raise
                self.left_out += len(kept) - len(shorter)
                kept = shorter


def without_oldest(messages: Sequence[Message]) -> list[Message]:
    """``messages`` without the older half of what stands between the system message and the last user message."""
    head = [m for m in messages[:1] if m.role == "system"]
    turns = list(messages[len(head) :])
    cut = len(turns) // 2
    while 0 < cut < len(turns) and turns[cut].role != "user":
        cut += 1
    return [*head, *turns[cut:]] if 0 < cut < len(turns) else list(messages)


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of a reply, for the store. ``finish_reason`` is the provider's, ``stopped`` or ``error``."""

    text: str
    finish_reason: str
    usage: Usage | None
    latency_s: float
    left_out: int


@dataclass(slots=True)
class Reply:
    """A reply that is being drawn. Read `events` once, and `close` it in every case.

    Attributes:
        id: Also the id of the turn that it becomes.
        user_turn: The turn that is answered; it is stored already.
        card: The model that answers.
        store: Keeps the ending as a turn; called once, and only when there is text.
        on_close: Called once, when nothing of the reply is left to do.
    """

    id: str
    conversation_id: str
    user_turn: Turn
    card: ModelCard
    drawing: Drawing
    store: Callable[[Ending], Turn]
    on_close: Callable[[], None]
    changed: threading.Condition | None = None
    _pump: Pump = field(init=False)
    _parts: list[str] = field(default_factory=list, init=False)
    _done: Done | None = field(default=None, init=False)
    _started_at: float = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def __post_init__(self) -> None:
        self._started_at = time.monotonic()
        self._pump = Pump(self.drawing, name=f"reply-{self.id}", changed=self.changed)

    def stop(self) -> None:
        """End it now; what came so far is kept. Safe from any thread."""
        self._pump.stop()

    @property
    def ready(self) -> bool:
        """Whether `step` has something to say at once."""
        return self._pump.ready

    def events(self) -> Iterator[ReplyEvent]:
        """Pieces until a `Done`. Leaving early keeps what came so far as a stopped turn (see `close`)."""
        try:
            while True:
                for event in self.step(PING_S):
                    yield event
                    if isinstance(event, Done):
                        return
        finally:
            self.close()

    def step(self, timeout_s: float) -> list[ReplyEvent]:
        """What is new, waiting up to ``timeout_s``; a `Ping` when that is nothing."""
        drawn = self._pump.take(timeout_s)
        events: list[ReplyEvent] = []
        if drawn.text:
            self._parts.append(drawn.text)
            events.append(Delta(self.id, drawn.text))
        if drawn.ended:
            events.append(self._finish(drawn))
        return events or [Ping()]

    def close(self) -> None:
        """Stop it if it still runs, and keep what came so far. Does nothing the second time."""
        with self._lock:
            if self._done is None:
                self._pump.stop()
                drawn = self._pump.take(0)
                self._parts.append(drawn.text)
                self._finish(drawn)

    def _finish(self, drawn: Drawn) -> Done:
        with self._lock:
            if self._done is not None:
                return self._done
            text = "".join(self._parts)
            error = drawn.error
            if error is None and not text.strip() and drawn.finish_reason != "stopped":
                error = ProviderError(
                    f"{self.card.name!r} gave an empty reply. Try again, or pick another model.", code="empty-reply"
                )
            latency_s = time.monotonic() - self._started_at
            finish_reason = "error" if error else drawn.finish_reason
            ending = Ending(text, finish_reason, drawn.usage, latency_s, self.drawing.left_out)
            try:
                self._done = Done(self.id, self.store(ending) if text.strip() else None, error)
            except HomeroomError as failure:  # the disk is full, the conversation was deleted meanwhile: said, not raised
                self._done = Done(self.id, None, failure)
            finally:
                self.on_close()
            return self._done
