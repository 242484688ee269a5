from __future__ import annotations

import pytest

from homeroom.chat.feedback import Feedback
from homeroom.chat.service import MessageError
from homeroom.chat.testing import Desk
from homeroom.errors import NotFoundError
from homeroom.storage import Scope

ANA = Scope("school", "ana")
BEN = Scope("school", "ben")


@pytest.fixture
def turn_id(desk: Desk) -> str:
    reply = desk.chat.send(ANA, desk.conversations.create(ANA).id, "hello")
    list(reply.events())
    return reply.id


def test_what_is_not_said_stays_as_it_was(desk: Desk, turn_id: str) -> None:
    assert desk.feedback.get(ANA, turn_id) == Feedback(turn_id)
    desk.feedback.save(ANA, turn_id, thumb="down")
    desk.feedback.save(ANA, turn_id, reason=" gave it away ", better_answer="What did you add?", consent="granted")
    given = desk.feedback.get(ANA, turn_id)
    assert (given.thumb, given.reason, given.better_answer, given.consent) == (
        "down",
        "gave it away",
        "What did you add?",
        "granted",
    )


def test_consent_is_not_asked_until_it_was_answered_and_can_be_taken_back(desk: Desk, turn_id: str) -> None:
    assert desk.feedback.save(ANA, turn_id, better_answer="x").consent == "not-asked"
    assert desk.feedback.save(ANA, turn_id, consent="granted").consent == "granted"
    assert desk.feedback.save(ANA, turn_id, consent="refused").consent == "refused"


def test_only_the_owner_of_a_reply_can_judge_it(desk: Desk, turn_id: str) -> None:
    with pytest.raises(NotFoundError):
        desk.feedback.save(BEN, turn_id, thumb="up")
    with pytest.raises(NotFoundError):
        desk.feedback.get(BEN, turn_id)
    assert desk.feedback.for_turns(BEN, [turn_id]) == {}


def test_a_message_of_ones_own_cannot_be_judged(desk: Desk, turn_id: str) -> None:
    (exchange,) = desk.conversations.exchanges(ANA, desk.conversations.turn(ANA, turn_id).conversation_id)
    with pytest.raises(NotFoundError):
        desk.feedback.save(ANA, exchange.user.id, thumb="up")


def test_what_was_said_can_be_withdrawn(desk: Desk, turn_id: str) -> None:
    desk.feedback.withdraw(ANA, turn_id)
    desk.feedback.save(ANA, turn_id, thumb="up", consent="granted")
    with pytest.raises(NotFoundError):
        desk.feedback.withdraw(BEN, turn_id)
    desk.feedback.withdraw(ANA, turn_id)
    assert desk.feedback.get(ANA, turn_id) == Feedback(turn_id)


def test_a_text_too_long_is_refused(desk: Desk, turn_id: str) -> None:
    with pytest.raises(MessageError):
        desk.feedback.save(ANA, turn_id, better_answer="x" * 20_001)
