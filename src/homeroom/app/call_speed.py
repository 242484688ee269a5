"""How long a call of a model takes, from what this home has seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

GUESS_S, GUESS_LOW_S, GUESS_HIGH_S = 2.0, 0.5, 8.0  # of a model that nothing is known of
ENOUGH = 5  # calls, below which nothing is known
SEARCHED, CALLED = 1.6, 2.5  # how far off a mean of calls may be: of earlier searches, and of calls of any kind


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of a call.

    Attributes:
        seconds: Expected; four of five searches should have a mean between ``low_s`` and ``high_s``.
        calls: From which it is known; 0 for a guess.
        reply_tokens: Of a reply, where earlier searches tell; 0 where they do not.
    """

    seconds: float = GUESS_S
    low_s: float = GUESS_LOW_S
    high_s: float = GUESS_HIGH_S
    calls: int = 0
    reply_tokens: float = 0.0


def speed_of(home: Homeroom, name: str) -> Speed:
    """Of the model ``name``, ``ENDPOINT/MODEL`` or a base here: from earlier searches, else the ledger's calls, else guessed."""
    runs = [asked for model in home.registry.list() if model.method == "dspy" for asked in _asked(model.metrics, name)]
    sent = sum(int(asked["sent"]) for asked in runs)
    if sent >= ENOUGH:
        seconds = sum(float(asked["seconds"]) for asked in runs) / sent
        tokens = sum(int(asked["completion_tokens"]) for asked in runs) / sent
        return Speed(seconds, seconds / SEARCHED, seconds * SEARCHED, sent, tokens)
    took = home.ledger.call_seconds(name)
    if len(took) >= ENOUGH:
        seconds = mean(took)
        return Speed(seconds, seconds / CALLED, seconds * CALLED, len(took))
    return Speed()


def _asked(metrics: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """What a search asked of the model, by its metrics."""
    asked = metrics.get("asked")
    return [used for used in asked.values() if used.get("model") == name] if isinstance(asked, Mapping) else []
