"""Sending a message and getting a stored reply."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from homeroom.chat.conversations import Conversation, ConversationStore, Exchange, Turn
from homeroom.chat.directory import ModelCard, ModelDirectory, find_card, resolve_card
from homeroom.chat.replies import Drawing, Ending, Reply
from homeroom.errors import ConflictError, HomeroomError, NotFoundError
from homeroom.schema.examples import Message
from homeroom.storage import Scope
from homeroom.storage.tables import new_id

MAX_MESSAGE_CHARACTERS = 20_000
TITLE_CHARACTERS = 60
REDRAW_TEMPERATURE = 0.7


class MessageError(HomeroomError):
    """What was written cannot be sent: empty, or far too long."""

    code = "message"
    status = 422


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """A question and the models to ask, checked."""

    text: str
    cards: tuple[ModelCard, ...]


class ChatService:
    """Streams replies into stored conversations.

    The user's turn is committed before the model is asked; no database session is open while it answers. A conversation has one
    reply on its way at a time (a comparison has two, to the same question).
    """

    def __init__(self, models: ModelDirectory, conversations: ConversationStore) -> None:
        self._models = models
        self._conversations = conversations
        self._lock = threading.Lock()
        self._active: dict[str, tuple[Scope, Reply]] = {}
        self._busy: set[str] = set()

    def send_first(self, scope: Scope, text: str, *, model: str | None = None) -> Reply:
        """Store a new conversation with its first message and start the reply.

        Raises:
            MessageError: ``text`` is empty or longer than `MAX_MESSAGE_CHARACTERS`.
            NotFoundError: no such model. Nothing is stored then.
        """
        text = checked_text(text)
        card = resolve_card(self._models, model or None, "tutor")
        conversation, user_turn = self._conversations.begin(scope, text, title=title_of(text), model=model or "")
        with ExitStack() as undo:
            self._claim(conversation.id, undo)
            reply = self._open(scope, conversation, user_turn, card, prompt(card, (), text, None))
            undo.pop_all()
        return reply

    def send(
        self,
        scope: Scope,
        conversation_id: str,
        text: str,
        *,
        model: str | None = None,
        system: str | None = None,
        task: str = "tutor",
    ) -> Reply:
        """Store the user's turn and start the reply.

        Without ``model`` the conversation's own answers, else the default for ``task``; ``system`` takes the place of the
        model's own system message.

        Raises:
            MessageError: ``text`` is empty or longer than `MAX_MESSAGE_CHARACTERS`.
            ConflictError: a reply in this conversation is still on its way.
            NotFoundError: no such conversation or model.
        """
        text = checked_text(text)
        conversation = self._conversations.get(scope, conversation_id)
        card = resolve_card(self._models, model or conversation.model or None, task)
        with ExitStack() as undo:
            self._claim(conversation_id, undo)
            history = self._conversations.exchanges(scope, conversation_id)
            user_turn = self._conversations.add_user(scope, conversation_id, text)
            if not history and not conversation.title:
                self._conversations.rename(scope, conversation_id, title_of(text))
            reply = self._open(scope, conversation, user_turn, card, prompt(card, history, text, system))
            undo.pop_all()
        return reply

    def regenerate(
        self, scope: Scope, turn_id: str, *, model: str | None = None, system: str | None = None, task: str = "tutor"
    ) -> Reply:
        """Draw another variant of the newest reply; ``turn_id`` names that reply, or the message it answers.

        A model whose saved temperature is 0 draws it at `REDRAW_TEMPERATURE`.

        Raises:
            ConflictError: it is not the newest, or a reply is on its way.
            NotFoundError: no such turn or model.
        """
        turn = self._conversations.turn(scope, turn_id)
        conversation = self._conversations.get(scope, turn.conversation_id)
        with ExitStack() as undo:
            self._claim(conversation.id, undo)
            history = self._conversations.exchanges(scope, conversation.id)
            if not history or turn_id not in {history[-1].user.id, *(v.id for v in history[-1].variants)}:
                raise ConflictError(
                    "only the newest reply can be drawn again. Ask anew at the end instead", code="not-newest-reply"
                )
            last = history[-1]
            name = model or (last.chosen.model if last.chosen else "") or conversation.model or None
            card = resolve_card(self._models, name, task)
            messages = prompt(card, history[:-1], last.user.text, system)
            reply = self._open(scope, conversation, last.user, card, messages, redraw=bool(last.variants))
            undo.pop_all()
        return reply

    def plan_comparison(self, text: str, models: Sequence[str]) -> ComparisonPlan:
        """Check a comparison before anything is stored.

        Raises:
            MessageError: the question is empty or too long, or fewer than two different models are named.
            NotFoundError: no model has that name.
        """
        if len(set(models)) < 2 or len(set(models)) != len(models):
            raise MessageError(f"pick two different models; got {', '.join(models)!r}", code="compare-same-model")
        return ComparisonPlan(checked_text(text), tuple(find_card(self._models, name) for name in models))

    def compare(self, scope: Scope, conversation_id: str, plan: ComparisonPlan) -> tuple[Reply, ...]:
        """Store the question and start a reply from each model at the same time, as variants of one answer."""
        conversation = self._conversations.get(scope, conversation_id)
        replies: list[Reply] = []
        with ExitStack() as undo:
            self._claim(conversation_id, undo)
            user_turn = self._conversations.add_user(scope, conversation_id, plan.text)
            if not conversation.title:
                self._conversations.rename(scope, conversation_id, title_of(plan.text))
            changed = threading.Condition()
            for place, card in enumerate(plan.cards):
                messages = prompt(card, (), plan.text, None)
                reply = self._open(scope, conversation, user_turn, card, messages, changed=changed, variant=place)
                undo.callback(reply.close)
                replies.append(reply)
            undo.pop_all()
        return tuple(replies)

    def stop(self, scope: Scope, reply_id: str) -> None:
        """End a reply on its way. What came so far is stored.

        Raises:
            NotFoundError: this owner has no such reply on its way (it may have ended a moment ago).
        """
        with self._lock:
            found = self._active.get(reply_id)
        if found is None or found[0] != scope:
            raise NotFoundError(f"no reply {reply_id!r} is on its way; it may have just ended", code="reply-not-found")
        found[1].stop()

    def stop_all(self) -> None:
        """End every reply on its way: for shutting down."""
        with self._lock:
            replies = [reply for _, reply in self._active.values()]
        for reply in replies:
            reply.stop()

    def _open(
        self,
        scope: Scope,
        conversation: Conversation,
        user_turn: Turn,
        card: ModelCard,
        messages: Sequence[Message],
        *,
        changed: threading.Condition | None = None,
        variant: int | None = None,
        redraw: bool = False,
    ) -> Reply:
        reply_id = new_id("turn")
        settings = card.generation
        if redraw and settings.temperature == 0:  # or the other answer would be the same one
            settings = replace(settings, temperature=REDRAW_TEMPERATURE, seed=None)
        drawing = Drawing(self._models.chat_model(card.name), messages, settings)

        def store(ending: Ending) -> Turn:
            return self._conversations.add_reply(
                scope,
                user_turn,
                turn_id=reply_id,
                text=ending.text,
                model=card.name,
                settings={**settings.to_dict(), "system_prompt": messages[0].content if messages[0].role == "system" else ""},
                finish_reason=ending.finish_reason,
                usage=ending.usage,
                latency_s=ending.latency_s,
                left_out=ending.left_out,
                variant=variant,
            )

        reply = Reply(
            id=reply_id,
            conversation_id=conversation.id,
            user_turn=user_turn,
            card=card,
            drawing=drawing,
            store=store,
            on_close=lambda: self._closed(reply_id, conversation.id),
            changed=changed,
        )
        with self._lock:
            self._active[reply_id] = (scope, reply)
            self._busy.add(conversation.id)
        return reply

    def _claim(self, conversation_id: str, undo: ExitStack) -> None:
        """Keep the conversation for one reply; ``undo`` gives it back when that reply never starts."""
        with self._lock:
            if conversation_id in self._busy:
                raise ConflictError(
                    "a reply in this conversation is still on its way. Wait for it, or stop it", code="reply-on-its-way"
                )
            self._busy.add(conversation_id)
        undo.callback(self._release, conversation_id)

    def _release(self, conversation_id: str) -> None:
        with self._lock:
            self._busy.discard(conversation_id)

    def _closed(self, reply_id: str, conversation_id: str) -> None:
        with self._lock:
            self._active.pop(reply_id, None)
            if not any(reply.conversation_id == conversation_id for _, reply in self._active.values()):
                self._busy.discard(conversation_id)


def prompt(card: ModelCard, history: Sequence[Exchange], text: str, system: str | None) -> list[Message]:
    """What the model is sent: system message, the exchanges with the reply chosen in each, and the new message."""
    messages: list[Message] = []
    told = card.system_prompt if system is None else system
    if told:
        messages.append(Message("system", told))
    for exchange in history:
        if exchange.chosen is not None:  # a message that never got an answer is left out: turns must alternate
            messages.append(Message("user", exchange.user.text))
            messages.append(Message("assistant", exchange.chosen.text))
    messages.append(Message("user", text))
    return messages


def checked_text(text: str) -> str:
    """``text`` without surrounding space.

    Raises:
        MessageError: nothing is left, or it is too long.
    """
    text = text.strip()
    if not text:
        raise MessageError("the message is empty. Write something first", code="message-empty")
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise MessageError(
            f"the message has {len(text):,} characters; {MAX_MESSAGE_CHARACTERS:,} is the limit. Send it in parts",
            code="message-too-long",
        )
    return text


def title_of(text: str) -> str:
    """A conversation's title: its first words."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rsplit(" ", 1)[0].rstrip(",.;:") + "…"
