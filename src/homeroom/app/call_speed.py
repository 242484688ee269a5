"""How long a call of a model takes, from what this home has seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING, Any

from homeroom.app.endpoints import endpoint_of

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

GUESS_S, GUESSED = 2.0, 4.0  # of an endpoint's model that nothing is known of, and how far off that may be
HERE_S, HERE_BYTES, HERE_TOKENS = 8.0, 145e6, 64  # a base on a processor: such a file and reply, two cores, four at a time
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

    seconds: float
    low_s: float
    high_s: float
    calls: int = 0
    reply_tokens: float = 0.0

    def times(self, factor: float) -> Speed:
        """So much of it, as for replies that are shorter."""
        return replace(self, seconds=self.seconds * factor, low_s=self.low_s * factor, high_s=self.high_s * factor)


def speed_of(home: Homeroom, name: str, reply_tokens: float) -> Speed:
    """Of the model ``name``, ``ENDPOINT/MODEL`` or a base here: from earlier searches, else the ledger's calls, else guessed.

    Args:
        home: The open home.
        name: Of the model.
        reply_tokens: Of a usual reply: what a guess goes by, where the model is here.
    """
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
    guess = GUESS_S
    if endpoint_of(home.settings, name) is None:
        guess = HERE_S * home.base_files(name).gguf.stat().st_size / HERE_BYTES * reply_tokens / HERE_TOKENS
    return Speed(guess, guess / GUESSED, guess * GUESSED)


def _asked(metrics: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """What a search asked of the model, by its metrics."""
    asked = metrics.get("asked")
    return [used for used in asked.values() if used.get("model") == name] if isinstance(asked, Mapping) else []
