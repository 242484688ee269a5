"""Hyperparameters of OpenAI's API and what they are here: "auto" resolved from data and base, and the recipe that they make.

The rules are ours and simple, so that they can be told; OpenAI's are not published.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from homeroom.app.fine_tuning.errors import FieldError
from homeroom.app.fine_tuning.request import JobRequest, Method
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_recipe

EPOCHS, MIN_SEEN, MAX_SEEN, MAX_EPOCHS = 3, 100, 25_000, 25
"""Three epochs, more of them until a hundred examples are seen, fewer beyond twenty-five thousand: OpenAI's cookbook says so."""
BATCH, MAX_BATCH, BATCH_SHARE = 8, 256, 0.002
DPO_SHARE_OF_RATE, BETA = 0.1, 0.1
MIN_RATE, MAX_RATE = 1e-9, 0.1
"""Learning rates: the most that a recipe takes, and what is so small that a job would teach nothing."""
NAME = "tuned"
ROUND_TOKENS, MIN_TOKENS, BATCH_TOKENS = 64, 64, 1024


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Resolved: every value a number. ``beta`` is None unless the method is ``dpo``."""

    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    beta: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the API reports them."""
        found = {
            "n_epochs": self.n_epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }
        return found if self.beta is None else {**found, "beta": self.beta}


def resolve(asked: JobRequest, examples: int) -> Hyperparameters:
    """The values in force for ``examples`` training examples: those asked for, and ours for those left to us."""
    given = asked.hyperparameters
    return Hyperparameters(
        n_epochs=int(given.get("n_epochs", auto_epochs(examples))),
        batch_size=int(given.get("batch_size", auto_batch(examples))),
        learning_rate_multiplier=float(given.get("learning_rate_multiplier", 1.0)),
        beta=float(given.get("beta", BETA)) if asked.method == "dpo" else None,
    )


def auto_epochs(examples: int) -> int:
    """How often all examples are seen: 10 for 10 examples, 3 from 34 on, 1 from 12,501 on."""
    if examples * EPOCHS < MIN_SEEN:
        return min(MAX_EPOCHS, max(EPOCHS, MIN_SEEN // examples))
    return max(1, min(EPOCHS, MAX_SEEN // examples))


def auto_batch(examples: int) -> int:
    """Examples of a step: an eighth of few, 8 from 64 on, 0.2% of very many, at most 256."""
    return min(MAX_BATCH, max(1, min(BATCH, examples // BATCH), math.ceil(examples * BATCH_SHARE)))


def base_rate(parameters_m: int, method: Method) -> float:
    """The learning rate that a multiplier of 1 means for a base of so many million parameters (0: not known).

    Larger models take smaller steps. A preference moves a model that speaks already, so a tenth of it.
    """
    rate = 5e-4 if parameters_m <= 500 else 2e-4 if parameters_m <= 4000 else 1e-4
    return rate * (DPO_SHARE_OF_RATE if method == "dpo" else 1.0)


def check_rate(asked: JobRequest, values: Hyperparameters, parameters_m: int) -> None:
    """Refuse a learning rate that no run survives, and one that teaches nothing.

    Raises:
        FieldError: it names the multipliers that are taken.
    """
    base = base_rate(parameters_m, asked.method)
    if not MIN_RATE <= values.learning_rate_multiplier * base <= MAX_RATE:
        raise FieldError(
            f"'learning_rate_multiplier' {values.learning_rate_multiplier:g} makes a learning rate of "
            f"{values.learning_rate_multiplier * base:g}; this base takes a multiplier from {MIN_RATE / base:g} to "
            f"{MAX_RATE / base:g}",
            param=f"{asked.given_in}.learning_rate_multiplier",
        )


def recipe_for(
    values: Hyperparameters, *, base: str, parameters_m: int, method: Method, suffix: str | None, seed: int, longest_tokens: int
) -> Recipe:
    """The run, as a recipe.

    Args:
        values: Resolved hyperparameters.
        base: Name of the base model here.
        parameters_m: Its millions of parameters; 0 when they are not known.
        method: ``supervised`` or ``dpo``.
        suffix: As the client wrote it.
        seed: Of the order of examples and of the first weights.
        longest_tokens: The longest sequence to be trained on.
    """
    limit = max(MIN_TOKENS, math.ceil(longest_tokens / ROUND_TOKENS) * ROUND_TOKENS)
    record: dict[str, Any] = {
        "name": NAME,
        "task": "any",
        "base": base,
        "suffix": model_suffix(suffix),
        "data": {"max_sequence_tokens": limit},
        "optimiser": {"learning_rate": base_rate(parameters_m, method) * values.learning_rate_multiplier},
        "epochs": values.n_epochs,
        "batch_tokens": max(BATCH_TOKENS, limit * (2 if method == "dpo" else 1)),
        "accumulation": {"examples": values.batch_size},
        "seed": seed,
        "validation": {"patience": 0},
        "generation": {"max_tokens": 256},
    }
    if method == "dpo":
        record |= {"objective": "dpo", "beta": values.beta}
    return parse_recipe(record)


def model_suffix(suffix: str | None) -> str:
    """A client's suffix as a model's name can hold it: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", (suffix or "").lower()).strip("-")
