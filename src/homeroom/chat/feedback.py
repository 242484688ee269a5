"""What people say of replies: a thumb, a reason, a better answer, and whether it may be used."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from homeroom.chat.service import MessageError
from homeroom.errors import NotFoundError
from homeroom.storage import Database, Scope
from homeroom.storage.tables import FeedbackRow, TurnRow, new_id

Thumb = Literal["up", "down"]
Consent = Literal["not-asked", "granted", "refused"]
MAX_TEXT_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Feedback:
    """Feedback of one person on one reply. ``consent`` is the answer to "may this be used to train models?"."""

    turn_id: str
    thumb: Thumb | None = None
    reason: str = ""
    better_answer: str = ""
    consent: Consent = "not-asked"
    created_at: float = 0.0


class FeedbackStore:
    """Feedback in the database: one record for each person and reply, overwritten when the person changes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, scope: Scope, turn_id: str) -> Feedback:
        """What this owner said of the reply; an empty record when nothing."""
        with self._database.read() as session:
            _check_reply(session, scope, turn_id)
            row = _row(session, scope, turn_id)
            return Feedback(turn_id) if row is None else _feedback(row)

    def save(
        self,
        scope: Scope,
        turn_id: str,
        *,
        thumb: Thumb | None = None,
        reason: str | None = None,
        better_answer: str | None = None,
        consent: Consent | None = None,
    ) -> Feedback:
        """Store what is given and keep the rest. On return it is on the disk.

        Raises:
            NotFoundError: this owner has no such reply.
            MessageError: a text is too long.
        """
        for text in (reason, better_answer):
            if text is not None and len(text) > MAX_TEXT_CHARACTERS:
                raise MessageError(
                    f"the text has {len(text):,} characters; {MAX_TEXT_CHARACTERS:,} is the limit", code="message-too-long"
                )
        with self._database.write() as session:
            _check_reply(session, scope, turn_id)
            row = _row(session, scope, turn_id)
            if row is None:
                row = FeedbackRow(
                    **scope.columns(),
                    id=new_id("fb"),
                    turn_id=turn_id,
                    rating=None,
                    reason="",
                    better_answer="",
                    consent="not-asked",
                )
                session.add(row)
            row.created_at = time.time()
            row.rating = row.rating if thumb is None else thumb
            row.reason = row.reason if reason is None else reason.strip()
            row.better_answer = row.better_answer if better_answer is None else better_answer.strip()
            row.consent = row.consent if consent is None else consent
            session.flush()
            return _feedback(row)

    def withdraw(self, scope: Scope, turn_id: str) -> None:
        """Remove what this owner said of the reply; nothing happens when nothing was said."""
        with self._database.write() as session:
            _check_reply(session, scope, turn_id)
            row = _row(session, scope, turn_id)
            if row is not None:
                session.delete(row)

    def for_turns(self, scope: Scope, turn_ids: list[str]) -> dict[str, Feedback]:
        """What this owner said of each of these replies; those without feedback are left out."""
        query = select(FeedbackRow).filter_by(**scope.columns()).where(FeedbackRow.turn_id.in_(turn_ids))
        with self._database.read() as session:
            return {row.turn_id: _feedback(row) for row in session.scalars(query)}


def _check_reply(session: Session, scope: Scope, turn_id: str) -> None:
    known = session.scalar(select(TurnRow.id).filter_by(**scope.columns(), id=turn_id, role="assistant"))
    if known is None:
        raise NotFoundError(f"there is no reply {turn_id!r}; load the page again", code="turn-not-found")


def _row(session: Session, scope: Scope, turn_id: str) -> FeedbackRow | None:
    return session.scalar(select(FeedbackRow).filter_by(**scope.columns(), turn_id=turn_id))


def _feedback(row: FeedbackRow) -> Feedback:
    return Feedback(
        row.turn_id, cast(Thumb | None, row.rating), row.reason, row.better_answer, cast(Consent, row.consent), row.created_at
    )
