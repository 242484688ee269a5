"""A meter for the models of an endpoint: it holds before each try and settles by what the provider tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeroom.errors import StorageError
from homeroom.ledger.prices import Price
from homeroom.ledger.records import About, Tokens
from homeroom.ledger.store import Ledger
from homeroom.schema.costs import Basis

LONGEST_REPLY = 32_768
"""Tokens of a reply whose request sets no limit."""


class CallMeter:
    """Implements `homeroom.schema.costs.Meter` for one model and one purpose.

    Args:
        ledger: Where calls are written.
        about: What they are for.
        price: Of the model; None where it is not known: its tokens are counted, and a budget that is about it refuses.
    """

    def __init__(self, ledger: Ledger, about: About, price: Price | None) -> None:
        self._ledger, self._about, self._price = ledger, about, price

    def hold(self, body: Mapping[str, Any]) -> CallCharge:  # body: the JSON of a request
        """Set aside the most that the call can cost.

        Raises:
            ConflictError: ``budget-spent``.
            ConfigError: ``price-unknown``.
        """
        prompt, reply = most_tokens(body)
        usd = self._price.of(prompt, reply) if self._price else 0.0
        cost_id = self._ledger.hold(self._about, usd, priced=self._price is not None)
        return CallCharge(self._ledger, cost_id, self._price, prompt)


@dataclass(frozen=True, slots=True)
class CallCharge:
    """One call that is held. Implements `homeroom.schema.costs.Charge`.

    When the disk refuses, the call stays held: an answer that was paid for is not lost for its bookkeeping.
    """

    ledger: Ledger
    cost_id: str
    price: Price | None
    most_prompt: int

    def settle(self, prompt_tokens: int, completion_tokens: int) -> None:
        """By the tokens that the provider told."""
        self._settle(prompt_tokens, completion_tokens, "billed")

    def estimate(self, completion_bytes: int) -> None:
        """At most, by what was seen of the reply: a token is at least a byte of text."""
        self._settle(self.most_prompt, completion_bytes, "estimated")

    def release(self) -> None:
        """Forget it."""
        try:
            self.ledger.release(self.cost_id)
        except StorageError:
            return

    def _settle(self, prompt: int, completion: int, basis: Basis) -> None:
        usd = self.price.of(prompt, completion) if self.price else 0.0
        try:
            self.ledger.settle(self.cost_id, usd, Tokens(prompt, completion), basis if self.price else "unpriced")
        except StorageError:
            return


def most_tokens(body: Mapping[str, Any]) -> tuple[int, int]:  # body: the JSON of a request
    """The most tokens that a request can have, and its replies.

    Tokenizers of bytes give no text more tokens than it has bytes, and the JSON around the texts is longer than what a chat
    template puts there. A request for embeddings has no reply.
    """
    prompt = len(json.dumps(body, ensure_ascii=False).encode("utf-8", errors="surrogatepass"))
    if "input" in body and not {"messages", "prompt"} & body.keys():
        return prompt, 0
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int)]
    replies = body.get("n")
    return prompt, (max(limits) if limits else LONGEST_REPLY) * (replies if isinstance(replies, int) else 1)
