"""Paid calls as the wire sees them: a meter is asked before each try, and told how the try ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

Purpose = Literal["tuning", "judging", "chat", "data"]
Basis = Literal["billed", "estimated", "unpriced"]
RUN_SPENT = "run-spent"
"""Code of the error that says that a run has cost what it may."""


class Charge(Protocol):
    """One try that may be charged. It stays held until one of these is called: nobody knows yet what it cost."""

    def settle(self, prompt_tokens: int, completion_tokens: int) -> None:
        """The provider told its tokens."""
        ...

    def estimate(self, completion_bytes: int) -> None:
        """It was answered, with so many bytes of text, and the provider told no tokens."""
        ...

    def release(self) -> None:
        """It was refused, or never sent: nothing is charged."""
        ...


class Meter(Protocol):
    """Counts what calls cost. Thread-safe."""

    def hold(self, body: Mapping[str, Any]) -> Charge:  # body: the JSON of a request
        """Set aside the most that the call with ``body`` can cost, before it is sent.

        Raises:
            ConflictError: ``budget-spent``: it does not fit a budget.
            ConfigError: ``price-unknown``: a budget watches this call, and its price is not known.
        """
        ...
