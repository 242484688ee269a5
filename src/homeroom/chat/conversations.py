"""Stored conversations. What a method returned is on the disk; every query names the scope, so nobody reads another's by id."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from homeroom.errors import ConflictError, NotFoundError
from homeroom.schema.chat import Usage
from homeroom.storage import Database, Scope
from homeroom.storage.tables import ConversationRow, TurnRow, new_id

ConversationKind = Literal["chat", "compare", "practice"]
ReplyState = Literal["complete", "stopped", "failed"]
_STATES: dict[str, ReplyState] = {"stopped": "stopped", "error": "failed"}


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as a list shows it. ``model`` is what answered last; times are Unix seconds."""

    id: str
    kind: str
    title: str
    model: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, or one variant of a reply.

    Attributes:
        index: Place in the conversation, from 0; variants of a reply share it.
        settings: How the reply was drawn: `GenerationSettings` as plain data plus ``system_prompt``.
        facts: ``usage``, ``latency_s`` and ``left_out`` (messages that no longer fitted the model's context).
    """

    id: str
    conversation_id: str
    index: int
    variant: int
    role: str
    text: str
    created_at: float
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = ""

    @property
    def state(self) -> ReplyState:
        """``stopped`` by the reader, ``failed`` on the way, or ``complete``."""
        return _STATES.get(self.finish_reason, "complete")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message and the variants of its reply, oldest first. ``chosen`` is the one that later turns build on."""

    user: Turn
    variants: tuple[Turn, ...] = ()
    chosen: Turn | None = None


class ConversationStore:
    """Conversations and turns in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, scope: Scope, *, kind: ConversationKind = "chat", title: str = "", model: str = "") -> Conversation:
        """A new, empty conversation."""
        now = time.time()
        row = ConversationRow(
            **scope.columns(), id=new_id("conv"), kind=kind, title=title, model=model, settings={}, created_at=now, updated_at=now
        )
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return _conversation(row)

    def begin(self, scope: Scope, text: str, *, title: str, model: str = "") -> tuple[Conversation, Turn]:
        """A new chat with its first message, both or neither. On return they are on the disk: with one flush, not three."""
        now = time.time()
        conversation = ConversationRow(
            **scope.columns(),
            id=new_id("conv"),
            kind="chat",
            title=title,
            model=model,
            settings={},
            created_at=now,
            updated_at=now,
        )
        turn = _user_row(scope, conversation.id, 0, text, now)
        with self._database.write() as session:
            session.add(conversation)
            session.flush()
            session.add(turn)
            session.flush()
            return _conversation(conversation), _turn(turn)

    def get(self, scope: Scope, conversation_id: str) -> Conversation:
        """One conversation.

        Raises:
            NotFoundError: this owner has none with that id.
        """
        with self._database.read() as session:
            return _conversation(_row(session, scope, conversation_id))

    def list(self, scope: Scope, *, kind: ConversationKind = "chat", limit: int = 100) -> tuple[Conversation, ...]:
        """The newest first. One without a turn is left out: nothing was said in it yet."""
        query = (
            select(ConversationRow)
            .filter_by(**scope.columns(), kind=kind)
            .where(select(TurnRow.id).where(TurnRow.conversation_id == ConversationRow.id).exists())
            .order_by(ConversationRow.updated_at.desc(), ConversationRow.id)
            .limit(limit)
        )
        with self._database.read() as session:
            return tuple(_conversation(row) for row in session.scalars(query))

    def rename(self, scope: Scope, conversation_id: str, title: str) -> None:
        """Give it another title."""
        with self._database.write() as session:
            _row(session, scope, conversation_id).title = title

    def delete(self, scope: Scope, conversation_id: str) -> None:
        """Remove it with its turns and what was said about them."""
        with self._database.write() as session:
            session.delete(_row(session, scope, conversation_id))

    def turn(self, scope: Scope, turn_id: str) -> Turn:
        """One turn.

        Raises:
            NotFoundError: this owner has none with that id.
        """
        with self._database.read() as session:
            return _turn(_turn_row(session, scope, turn_id))

    def exchanges(self, scope: Scope, conversation_id: str) -> tuple[Exchange, ...]:
        """Everything said, in order."""
        with self._database.read() as session:
            conversation = _row(session, scope, conversation_id)
            query = select(TurnRow).filter_by(**scope.columns(), conversation_id=conversation_id)
            rows = session.scalars(query.order_by(TurnRow.turn_index, TurnRow.variant)).all()
            return _exchanges([_turn(row) for row in rows], dict(conversation.settings.get("chosen") or {}))

    def add_user(self, scope: Scope, conversation_id: str, text: str) -> Turn:
        """Append a message. On return it is on the disk."""
        with self._database.write() as session:
            conversation = _row(session, scope, conversation_id)
            last = session.scalar(select(func.max(TurnRow.turn_index)).filter_by(conversation_id=conversation_id))
            # Even places are messages, odd ones replies: a message without a reply leaves its place free.
            index = 0 if last is None else last + 2 - last % 2
            row = _user_row(scope, conversation_id, index, text, time.time())
            conversation.updated_at = row.created_at
            session.add(row)
            session.flush()
            return _turn(row)

    def add_reply(
        self,
        scope: Scope,
        user_turn: Turn,
        *,
        turn_id: str,
        text: str,
        model: str,
        settings: Mapping[str, Any],
        finish_reason: str,
        usage: Usage | None = None,
        latency_s: float = 0.0,
        left_out: int = 0,
        variant: int | None = None,
    ) -> Turn:
        """Store a reply to ``user_turn``, the chosen one from now on; as its next variant unless ``variant`` says which."""
        facts: dict[str, Any] = {"latency_s": round(latency_s, 3)}
        if usage is not None:
            facts["usage"] = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        if left_out:
            facts["left_out"] = left_out
        index = user_turn.index + 1
        with self._database.write() as session:
            conversation = _row(session, scope, user_turn.conversation_id)
            if variant is None:
                same = select(func.max(TurnRow.variant)).filter_by(conversation_id=conversation.id, turn_index=index)
                last = session.scalar(same)
                variant = 0 if last is None else last + 1
            row = TurnRow(
                **scope.columns(), id=turn_id, conversation_id=conversation.id, turn_index=index, variant=variant,
                role="assistant", content=text, model=model, finish_reason=finish_reason,
                settings={"generation": dict(settings), "facts": facts},
                created_at=time.time(),
            )  # fmt: skip
            conversation.updated_at = row.created_at
            if conversation.kind == "chat":
                conversation.model = model
            _set_chosen(conversation, index, variant)
            session.add(row)
            session.flush()
            return _turn(row)

    def choose(self, scope: Scope, turn_id: str) -> Turn:
        """Make this variant the one that later turns build on.

        Raises:
            ConflictError: it is no reply.
        """
        with self._database.write() as session:
            row = _turn_row(session, scope, turn_id)
            if row.role != "assistant":
                raise ConflictError(f"turn {turn_id!r} is not a reply, so there is nothing to choose", code="not-a-reply")
            _set_chosen(_row(session, scope, row.conversation_id), row.turn_index, row.variant)
            return _turn(row)


def _row(session: Session, scope: Scope, conversation_id: str) -> ConversationRow:
    row = session.scalar(select(ConversationRow).filter_by(**scope.columns(), id=conversation_id))
    if row is None:
        raise NotFoundError(f"there is no conversation {conversation_id!r}. Start one: /chat", code="conversation-not-found")
    return row


def _user_row(scope: Scope, conversation_id: str, index: int, text: str, now: float) -> TurnRow:
    return TurnRow(
        **scope.columns(), id=new_id("turn"), conversation_id=conversation_id, turn_index=index, variant=0, role="user",
        content=text, model="", settings={}, finish_reason="", created_at=now,
    )  # fmt: skip


def _turn_row(session: Session, scope: Scope, turn_id: str) -> TurnRow:
    row = session.scalar(select(TurnRow).filter_by(**scope.columns(), id=turn_id))
    if row is None:
        raise NotFoundError(f"there is no turn {turn_id!r}; load the page again", code="turn-not-found")
    return row


def _set_chosen(conversation: ConversationRow, index: int, variant: int) -> None:
    chosen = {**(conversation.settings.get("chosen") or {}), str(index): variant}
    conversation.settings = {**conversation.settings, "chosen": chosen}


def _conversation(row: ConversationRow) -> Conversation:
    return Conversation(row.id, row.kind, row.title, row.model, row.created_at, row.updated_at)


def _turn(row: TurnRow) -> Turn:
    return Turn(
        id=row.id,
        conversation_id=row.conversation_id,
        index=row.turn_index,
        variant=row.variant,
        role=row.role,
        text=row.content,
        created_at=row.created_at,
        model=row.model,
        settings=dict(row.settings.get("generation") or {}),
        facts=dict(row.settings.get("facts") or {}),
        finish_reason=row.finish_reason,
    )


def _exchanges(turns: Sequence[Turn], chosen: Mapping[str, int]) -> tuple[Exchange, ...]:
    found = []
    for user in (turn for turn in turns if turn.role == "user"):
        variants = tuple(turn for turn in turns if turn.index == user.index + 1)
        wanted = chosen.get(str(user.index + 1))
        picked = next((turn for turn in variants if turn.variant == wanted), variants[-1] if variants else None)
        found.append(Exchange(user, variants, picked))
    return tuple(found)
