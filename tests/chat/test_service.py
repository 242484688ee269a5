from __future__ import annotations

import queue
import threading

import pytest
from sqlalchemy import select

from homeroom.chat.directory import ModelCard
from homeroom.chat.replies import Delta, Done, Reply
from homeroom.chat.service import MAX_MESSAGE_CHARACTERS, MessageError, title_of
from homeroom.chat.testing import Desk, PacedChatModel
from homeroom.errors import ConflictError, ContextLengthError, NotFoundError, ProviderError, RateLimitError, StorageError
from homeroom.schema.examples import Message
from homeroom.storage import Database, Scope
from homeroom.storage.tables import ConversationRow

ANA = Scope("school", "ana")
BEN = Scope("school", "ben")


def add(desk: Desk, model: PacedChatModel, **card) -> PacedChatModel:
    desk.models.add(ModelCard(model.name, kind="tuned", task="tutor", **card), model)
    return model


def read(reply: Reply) -> tuple[str, Done]:
    text, done = "", None
    for event in reply.events():
        if isinstance(event, Delta):
            text += event.text
        elif isinstance(event, Done):
            done = event
    assert done is not None
    return text, done


def chat(desk: Desk, scope: Scope = ANA) -> str:
    return desk.conversations.create(scope).id


def test_a_reply_streams_and_is_stored_with_its_model_and_settings(desk: Desk) -> None:
    conversation = chat(desk)
    text, done = read(desk.chat.send(ANA, conversation, " I got 2/5. "))
    assert text == "What did you do first?"
    (exchange,) = desk.conversations.exchanges(ANA, conversation)
    assert exchange.user.text == "I got 2/5."
    assert exchange.chosen == done.turn
    assert exchange.chosen is not None
    assert (exchange.chosen.text, exchange.chosen.model, exchange.chosen.state) == (text, "ft:tutor", "complete")
    assert exchange.chosen.settings["temperature"] == 0.5
    assert exchange.chosen.settings["system_prompt"] == "You are a tutor."
    assert exchange.chosen.facts["usage"] == {"prompt_tokens": 7, "completion_tokens": 5}
    assert desk.conversations.get(ANA, conversation).title == "I got 2/5."
    assert desk.conversations.get(ANA, conversation).model == "ft:tutor"


def test_the_users_turn_is_on_the_disk_before_the_model_is_asked(desk: Desk) -> None:
    conversation = chat(desk)
    seen: list[str] = []

    def look(messages) -> str:
        seen.extend(e.user.text for e in desk.conversations.exchanges(ANA, conversation))
        return "ok"

    add(desk, PacedChatModel("ft:look", look))
    read(desk.chat.send(ANA, conversation, "hello", model="ft:look"))
    assert seen == ["hello"]


def test_no_transaction_is_open_while_the_model_answers(desk: Desk) -> None:
    model = add(desk, PacedChatModel("ft:slow", lambda m: "one two three", hold_after=1))
    reply = desk.chat.send(ANA, chat(desk), "hello", model="ft:slow")
    events = reply.events()
    assert isinstance(next(events), Delta)
    assert model.holding.wait(5)
    with desk.database.write():  # another writer is not kept waiting
        pass
    model.release()
    assert isinstance(list(events)[-1], Done)


def test_later_turns_send_the_whole_conversation(desk: Desk) -> None:
    conversation = chat(desk)
    read(desk.chat.send(ANA, conversation, "first"))
    read(desk.chat.send(ANA, conversation, "second"))
    model = desk.models.chat_model("ft:tutor")
    assert isinstance(model, PacedChatModel)
    assert model.asked[-1][0] == (
        Message("system", "You are a tutor."),
        Message("user", "first"),
        Message("assistant", "What did you do first?"),
        Message("user", "second"),
    )
    assert model.asked[-1][1].max_tokens == 64


