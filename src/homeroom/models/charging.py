"""How tries of a request end in a meter: charged, not charged, or held because nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from homeroom.errors import ProviderError
from homeroom.schema.costs import Charge, Meter

# What was never sent. Every other failure of the connection may have come after the provider had begun.
NEVER_SENT = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError),
    *(httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.CookieConflict),
)
# Codes of errors after which the provider may have charged: no answer came, or none that can be read.
PERHAPS_CHARGED = frozenset({"provider-timeout", "provider-broken", "provider-answer", "provider-cut"})
_COUNTS = ("prompt_tokens", "completion_tokens")
_MOST_TOKENS = 10**10  # more are no count of tokens

Json = dict[str, Any]  # of the provider's making


@contextmanager
def held(meter: Meter | None, body: Json | None) -> Iterator[Charge | None]:
    """A charge for one try of sending ``body``; None without a meter. A try that fails is released where it was refused.

    Raises:
        ConflictError: ``budget-spent``: nothing was sent.
        ConfigError: ``price-unknown``.
    """
    charge = meter.hold(body) if meter is not None and body is not None else None
    try:
        yield charge
    except NEVER_SENT:
        if charge is not None:
            charge.release()
        raise
    except ProviderError as error:
        if charge is not None and error.code not in PERHAPS_CHARGED:
            charge.release()
        raise


def odd(answer: Json) -> bool:
    """Whether an answer, or a piece of one, has parts of another form than OpenAI's API gives them: none can be relied on."""
    usage, choices = answer.get("usage"), answer.get("choices")
    counts = [usage.get(name) for name in _COUNTS] if isinstance(usage, dict) else []
    told = all(n is None or (isinstance(n, int | float) and 0 <= n <= _MOST_TOKENS) for n in counts)
    return not told or not isinstance(choices or [], list) or not all(_fits(choice) for choice in choices or [])


def _fits(choice: Any) -> bool:
    if not isinstance(choice, dict) or not _is(choice.get("text"), str) or not _is(choice.get("logprobs"), dict):
        return False
    for part in (choice.get("message") or {}, choice.get("delta") or {}):
        if not isinstance(part, dict) or not _is(part.get("content"), str):
            return False
        calls = part.get("tool_calls") or []
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            return False
    return True


def _is(value: object, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def settle(charge: Charge | None, answer: Json) -> None:
    """Settle a whole answer: by the tokens it tells, else by its length. One that tells neither stays held."""
    if charge is None:
        return
    watched = Watched(charge)
    watched.see(answer)
    if not watched.end() and isinstance(answer.get("data"), list):  # embeddings: there is no reply to be counted
        charge.estimate(0)


class Watched:
    """Follows an answer that comes in pieces, and settles by what it saw of it. Pieces that are `odd` are not for it."""

    def __init__(self, charge: Charge | None) -> None:
        self._charge = charge
        self._usage: tuple[int, int] | None = None
        self._bytes = 0

    def see(self, event: Json) -> Json:
        """Take note of a piece; returns it."""
        if self._charge is None:
            return event
        usage = event.get("usage")
        if isinstance(usage, dict):
            prompt, completion = (usage.get(name) for name in _COUNTS)
            if completion is None and "choices" not in event:  # embeddings: there is no reply
                completion = 0
            if prompt is not None and completion is not None:
                self._usage = (int(prompt), int(completion))
        for choice in event.get("choices") or []:
            part = choice.get("delta") or choice.get("message") or {}
            # Whatever else is in it was generated too: calls of tools, and what a model thinks, under names that differ.
            self._bytes += _size([choice.get("text"), *(value for name, value in part.items() if name != "role")])
        return event

    def end(self) -> bool:
        """Settle: the answer is whole, or nobody wants the rest of it. Whether it could: where nothing was told, nobody knows."""
        if self._charge is None:
            return True
        if self._usage is not None:
            self._charge.settle(*self._usage)
        elif self._bytes:
            self._charge.estimate(self._bytes)
        return bool(self._usage or self._bytes)


def _size(value: object) -> int:
    """Bytes of every text in a value."""
    size, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            size += len(one.encode("utf-8", errors="surrogatepass"))
        elif isinstance(one, dict):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one
    return size
