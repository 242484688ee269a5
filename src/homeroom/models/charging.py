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


def settle(charge: Charge | None, answer: Json) -> None:
    """Settle a whole answer: by the tokens it tells, else by its length."""
    if charge is not None:
        watched = Watched(charge)
        watched.see(answer)
        watched.end()


class Watched:
    """Follows an answer that comes in pieces, and settles by what it saw of it."""

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
            counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
            if all(isinstance(count, int) and count >= 0 for count in counts):
                self._usage = (int(counts[0] or 0), int(counts[1] or 0))
        for choice in event.get("choices") or []:
            if isinstance(choice, dict):
                part = choice.get("delta") or choice.get("message") or {}
                texts = [part.get("content"), choice.get("text"), *(str(call) for call in part.get("tool_calls") or [])]
                self._bytes += sum(len(text.encode("utf-8", errors="replace")) for text in texts if isinstance(text, str))
        return event

    def end(self) -> None:
        """Settle: the answer is whole, or nobody wants the rest of it."""
        if self._charge is None:
            return
        if self._usage is not None:
            self._charge.settle(*self._usage)
        else:
            self._charge.estimate(self._bytes)