def test_a_stopped_reply_keeps_what_came(desk: Desk) -> None:
    model = add(desk, PacedChatModel("ft:slow", lambda m: "one two three", hold_after=2))
    conversation = chat(desk)
    reply = desk.chat.send(ANA, conversation, "hello", model="ft:slow")
    events = reply.events()
    text = ""
    while text != "one two":
        event = next(events)
        assert isinstance(event, Delta)
        text += event.text
    desk.chat.stop(ANA, reply.id)
    (done,) = list(events)
    assert isinstance(done, Done)
    assert done.error is None
    assert done.turn is not None
    assert (done.turn.text, done.turn.state) == ("one two", "stopped")
    model.release()
    assert model.closed.wait(5)  # the model's stream is closed, so the provider stops too


def test_a_reply_stopped_before_its_first_word_is_not_stored(desk: Desk) -> None:
    add(desk, PacedChatModel("ft:slow", lambda m: "one two", hold_after=0))
    conversation = chat(desk)
    reply = desk.chat.send(ANA, conversation, "hello", model="ft:slow")
    desk.chat.stop(ANA, reply.id)
    text, done = read(reply)
    assert (text, done.turn, done.error) == ("", None, None)
    (exchange,) = desk.conversations.exchanges(ANA, conversation)
    assert exchange.chosen is None


@pytest.mark.parametrize("started", [True, False])
def test_a_reader_who_leaves_loses_nothing(desk: Desk, started: bool) -> None:
    model = add(desk, PacedChatModel("ft:slow", lambda m: "one two three", hold_after=1))
    conversation = chat(desk)
    reply = desk.chat.send(ANA, conversation, "hello", model="ft:slow")
    events = reply.events()
    if started:
        next(events)
    assert model.holding.wait(5)
    events.close()
    reply.close()  # what a web server calls in every case
    (exchange,) = desk.conversations.exchanges(ANA, conversation)
    assert exchange.chosen is not None
    assert (exchange.chosen.text, exchange.chosen.state) == ("one", "stopped")
    model.release()
    read(desk.chat.send(ANA, conversation, "again"))  # the conversation is free again


def test_an_error_after_some_words_keeps_them(desk: Desk) -> None:
    error = RateLimitError("slow down", retry_after_s=3)
    add(desk, PacedChatModel("ft:bad", lambda m: "one two three", fail_at=2, error=error))
    conversation = chat(desk)
    text, done = read(desk.chat.send(ANA, conversation, "hello", model="ft:bad"))
    assert text == "one two"
    assert done.error is error
    assert done.turn is not None
    assert done.turn.state == "failed"


def test_an_error_before_any_word_stores_no_reply_and_the_message_can_be_answered_later(desk: Desk) -> None:
    model = add(desk, PacedChatModel("ft:bad", lambda m: "fine", fail_at=0, error=ProviderError("down")))
    conversation = chat(desk)
    _, done = read(desk.chat.send(ANA, conversation, "hello", model="ft:bad"))
    assert done.turn is None
    assert done.error is model.error
    (exchange,) = desk.conversations.exchanges(ANA, conversation)
    model.error = None
    _, done = read(desk.chat.regenerate(ANA, exchange.user.id, model="ft:bad"))
    assert done.turn is not None
    assert done.turn.text == "fine"


def test_an_empty_reply_is_an_error(desk: Desk) -> None:
    add(desk, PacedChatModel("ft:mute", lambda m: ""))
    _, done = read(desk.chat.send(ANA, chat(desk), "hello", model="ft:mute"))
    assert done.error is not None
    assert done.error.code == "empty-reply"


def test_a_stream_that_breaks_without_a_reason_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(PacedChatModel):
        def stream(self, messages, settings):
            yield from ()
            raise RuntimeError("a bug in a provider")

    reported: queue.Queue = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.put(args.exc_type))
    add(desk, Broken("ft:broken", lambda m: ""))
    _, done = read(desk.chat.send(ANA, chat(desk), "hello", model="ft:broken"))
    assert done.error is not None
    assert done.error.code == "reply-cut"
    assert reported.get(timeout=5) is RuntimeError  # the bug is not swallowed


