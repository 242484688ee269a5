from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from homeroom.chat.pump import BUFFERED_CHARACTERS, Pump
from homeroom.errors import ProviderError
from homeroom.schema.chat import Chunk, Usage


def drain(pump: Pump):
    text = ""
    while True:
        drawn = pump.take(5)
        text += drawn.text
        if drawn.ended:
            return text, drawn


def test_everything_arrives_with_reason_and_usage() -> None:
    text, last = drain(Pump(lambda: iter([Chunk("a"), Chunk("b"), Chunk("", "length", Usage(3, 2))])))
    assert (text, last.finish_reason, last.usage, last.error) == ("ab", "length", Usage(3, 2), None)


def test_an_error_to_open_the_stream_is_handed_over() -> None:
    error = ProviderError("down")

    def start() -> Iterator[Chunk]:
        raise error

    assert drain(Pump(start))[1].error is error


def test_a_reader_who_does_not_read_holds_the_model_back() -> None:
    drawn = []

    def start() -> Iterator[Chunk]:
        for number in range(100):
            drawn.append(number)
            yield Chunk("x" * BUFFERED_CHARACTERS)
        yield Chunk("", "stop")

    pump = Pump(start)
    pump.take(5)
    assert len(drawn) <= 3
    text, _ = drain(pump)
    assert len(text) + BUFFERED_CHARACTERS >= 100 * BUFFERED_CHARACTERS - BUFFERED_CHARACTERS


def test_stopping_ends_at_once_although_the_model_still_thinks() -> None:
    thinking, closed = threading.Event(), threading.Event()

    def start() -> Iterator[Chunk]:
        try:
            thinking.wait(30)
            yield Chunk("late")
            yield Chunk("", "stop")
        finally:
            closed.set()

    pump = Pump(start)
    pump.stop()
    drawn = pump.take(5)
    assert (drawn.text, drawn.ended, drawn.finish_reason) == ("", True, "stopped")
    thinking.set()
    assert closed.wait(5)


@pytest.mark.parametrize("ended", [[], [Chunk("half a sen")]])
def test_a_stream_without_an_end_is_an_error(ended: list[Chunk]) -> None:
    _, last = drain(Pump(lambda: iter(ended)))
    assert last.error is not None
    assert last.error.code == "reply-cut"
