from __future__ import annotations

import pytest

from homeroom.chat.conversations import ConversationStore
from homeroom.chat.testing import Desk
from homeroom.errors import ConflictError, NotFoundError
from homeroom.storage import Database, Scope

ANA = Scope("school", "ana")


@pytest.fixture
def store(desk: Desk) -> ConversationStore:
    return desk.conversations


def reply(store: ConversationStore, user_turn, turn_id: str, text: str = "ok", **more):
    return store.add_reply(ANA, user_turn, turn_id=turn_id, text=text, model="m", settings={}, finish_reason="stop", **more)


def test_what_was_acknowledged_is_there_for_another_process(store: ConversationStore, tmp_path) -> None:
    conversation = store.create(ANA, title="Fractions")
    user = store.add_user(ANA, conversation.id, "hello")
    turn = reply(store, user, "turn-1", "hi")
    other = Database.for_home(tmp_path / "home")
    try:
        (exchange,) = ConversationStore(other).exchanges(ANA, conversation.id)
        assert (exchange.user, exchange.chosen) == (user, turn)
    finally:
        other.close()


def test_the_list_is_newest_first_and_leaves_out_what_nobody_spoke_in(store: ConversationStore) -> None:
    first, second, silent = (store.create(ANA, title=t) for t in ("first", "second", "silent"))
    store.add_user(ANA, first.id, "a")
    store.add_user(ANA, second.id, "b")
    store.add_user(ANA, first.id, "c")
    assert [c.title for c in store.list(ANA)] == ["first", "second"]
    assert silent.id not in {c.id for c in store.list(ANA)}
    assert [c.title for c in store.list(ANA, limit=1)] == ["first"]
    assert store.list(ANA, kind="practice") == ()


def test_messages_without_an_answer_keep_their_places(store: ConversationStore) -> None:
    conversation = store.create(ANA)
    first = store.add_user(ANA, conversation.id, "one")
    second = store.add_user(ANA, conversation.id, "two")
    reply(store, second, "turn-2", "answer to two")
    reply(store, first, "turn-1", "answer to one")
    exchanges = store.exchanges(ANA, conversation.id)
    assert [(e.user.text, e.chosen.text if e.chosen else None) for e in exchanges] == [
        ("one", "answer to one"),
        ("two", "answer to two"),
    ]


def test_choosing_a_message_that_is_no_reply(store: ConversationStore) -> None:
    conversation = store.create(ANA)
    user = store.add_user(ANA, conversation.id, "one")
    with pytest.raises(ConflictError) as caught:
        store.choose(ANA, user.id)
    assert caught.value.code == "not-a-reply"


def test_deleting_removes_the_turns_and_what_was_said_of_them(desk: Desk) -> None:
    conversation = desk.conversations.create(ANA)
    user = desk.conversations.add_user(ANA, conversation.id, "one")
    reply(desk.conversations, user, "turn-1")
    desk.feedback.save(ANA, "turn-1", thumb="up")
    desk.conversations.delete(ANA, conversation.id)
    assert desk.feedback.for_turns(ANA, ["turn-1"]) == {}
    with pytest.raises(NotFoundError):
        desk.conversations.turn(ANA, user.id)
