"""Practice sessions: the visitor is the teacher (role ``user``), a model plays the learner (role ``assistant``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from homeroom.chat.conversations import Conversation, ConversationStore, Exchange
from homeroom.chat.practice_feedback import feedback
from homeroom.chat.practice_notes import Observation, PracticeFeedback, Quote, Suggestion
from homeroom.chat.replies import Reply
from homeroom.chat.scenarios import PracticeScenario
from homeroom.chat.service import ChatService
from homeroom.errors import ConflictError, NotFoundError
from homeroom.schema.examples import Message
from homeroom.storage import Database, Scope
from homeroom.storage.tables import ConversationRow, PracticeSessionRow, new_id

__all__ = [
    "Observation", "PracticeFeedback", "PracticeScenario", "PracticeService", "PracticeSession",
    "Quote", "Suggestion", "feedback",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PracticeSession:
    """One person teaching one learner. ``scenario`` is a copy: the session outlives a change of the scenarios."""

    id: str
    conversation_id: str
    scenario: PracticeScenario
    model: str
    created_at: float
    finished_at: float | None = None

    @property
    def finished(self) -> bool:
        """Whether the visitor ended it."""
        return self.finished_at is not None


class PracticeService:
    """Starts, continues and ends practice sessions.

    Args:
        scenarios: What to practise on; asked each time, so new course data shows at once.
    """

    def __init__(
        self,
        database: Database,
        chat: ChatService,
        conversations: ConversationStore,
        scenarios: Callable[[], Sequence[PracticeScenario]],
    ) -> None:
        self._database = database
        self._chat = chat
        self._conversations = conversations
        self._scenarios = scenarios

    def scenarios(self) -> Sequence[PracticeScenario]:
        """What there is to practise on."""
        return self._scenarios()

    def scenario(self, scenario_id: str) -> PracticeScenario:
        """One scenario.

        Raises:
            NotFoundError: there is none with that id.
        """
        for scenario in self._scenarios():
            if scenario.id == scenario_id:
                return scenario
        raise NotFoundError(f"there is no practice scenario {scenario_id!r}. Choose one: /", code="scenario-not-found")

    def start(self, scope: Scope, scenario_id: str, *, model: str = "") -> PracticeSession:
        """Begin a session; an empty ``model`` is the default learner."""
        scenario = self.scenario(scenario_id)
        conversation = self._conversations.create(
            scope, kind="practice", title=f"{scenario.name}: {scenario.topic_title}", model=model
        )
        row = PracticeSessionRow(
            **scope.columns(), id=new_id("prac"), conversation_id=conversation.id, scenario=asdict(scenario), feedback=None,
            created_at=time.time(), finished_at=None,
        )  # fmt: skip
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return _session(row, conversation.model)

    def get(self, scope: Scope, session_id: str) -> PracticeSession:
        """One session.

        Raises:
            NotFoundError: this owner has none with that id.
        """
        with self._database.read() as session:
            row = _row(session, scope, session_id)
            model = session.scalar(select(ConversationRow.model).filter_by(**scope.columns(), id=row.conversation_id))
            return _session(row, model or "")

    def list(self, scope: Scope, *, limit: int = 20) -> tuple[PracticeSession, ...]:
        """Sessions in which something was said, the newest first."""
        spoken: dict[str, Conversation] = {c.id: c for c in self._conversations.list(scope, kind="practice", limit=limit)}
        query = select(PracticeSessionRow).filter_by(**scope.columns()).where(PracticeSessionRow.conversation_id.in_(spoken))
        with self._database.read() as session:
            rows = session.scalars(query.order_by(PracticeSessionRow.created_at.desc())).all()
            return tuple(_session(row, spoken[row.conversation_id].model) for row in rows)

    def exchanges(self, scope: Scope, session_id: str) -> tuple[Exchange, ...]:
        """What was said so far."""
        return self._conversations.exchanges(scope, self.get(scope, session_id).conversation_id)

    def send(self, scope: Scope, session_id: str, text: str) -> Reply:
        """Say something to the learner.

        Raises:
            ConflictError: the session has ended.
        """
        session = self._open(scope, session_id)
        return self._chat.send(scope, session.conversation_id, text, system=session.scenario.system_message, task="learner")

    def retry(self, scope: Scope, session_id: str, turn_id: str) -> Reply:
        """Let the learner answer the newest turn again.

        Raises:
            ConflictError: the session has ended, or the turn is not its newest.
            NotFoundError: the turn belongs to another conversation.
        """
        session = self._open(scope, session_id)
        if self._conversations.turn(scope, turn_id).conversation_id != session.conversation_id:
            raise NotFoundError(f"there is no turn {turn_id!r} in this session; load the page again", code="turn-not-found")
        return self._chat.regenerate(scope, turn_id, system=session.scenario.system_message, task="learner")

    def finish(self, scope: Scope, session_id: str) -> PracticeFeedback:
        """End the session and store the notes; a session that has ended keeps the notes it has."""
        found = self.get(scope, session_id)
        notes = feedback(transcript(self.exchanges(scope, session_id)), found.scenario)
        with self._database.write() as session:
            row = _row(session, scope, session_id)
            if row.finished_at is None:
                row.finished_at = time.time()
                row.feedback = asdict(notes)
            return feedback_from_dict(row.feedback or asdict(notes))

    def notes(self, scope: Scope, session_id: str) -> PracticeFeedback:
        """The notes of an ended session.

        Raises:
            ConflictError: it goes on.
        """
        with self._database.read() as session:
            row = _row(session, scope, session_id)
            if row.feedback is None:
                raise ConflictError("the session goes on; end it to read the notes", code="practice-not-ended")
            return feedback_from_dict(row.feedback)

    def delete(self, scope: Scope, session_id: str) -> None:
        """Remove the session with everything said in it."""
        self._conversations.delete(scope, self.get(scope, session_id).conversation_id)

    def _open(self, scope: Scope, session_id: str) -> PracticeSession:
        session = self.get(scope, session_id)
        if session.finished:
            raise ConflictError("this session has ended. Start another one: /", code="practice-ended")
        return session


def transcript(exchanges: Sequence[Exchange]) -> list[Message]:
    """What was said, as messages."""
    messages = []
    for exchange in exchanges:
        messages.append(Message("user", exchange.user.text))
        if exchange.chosen is not None:
            messages.append(Message("assistant", exchange.chosen.text))
    return messages


def feedback_from_dict(record: Mapping[str, Any]) -> PracticeFeedback:
    """The notes from the plain data that `dataclasses.asdict` made of them."""
    observations = tuple(
        Observation(o["move"], o["title"], o["detail"], o["tone"], tuple(Quote(**q) for q in o["quotes"]))
        for o in record["observations"]
    )
    about = record["suggestion"]["about"]
    suggestion = Suggestion(**{**record["suggestion"], "about": Quote(**about) if about else None})
    return PracticeFeedback(**{**record, "observations": observations, "suggestion": suggestion})


def _row(session: Session, scope: Scope, session_id: str) -> PracticeSessionRow:
    row = session.scalar(select(PracticeSessionRow).filter_by(**scope.columns(), id=session_id))
    if row is None:
        raise NotFoundError(f"there is no practice session {session_id!r}. Start one: /", code="practice-not-found")
    return row


def _session(row: PracticeSessionRow, model: str) -> PracticeSession:
    record = dict(row.scenario)
    record["accepted"] = tuple(record.get("accepted") or ())
    return PracticeSession(row.id, row.conversation_id, PracticeScenario(**record), model, row.created_at, row.finished_at)
