"""Replies for a request of the API: one or several side by side, whole or streamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Response

from homeroom.chat.pump import Drawn, Pump
from homeroom.chat.replies import PING_S
from homeroom.errors import HomeroomError, OptionError
from homeroom.schema.chat import ChatModel, Chunk, Completion, GenerationSettings, ReplyOptions, Usage, is_full
from homeroom.schema.examples import Message
from homeroom.server.context import context
from homeroom.server.errors import as_openai
from homeroom.server.streams import SSE_PING, event_stream

Record = Mapping[str, Any]

SIDE_BY_SIDE = 4
"""Whole replies of one request that are asked for at a time: as many as the engine has places for by default."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One reply that is wanted, whole or piece by piece."""

    whole: Callable[[], Completion]
    pieces: Callable[[], Iterator[Chunk]]


def chat_ask(model: ChatModel, messages: Sequence[Message], settings: GenerationSettings, options: ReplyOptions) -> Ask:
    """A reply of ``model`` in a conversation.

    Raises:
        OptionError: the model gives text alone, and more is asked for.
    """
    if is_full(model):
        full = model
        return Ask(lambda: full.complete_with(messages, settings, options), lambda: full.stream_with(messages, settings, options))
    for name in options.asked():
        raise OptionError(f"{model.name!r} gives text alone, without {name!r}; leave it out", param=name)
    return Ask(lambda: model.complete(messages, settings), lambda: model.stream(messages, settings))


def whole_replies(asks: Sequence[Ask]) -> list[Completion]:
    """Every reply, in order.

    Raises:
        HomeroomError: the first one that failed.
    """
    with ExitStack() as room:
        for _ in asks:
            room.callback(context().replies.enter())
        if len(asks) == 1:
            return [asks[0].whole()]
        with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(asks)), thread_name_prefix="api-reply") as pool:
            return list(pool.map(lambda ask: ask.whole(), asks))


class Shape(Protocol):
    """How the pieces of an operation look as JSON: told of each as it comes, it gives the records to send."""

    def begin(self, index: int) -> Iterable[Record]:
        """Before the first piece of a choice."""
        ...

    def piece(self, index: int, drawn: Drawn) -> Iterable[Record]:
        """For what came of a choice."""
        ...

    def end(self, index: int, finish_reason: str) -> Iterable[Record]:
        """After the last piece of a choice."""
        ...

    def usage(self, usage: Usage | None) -> Record:
        """After everything, when the usage was asked for; it is None where the provider does not tell it."""
        ...


def streamed(asks: Sequence[Ask], shape: Shape, *, include_usage: bool, prompts: int = 1) -> Response:
    """A stream of server-sent events with every reply.

    Args:
        asks: The replies; those to one prompt follow each other.
        shape: How they look.
        include_usage: Whether their tokens come at the end.
        prompts: How many different prompts there are.

    Raises:
        HomeroomError: one failed before any text came: such a failure still gets a status of its own.
    """
    with ExitStack() as undo:
        for _ in asks:
            undo.callback(context().replies.enter())
        changed = threading.Condition()
        pumps = [Pump(ask.pieces, name="api-reply", changed=changed) for ask in asks]
        for pump in pumps:
            undo.callback(pump.stop)
        first = _take(pumps, changed)
        for drawn in first.values():
            if drawn.error is not None and not drawn.text:
                raise drawn.error
        close = undo.pop_all().close
    return event_stream(_events(pumps, changed, first, shape, prompts if include_usage else 0), close)


def _take(pumps: Sequence[Pump], changed: threading.Condition, ended: frozenset[int] = frozenset()) -> dict[int, Drawn]:
    """What came of the replies that go on, waiting for something to say; empty after a while without."""
    left = [index for index in range(len(pumps)) if index not in ended]
    with changed:
        changed.wait_for(lambda: any(pumps[index].ready for index in left), PING_S)
        return {index: pumps[index].take(0) for index in left if pumps[index].ready}


def _events(
    pumps: Sequence[Pump], changed: threading.Condition, first: dict[int, Drawn], shape: Shape, prompts: int
) -> Iterator[bytes]:
    """The records of every reply as they come, then its tokens when ``prompts`` is not 0."""
    extra: dict[str, Any] = {"usage": None} if prompts else {}
    usages: dict[int, Usage | None] = {}
    for index in range(len(pumps)):
        yield from (_data({**record, **extra}) for record in shape.begin(index))
    came = first
    while True:
        for index, drawn in came.items():
            yield from (_data({**record, **extra}) for record in shape.piece(index, drawn))
            if drawn.error is not None:
                yield failure(drawn.error)
                return
            if drawn.ended:
                usages[index] = drawn.usage
                yield from (_data({**record, **extra}) for record in shape.end(index, drawn.finish_reason))
        if len(usages) == len(pumps):
            break
        came = _take(pumps, changed, frozenset(usages))
        if not came:
            yield SSE_PING
    if prompts:
        yield _data(shape.usage(together([usages[index] for index in sorted(usages)], prompts)))
    yield b"data: [DONE]\n\n"


def failure(error: HomeroomError) -> bytes:
    """The event that ends a stream which cannot go on."""
    return _data(as_openai(error))


def together(usages: Sequence[Usage | None], prompts: int = 1) -> Usage | None:
    """The tokens of several replies to the same prompts, each prompt counted once; None when one is not told.

    Args:
        usages: Of each reply; replies to one prompt follow each other.
        prompts: How many different prompts there are.
    """
    told = [usage for usage in usages if usage is not None]
    if len(told) < len(usages):
        return None
    each = max(1, len(told) // prompts)
    return Usage(sum(usage.prompt_tokens for usage in told[::each]), sum(usage.completion_tokens for usage in told))


def usage_record(usage: Usage) -> dict[str, int]:
    """OpenAI's object of tokens."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _data(record: Record) -> bytes:
    return f"data: {json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
