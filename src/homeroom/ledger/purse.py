"""The money that one run may cost: held before each try beside the budgets, so that what was agreed to is never overspent."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from homeroom.errors import ConflictError, HomeroomError
from homeroom.ledger.meter import CallMeter, most_tokens
from homeroom.ledger.prices import Price
from homeroom.schema.costs import Charge

MORE_CALLS = "Give it more calls: homeroom tune plan --method dspy --max-calls NUMBER"
ROUNDING_USD = 1e-9  # amounts are added up in another order than the limit was


class PurseSpent(ConflictError):
    """``run-spent``: there is not enough left for the next call, which was not sent."""

    code = "run-spent"

    def __init__(self, limit_usd: float, spent_usd: float, next_usd: float, how: str) -> None:
        super().__init__(
            f"the ${limit_usd:.4f} that this run may cost are used up: ${spent_usd:.4f} are spent or held, and the "
            f"next call may cost ${next_usd:.4f}. {how}"
        )
        self.limit_usd, self.spent_usd, self.next_usd = limit_usd, spent_usd, next_usd


class Purse:
    """What a run may still spend, whichever models it asks. Thread-safe.

    Args:
        limit_usd: The most that the run may cost, in US dollars; infinity is no limit.
        spent_usd: What earlier attempts at it cost.
        how: What to do where it is used up.
    """

    def __init__(self, limit_usd: float, spent_usd: float = 0.0, how: str = MORE_CALLS) -> None:
        self._limit, self._spent, self._how = limit_usd, spent_usd, how
        self._lock = threading.Lock()

    @property
    def left_usd(self) -> float:
        """What is neither spent nor held."""
        with self._lock:
            return self._limit - self._spent

    def allow(self, usd: float) -> None:
        """So much more may be spent: somebody agreed to it."""
        with self._lock:
            self._limit += usd

    def take(self, usd: float) -> None:
        """Set aside the most that a call can cost.

        Raises:
            PurseSpent: there is not enough left.
        """
        with self._lock:
            if self._spent + usd > self._limit + ROUNDING_USD:
                raise PurseSpent(self._limit, self._spent, usd, self._how)
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
            PurseSpent: there is not enough left. ConflictError: ``budget-spent``.
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
