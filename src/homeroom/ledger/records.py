"""The values of the cost ledger: what a call is for, what it cost, and what may be spent."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from homeroom.schema.costs import Basis, Purpose

NANO = 1_000_000_000
ANY = "*"
Period = Literal["day", "month", "total"]
PERIODS: tuple[Period, ...] = get_args(Period)
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
METHODS = ("dspy", "openai", "huggingface")
DIMENSIONS = ("project", "model", "method", "purpose")


def nano(usd: float) -> int:
    """US dollars in billionths, rounded up: what is set aside is never too little."""
    return math.ceil(usd * NANO - 1e-6)  # a millionth of a billionth is the error of the multiplication


def dollars(nusd: int) -> float:
    """Billionths of a US dollar in dollars."""
    return nusd / NANO


@dataclass(frozen=True, slots=True)
class About:
    """What a call is for.

    Attributes:
        model: As Homeroom names it: ``ENDPOINT/MODEL`` or ``ft:...``.
        purpose: ``tuning``, ``judging``, ``chat`` or ``data``.
        project: What it is counted under.
        method: Of the tuning that it serves; empty where none does.
        job_id: The job that made it; empty where none did.
    """

    model: str
    purpose: Purpose
    project: str = "default"
    method: str = ""
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a call."""

    prompt: int = 0
    completion: int = 0
    trained: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """A line of the ledger. Money in US dollars.

    Attributes:
        state: ``held`` while nobody knows what it cost, ``settled``, or ``released`` when it cost nothing.
        basis: ``billed``: from the tokens that the provider told; ``estimated``: at most, from the length of the text, or by a
            person's word; ``unpriced``: no price is known.
        usd: What counts: what is held while it is held, else what it cost.
        day: In UTC, on which it was begun.
    """

    id: str
    about: About
    state: str
    basis: Basis
    tokens: Tokens
    usd: float
    day: str
    created_at: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over lines.

    Attributes:
        key: Values of what was grouped by, in that order.
        calls: Lines that were not released.
        unpriced: Of them those whose price is not known.
        usd: Settled, in US dollars; ``estimated_usd`` is the part of it that is estimated.
        held_usd: Set aside for calls of which no answer came back.
    """

    key: tuple[str, ...]
    calls: int
    unpriced: int
    tokens: Tokens
    usd: float
    estimated_usd: float
    held_usd: float


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that calls of a kind may cost. ``*`` is any.

    Attributes:
        usd: US dollars.
        period: ``day`` and ``month`` begin anew at midnight UTC; ``total`` never does.
        spent_usd: Settled and held in the present period.
    """

    usd: float
    period: Period = "total"
    project: str = ANY
    model: str = ANY
    method: str = ANY
    purpose: str = ANY
    spent_usd: float = 0.0

    @property
    def scope(self) -> str:
        """What it is about, in words: ``chat with openai/gpt-4o-mini``."""
        named = [f"{name} {value}" for name in DIMENSIONS if (value := getattr(self, name)) != ANY]
        return ", ".join(named) or "everything"

    def covers(self, about: About) -> bool:
        """Whether the budget is about such calls."""
        return all(getattr(self, name) in (ANY, getattr(about, name)) for name in DIMENSIONS)


assert set(DIMENSIONS) <= {field.name for field in fields(About)} & {field.name for field in fields(Budget)}
