from __future__ import annotations

import pytest

from homeroom.chat.practice import transcript
from homeroom.chat.testing import SCENARIO, Desk, PacedChatModel
from homeroom.errors import ConflictError, NotFoundError
from homeroom.schema.examples import Message
from homeroom.storage import Scope

ANA = Scope("school", "ana")
BEN = Scope("school", "ben")


def test_the_model_plays_the_learner_of_the_scenario(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    list(desk.practice.send(ANA, session.id, "How did you get 2/6?").events())
    model = desk.models.chat_model("ft:learner")
    assert isinstance(model, PacedChatModel)
    assert model.asked[-1][0] == (Message("system", SCENARIO.system_message), Message("user", "How did you get 2/6?"))
    assert transcript(desk.practice.exchanges(ANA, session.id)) == [
        Message("user", "How did you get 2/6?"),
        Message("assistant", "I added the tops."),
    ]


def test_a_picked_model_plays_instead(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id, model="base")
    reply = desk.practice.send(ANA, session.id, "Hi")
    assert reply.card.name == "base"
    list(reply.events())


def test_ending_stores_notes_that_quote_the_visitor(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    list(desk.practice.send(ANA, session.id, "How did you get 2/6?").events())
    with pytest.raises(ConflictError) as caught:
        desk.practice.notes(ANA, session.id)
    assert caught.value.code == "practice-not-ended"
    notes = desk.practice.finish(ANA, session.id)
    assert "How did you get 2/6?" in {q.text for o in notes.observations for q in o.quotes}
    assert desk.practice.notes(ANA, session.id) == notes
    assert desk.practice.finish(ANA, session.id) == notes
    assert desk.practice.get(ANA, session.id).finished


def test_an_ended_session_takes_no_more_turns(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    desk.practice.finish(ANA, session.id)
    with pytest.raises(ConflictError) as caught:
        desk.practice.send(ANA, session.id, "One more thing")
    assert caught.value.code == "practice-ended"


def test_the_learner_can_be_asked_again(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    reply = desk.practice.send(ANA, session.id, "Hi")
    list(reply.events())
    list(desk.practice.retry(ANA, session.id, reply.user_turn.id).events())
    (exchange,) = desk.practice.exchanges(ANA, session.id)
    assert len(exchange.variants) == 2


def test_a_turn_of_another_conversation_cannot_be_asked_again_here(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    other = desk.chat.send(ANA, desk.conversations.create(ANA).id, "chat")
    list(other.events())
    with pytest.raises(NotFoundError):
        desk.practice.retry(ANA, session.id, other.user_turn.id)


def test_sessions_are_listed_newest_first_and_only_to_their_owner(desk: Desk) -> None:
    silent = desk.practice.start(ANA, SCENARIO.id)
    sessions = [desk.practice.start(ANA, SCENARIO.id) for _ in range(2)]
    for session in sessions:
        list(desk.practice.send(ANA, session.id, "Hi").events())
    assert [s.id for s in desk.practice.list(ANA)] == [sessions[1].id, sessions[0].id]
    assert silent.id not in {s.id for s in desk.practice.list(ANA)}
    assert desk.practice.list(BEN) == ()
    for attempt in (
        lambda: desk.practice.get(BEN, silent.id),
        lambda: desk.practice.send(BEN, silent.id, "Hi"),
        lambda: desk.practice.finish(BEN, silent.id),
        lambda: desk.practice.delete(BEN, silent.id),
    ):
        with pytest.raises(NotFoundError):
            attempt()


def test_a_session_keeps_its_scenario_when_the_scenarios_change(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    assert desk.practice.get(ANA, session.id).scenario == SCENARIO


def test_deleting_removes_everything_said(desk: Desk) -> None:
    session = desk.practice.start(ANA, SCENARIO.id)
    list(desk.practice.send(ANA, session.id, "Hi").events())
    desk.practice.delete(ANA, session.id)
    with pytest.raises(NotFoundError):
        desk.practice.get(ANA, session.id)
    with pytest.raises(NotFoundError):
        desk.conversations.get(ANA, session.conversation_id)


def test_an_unknown_scenario(desk: Desk) -> None:
    with pytest.raises(NotFoundError) as caught:
        desk.practice.start(ANA, "nobody")
    assert caught.value.code == "scenario-not-found"
