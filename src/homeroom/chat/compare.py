"""Two models on one question, side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from homeroom.chat.conversations import ConversationStore, Turn
from homeroom.chat.feedback import FeedbackStore
from homeroom.chat.replies import PING_S, Done, Ping, Reply, ReplyEvent
from homeroom.chat.service import ChatService
from homeroom.errors import ConflictError
from homeroom.storage import Scope


@dataclass(slots=True)
class Comparison:
    """Replies to one question, on their way at the same time."""

    conversation_id: str
    user_turn: Turn
    replies: tuple[Reply, ...]
    changed: threading.Condition = field(repr=False, default_factory=threading.Condition)

    def events(self) -> Iterator[ReplyEvent]:
        """Pieces of all replies as they come, until each is `Done`."""
        waiting = list(self.replies)
        with ExitStack() as stack:
            for reply in self.replies:
                stack.callback(reply.close)
            while waiting:
                with self.changed:
                    self.changed.wait_for(lambda: any(reply.ready for reply in waiting), PING_S)
                ready = [reply for reply in waiting if reply.ready]
                if not ready:
                    yield Ping()
                for reply in ready:
                    for event in reply.step(0):
                        yield event
                        if isinstance(event, Done):
                            waiting.remove(reply)

    def close(self) -> None:
        """Stop what still runs; each reply keeps what came so far."""
        for reply in self.replies:
            reply.close()


class CompareService:
    """Asks two models the same question and remembers which answer was better."""

    def __init__(self, chat: ChatService, conversations: ConversationStore, feedback: FeedbackStore) -> None:
        self._chat = chat
        self._conversations = conversations
        self._feedback = feedback

    def start(self, scope: Scope, question: str, models: Sequence[str]) -> Comparison:
        """Store the question as a conversation of kind ``compare`` and start one reply from each model.

        Raises:
            MessageError: the question is empty or too long, or the models are the same.
            NotFoundError: no model has that name.
        """
        plan = self._chat.plan_comparison(question, models)
        conversation = self._conversations.create(scope, kind="compare")
        replies = self._chat.compare(scope, conversation.id, plan)
        return Comparison(conversation.id, replies[0].user_turn, replies, replies[0].changed or threading.Condition())

    def choose(self, scope: Scope, turn_id: str) -> Turn:
        """Record that this answer is the better of its comparison.

        Raises:
            ConflictError: the turn belongs to no comparison.
        """
        turn = self._conversations.turn(scope, turn_id)
        conversation = self._conversations.get(scope, turn.conversation_id)
        if conversation.kind != "compare":
            raise ConflictError(f"turn {turn_id!r} is not part of a comparison. Open one: /compare", code="not-a-comparison")
        chosen = self._conversations.choose(scope, turn_id)
        (exchange,) = self._conversations.exchanges(scope, conversation.id)
        others = [other for other in exchange.variants if other.id != turn_id]
        for other in others:
            self._feedback.withdraw(scope, other.id)
        names = ", ".join(other.model for other in others)
        self._feedback.save(scope, turn_id, thumb="up", reason=f"better than {names}" if names else "")
        return chosen
