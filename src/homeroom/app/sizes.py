"""How long a request to an endpoint is: what it usually comes to, and the most that may be charged for it.

An endpoint's tokenizer is not here. No tokenizer of bytes gives a text more tokens than it has bytes, and the ledger holds each
request by the bytes of its JSON, so the most is counted in these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from homeroom.schema.examples import Message

TURN_BYTES = 40  # of a turn of a conversation around its text
SCHEMA_BYTES, REQUEST_BYTES = 2000, 1000  # of how several outputs are asked for, and of a request around its texts, at most
CHARACTER_BYTES = 4  # of one character, at most


def characters_of(messages: Iterable[Message]) -> int:
    """Of all texts."""
    return sum(len(message.content) for message in messages)


def most_bytes(messages: Iterable[Message]) -> int:
    """Of all texts as they are sent, with what is around each."""
    return sum(json_bytes(message.content) + TURN_BYTES for message in messages)


def json_bytes(value: Any) -> int:  # any JSON
    """Of a value as it is sent."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", errors="surrogatepass"))


def question(conversations: Iterable[Sequence[Message]]) -> tuple[float, float]:
    """A prompt among these: its characters usually, and its bytes at most; nothing where there is none."""
    sizes = [(characters_of(messages), most_bytes(messages)) for messages in conversations] or [(0, 0)]
    return sum(usual for usual, _ in sizes) / len(sizes), float(max(most for _, most in sizes))