def test_a_reply_that_cannot_be_stored_says_so(desk: Desk) -> None:
    model = add(desk, PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    conversation = chat(desk)
    reply = desk.chat.send(ANA, conversation, "hello", model="ft:slow")
    assert model.holding.wait(5)
    desk.conversations.delete(ANA, conversation)
    model.release()
    text, done = read(reply)
    assert text == "one two"
    assert done.turn is None
    assert isinstance(done.error, NotFoundError)


def test_regenerating_adds_a_variant_that_later_turns_build_on(desk: Desk) -> None:
    answers = iter(["first answer", "second answer", "after"])
    model = add(desk, PacedChatModel("ft:many", lambda m: next(answers)))
    conversation = chat(desk)
    _, first = read(desk.chat.send(ANA, conversation, "hello", model="ft:many"))
    assert first.turn is not None
    _, second = read(desk.chat.regenerate(ANA, first.turn.id))
    (exchange,) = desk.conversations.exchanges(ANA, conversation)
    assert [v.text for v in exchange.variants] == ["first answer", "second answer"]
    assert exchange.chosen == second.turn
    desk.conversations.choose(ANA, first.turn.id)
    read(desk.chat.send(ANA, conversation, "go on"))
    assert Message("assistant", "first answer") in model.asked[-1][0]
    assert Message("assistant", "second answer") not in model.asked[-1][0]


def test_another_answer_of_a_greedy_model_is_drawn_with_chance(desk: Desk) -> None:
    model = add(desk, PacedChatModel("ft:greedy", lambda m: "ok"), settings={"temperature": 0, "seed": 3})
    conversation = chat(desk)
    _, first = read(desk.chat.send(ANA, conversation, "hello", model="ft:greedy"))
    assert first.turn is not None
    _, second = read(desk.chat.regenerate(ANA, first.turn.id))
    assert [(s.temperature, s.seed) for _, s in model.asked] == [(0, 3), (0.7, None)]
    assert second.turn is not None
    assert second.turn.settings["temperature"] == 0.7


def test_only_the_newest_reply_can_be_drawn_again(desk: Desk) -> None:
    conversation = chat(desk)
    _, first = read(desk.chat.send(ANA, conversation, "one"))
    read(desk.chat.send(ANA, conversation, "two"))
    assert first.turn is not None
    with pytest.raises(ConflictError, match="newest") as caught:
        desk.chat.regenerate(ANA, first.turn.id)
    assert caught.value.code == "not-newest-reply"


def test_one_reply_at_a_time_in_a_conversation(desk: Desk) -> None:
    model = add(desk, PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    conversation = chat(desk)
    reply = desk.chat.send(ANA, conversation, "hello", model="ft:slow")
    with pytest.raises(ConflictError) as caught:
        desk.chat.send(ANA, conversation, "impatient")
    assert caught.value.code == "reply-on-its-way"
    assert [e.user.text for e in desk.conversations.exchanges(ANA, conversation)] == ["hello"]
    model.release()
    read(reply)
    read(desk.chat.send(ANA, conversation, "patient"))


def test_a_start_that_fails_leaves_the_conversation_free(desk: Desk) -> None:
    conversation = chat(desk)
    with pytest.raises(NotFoundError):
        desk.chat.send(ANA, conversation, "hello", model="nobody")
    read(desk.chat.send(ANA, conversation, "hello"))


def test_a_conversation_that_outgrew_the_context_loses_its_oldest_exchanges(desk: Desk) -> None:
    class Small(PacedChatModel):
        def stream(self, messages, settings):
            if len(messages) > 4:
                raise ContextLengthError(f"{len(messages)} messages, 4 fit")
            return super().stream(messages, settings)

    model = add(desk, Small("ft:small", lambda m: "ok"), settings={"system_prompt": "Be brief."})
    conversation = chat(desk)
    for number in range(4):
        _, done = read(desk.chat.send(ANA, conversation, f"message {number}", model="ft:small"))
        assert done.error is None
    assert model.asked[-1][0][0] == Message("system", "Be brief.")
    assert model.asked[-1][0][-1] == Message("user", "message 3")
    assert [m.role for m in model.asked[-1][0]] == ["system", "user", "assistant", "user"]
    assert done.turn is not None
    assert done.turn.facts["left_out"] == 4


def test_a_single_message_too_long_for_the_context_is_an_error(desk: Desk) -> None:
    error = ContextLengthError("5000 tokens, 2048 fit")
    add(desk, PacedChatModel("ft:small", lambda m: "ok", fail_at=0, error=error))
    _, done = read(desk.chat.send(ANA, chat(desk), "very long", model="ft:small"))
    assert done.error is error


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "message-empty"), ("  \n ", "message-empty"), ("x" * (MAX_MESSAGE_CHARACTERS + 1), "message-too-long")],
)
def test_what_cannot_be_sent(desk: Desk, text: str, code: str) -> None:
    with pytest.raises(MessageError) as caught:
        desk.chat.send(ANA, chat(desk), text)
    assert caught.value.code == code


