from __future__ import annotations

import pytest

from homeroom.chat.directory import ModelCard
from homeroom.chat.replies import Delta, Done
from homeroom.chat.service import MessageError
from homeroom.chat.testing import Desk, PacedChatModel
from homeroom.errors import ConflictError, NotFoundError, ProviderError
from homeroom.storage import Scope

ANA = Scope("school", "ana")


def test_both_answers_come_at_the_same_time_and_are_stored_in_the_order_asked(desk: Desk) -> None:
    slow = PacedChatModel("ft:slow", lambda m: "slow answer", hold_after=1)
    desk.models.add(ModelCard("ft:slow"), slow)
    comparison = desk.compare.start(ANA, "What is 1/2 + 1/3?", ["ft:slow", "base"])
    texts = {reply.id: "" for reply in comparison.replies}
    finished = []
    for event in comparison.events():
        if isinstance(event, Delta):
            texts[event.reply_id] += event.text
        elif isinstance(event, Done):
            finished.append(event.reply_id)
            slow.release()  # only now: the other model's answer was complete while this one waited
    first, second = (reply.id for reply in comparison.replies)
    assert finished == [second, first]
    assert (texts[first], texts[second]) == ("slow answer", "The answer is 5/6.")
    (exchange,) = desk.conversations.exchanges(ANA, comparison.conversation_id)
    assert [v.model for v in exchange.variants] == ["ft:slow", "base"]
    assert exchange.user.text == "What is 1/2 + 1/3?"


def test_one_failure_leaves_the_other_answer(desk: Desk) -> None:
    bad = PacedChatModel("ft:bad", lambda m: "x", fail_at=0, error=ProviderError("down"))
    desk.models.add(ModelCard("ft:bad"), bad)
    comparison = desk.compare.start(ANA, "hello", ["ft:bad", "base"])
    errors = {event.reply_id: event.error for event in comparison.events() if isinstance(event, Done)}
    assert errors == {comparison.replies[0].id: bad.error, comparison.replies[1].id: None}


def test_a_reader_who_leaves_stops_both(desk: Desk) -> None:
    models = [PacedChatModel(f"ft:{n}", lambda m: "one two", hold_after=1) for n in (1, 2)]
    for model in models:
        desk.models.add(ModelCard(model.name), model)
    comparison = desk.compare.start(ANA, "hello", ["ft:1", "ft:2"])
    for model in models:
        assert model.holding.wait(5)
    comparison.close()
    (exchange,) = desk.conversations.exchanges(ANA, comparison.conversation_id)
    assert [(v.text, v.state) for v in exchange.variants] == [("one", "stopped"), ("one", "stopped")]
    for model in models:
        model.release()
        assert model.closed.wait(5)


def test_the_better_answer_is_remembered(desk: Desk) -> None:
    comparison = desk.compare.start(ANA, "hello", ["ft:tutor", "base"])
    list(comparison.events())
    turn = desk.compare.choose(ANA, comparison.replies[1].id)
    assert turn.model == "base"
    given = desk.feedback.get(ANA, turn.id)
    assert (given.thumb, given.reason, given.consent) == ("up", "better than ft:tutor", "not-asked")
    (exchange,) = desk.conversations.exchanges(ANA, comparison.conversation_id)
    assert exchange.chosen == turn


def test_changing_ones_mind_leaves_one_better_answer(desk: Desk) -> None:
    comparison = desk.compare.start(ANA, "hello", ["ft:tutor", "base"])
    list(comparison.events())
    first, second = (reply.id for reply in comparison.replies)
    desk.compare.choose(ANA, first)
    desk.compare.choose(ANA, second)
    thumbs = {turn_id: given.thumb for turn_id, given in desk.feedback.for_turns(ANA, [first, second]).items()}
    assert thumbs == {second: "up"}


@pytest.mark.parametrize("models", [["base", "base"], ["base"], []])
def test_two_different_models_are_needed(desk: Desk, models: list[str]) -> None:
    with pytest.raises(MessageError) as caught:
        desk.compare.start(ANA, "hello", models)
    assert caught.value.code == "compare-same-model"


def test_nothing_is_stored_for_an_unknown_model_or_an_empty_question(desk: Desk) -> None:
    with pytest.raises(NotFoundError):
        desk.compare.start(ANA, "hello", ["base", "nobody"])
    with pytest.raises(MessageError):
        desk.compare.start(ANA, " ", ["base", "ft:tutor"])
    assert desk.conversations.list(ANA, kind="compare") == ()


def test_only_a_comparison_has_a_better_answer(desk: Desk) -> None:
    conversation = desk.conversations.create(ANA)
    reply = desk.chat.send(ANA, conversation.id, "hello")
    list(reply.events())
    with pytest.raises(ConflictError) as caught:
        desk.compare.choose(ANA, reply.id)
    assert caught.value.code == "not-a-comparison"
