"""The scripted chat model behaves as the protocol says."""

from __future__ import annotations

from homeroom.models.testing import ScriptedChatModel
from homeroom.schema.chat import ChatModel, GenerationSettings, Usage
from homeroom.schema.examples import Message

ASK = [Message("user", "one two")]


def test_it_streams_word_by_word_what_it_completes():
    model = ScriptedChatModel("echo", lambda messages: f"you said  {messages[-1].content}!")
    assert isinstance(model, ChatModel)
    *pieces, last = model.stream(ASK, GenerationSettings())
    assert [piece.text for piece in pieces] == ["you", " said", " ", " one", " two!"]
    reply = model.complete(ASK, GenerationSettings())
    assert reply.text == "you said  one two!" == "".join(piece.text for piece in pieces)
    assert (
        (reply.model, reply.finish_reason, reply.usage)
        == ("echo", last.finish_reason, last.usage)
        == ("echo", "stop", Usage(2, 5))
    )


def test_it_stops_at_the_length_and_at_stop_texts():
    model = ScriptedChatModel("m", lambda _: "a b c d")
    cut = model.complete(ASK, GenerationSettings(max_tokens=2))
    assert (cut.text, cut.finish_reason) == ("a b", "length")
    stopped = model.complete(ASK, GenerationSettings(stop=(" c",)))
    assert (stopped.text, stopped.finish_reason) == ("a b", "stop")
