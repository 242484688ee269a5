"""The money that one run may cost: held before each try beside the budgets, so that what was agreed to is never overspent."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from homeroom.errors import ConflictError, HomeroomError
from homeroom.ledger.meter import CallMeter, most_tokens
from homeroom.ledger.prices import Price
from homeroom.schema.costs import Charge


class Purse:
    """What a run may still spend, whichever models it asks. Thread-safe.

    Args:
        limit_usd: The most that the run may cost, in US dollars.
        spent_usd: What earlier attempts at it cost.
    """

    def __init__(self, limit_usd: float, spent_usd: float = 0.0) -> None:
        self._limit, self._spent = limit_usd, spent_usd
        self._lock = threading.Lock()

    def take(self, usd: float) -> None:
        """Set aside the most that a call can cost.

        Raises:
            ConflictError: ``run-spent``: there is not enough left.
        """
        with self._lock:
            if self._spent + usd > self._limit + 1e-9:  # amounts are added up in another order than the limit was
                raise ConflictError(
                    f"the ${self._limit:.4f} that this run may cost are used up: ${self._spent:.4f} are spent or held, and the "
                    f"next call may cost ${usd:.4f}. Give it more calls: homeroom tune plan --method dspy --max-calls NUMBER",
                    code="run-spent",
                )
            self._spent += usd

    def give_back(self, usd: float) -> None:
        """What was set aside and not spent."""
        with self._lock:
            self._spent -= usd


class PurseMeter:
    """A meter that also holds in a purse. Implements `homeroom.schema.costs.Meter`.

    Args:
        meter: Of the ledger.
        price: Of the model.
        purse: Of the run.
    """

    def __init__(self, meter: CallMeter, price: Price, purse: Purse) -> None:
        self._meter, self._price, self._purse = meter, price, purse

    def hold(self, body: Mapping[str, Any]) -> Charge:  # body: the JSON of a request
        """Set aside the most that the call can cost.

        Raises:
            ConflictError: ``run-spent``; ``budget-spent``.
        """
        usd = self._price.of(*most_tokens(body))
        self._purse.take(usd)
        try:
            return _PurseCharge(self._meter.hold(body), self._price, self._purse, usd)
        except HomeroomError:
            self._purse.give_back(usd)
            raise


class _PurseCharge:
    """One call that is held in both. One that nobody knows the end of stays held."""

    def __init__(self, charge: Charge, price: Price, purse: Purse, held_usd: float) -> None:
        self._charge, self._price, self._purse, self._held = charge, price, purse, held_usd

    def settle(self, prompt_tokens: int, completion_tokens: int) -> None:
        """By the tokens that the provider told."""
        self._charge.settle(prompt_tokens, completion_tokens)
        self._purse.give_back(self._held - self._price.of(prompt_tokens, completion_tokens))

    def estimate(self, completion_bytes: int) -> None:
        """At most: it stays held."""
        self._charge.estimate(completion_bytes)

    def release(self) -> None:
        """Forget it."""
        self._charge.release()
        self._purse.give_back(self._held)