def test_ids_of_another_owner_are_unknown(desk: Desk) -> None:
    conversation = chat(desk)
    model = add(desk, PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    reply = desk.chat.send(ANA, conversation, "hello", model="ft:slow")
    for attempt in (
        lambda: desk.chat.send(BEN, conversation, "hello"),
        lambda: desk.chat.regenerate(BEN, reply.user_turn.id),
        lambda: desk.chat.stop(BEN, reply.id),
        lambda: desk.conversations.get(BEN, conversation),
        lambda: desk.conversations.exchanges(BEN, conversation),
        lambda: desk.conversations.turn(BEN, reply.user_turn.id),
        lambda: desk.conversations.choose(BEN, reply.id),
        lambda: desk.conversations.rename(BEN, conversation, "mine"),
        lambda: desk.conversations.delete(BEN, conversation),
        lambda: desk.conversations.get(Scope("other-school", "ana"), conversation),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    assert desk.conversations.list(BEN) == ()
    model.release()
    assert read(reply)[0] == "one two"


def test_many_conversations_at_once(desk: Desk) -> None:
    conversations = [chat(desk) for _ in range(12)]
    replies = [desk.chat.send(ANA, c, f"message {n}") for n, c in enumerate(conversations)]
    threads = [threading.Thread(target=read, args=(reply,)) for reply in replies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, conversation in enumerate(conversations):
        (exchange,) = desk.conversations.exchanges(ANA, conversation)
        assert exchange.user.text == f"message {number}"
        assert exchange.chosen is not None


def test_stop_all_ends_every_reply(desk: Desk) -> None:
    add(desk, PacedChatModel("ft:slow", lambda m: "one two", hold_after=1))
    replies = [desk.chat.send(ANA, chat(desk), "hello", model="ft:slow") for _ in range(3)]
    desk.chat.stop_all()
    assert [read(reply)[1].error for reply in replies] == [None, None, None]


def test_a_full_disk_is_said_before_the_model_is_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = chat(desk)
    model = desk.models.chat_model("ft:tutor")
    assert isinstance(model, PacedChatModel)
    with desk.database.write() as session:
        session.connection().exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite answers as on a full disk
    with pytest.raises(StorageError) as caught:
        desk.chat.send(ANA, conversation, "x" * 19_000)
    assert caught.value.code == "no-space"
    assert model.asked == []


@pytest.mark.parametrize(
    ("text", "title"),
    [("Hello", "Hello"), ("two\nlines", "two lines"), ("word " * 30, "word word word word word word word word word word word…")],
)
def test_titles(text: str, title: str) -> None:
    assert title_of(text) == title


def test_a_first_message_is_stored_with_its_conversation(desk: Desk) -> None:
    reply = desk.chat.send_first(ANA, "  What is half of 14?  ")
    for _ in reply.events():
        pass
    (listed,) = desk.conversations.list(ANA)
    assert (listed.title, listed.id) == (title_of("What is half of 14?"), reply.user_turn.conversation_id)
    (exchange,) = desk.conversations.exchanges(ANA, listed.id)
    assert exchange.user.text == "What is half of 14?"
    assert exchange.chosen is not None


def test_a_first_message_that_cannot_be_answered_leaves_no_conversation(desk: Desk, database: Database) -> None:
    for text, model, error in (("hello", "nobody", NotFoundError), ("  ", None, MessageError)):
        with pytest.raises(error):
            desk.chat.send_first(ANA, text, model=model)
    with database.read() as session:
        assert session.scalars(select(ConversationRow)).all() == []
