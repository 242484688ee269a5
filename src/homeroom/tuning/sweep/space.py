"""What a sweep may change, within which bounds, and how much it may take. The part ``sweep`` of a recipe file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from homeroom.tuning.recipe import Recipe

Rate = Annotated[float, Field(gt=0, le=0.1)]
Span = tuple[Rate, Rate]
Rank = Annotated[int, Field(ge=1, le=256)]
Alpha = Annotated[float, Field(gt=0, le=1024)]


@dataclass(frozen=True, slots=True)
class Point:
    """What one trial is trained with."""

    learning_rate: float
    rank: int
    alpha: float

    @classmethod
    def of(cls, recipe: Recipe) -> Point:
        """The recipe's own."""
        return cls(recipe.optimiser.learning_rate, recipe.lora.rank, recipe.lora.alpha)

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with these in place of its own."""
        optimiser = recipe.optimiser.model_copy(update={"learning_rate": self.learning_rate})
        lora = recipe.lora.model_copy(update={"rank": self.rank, "alpha": self.alpha})
        return recipe.model_copy(update={"optimiser": optimiser, "lora": lora})

    @property
    def text(self) -> str:
        """``learning rate 3.2e-04, rank 16, alpha 32``."""
        return f"learning rate {self.learning_rate:.2g}, rank {self.rank}, alpha {self.alpha:g}"


class SweepSpec(BaseModel):
    """Ranges, budget and seed of a sweep.

    Attributes:
        learning_rate: One or more ranges, each searched by its logarithm: full fine-tuning's usual 1e-5 to 5e-5, and LoRA's usual
            1e-4 to 5e-4. What lies between them is not tried.
        rank: Ranks to choose from.
        alpha: Alphas to choose from. The adapter's sum is scaled by alpha / rank.
        trials: Most trials of the study, those of earlier commands included.
        minutes: Most minutes of the study, those of earlier commands included; None sets no limit.
        checks: At least so often is a trial's validation loss measured, to stop those that do worse than the middle one did.
        seed: Of the search. The trials' own seed is the recipe's: they differ in nothing else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: tuple[Span, ...] = ((1e-5, 5e-5), (1e-4, 5e-4))
    rank: tuple[Rank, ...] = (8, 16, 32)
    alpha: tuple[Alpha, ...] = (16.0, 32.0, 64.0)
    trials: Annotated[int, Field(ge=1, le=1000)] = 8
    minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    checks: Annotated[int, Field(ge=2, le=100)] = 4
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    @field_validator("learning_rate")
    @classmethod
    def _ranges_rise(cls, spans: tuple[Span, ...]) -> tuple[Span, ...]:
        bounds = [bound for span in spans for bound in span]
        if not spans or any(low >= high for low, high in spans) or bounds != sorted(bounds):
            raise ValueError("each range must be [low, high] with low below high, and ranges must follow each other")
        return spans

    @field_validator("rank", "alpha")
    @classmethod
    def _choices_rise(cls, choices: tuple[float, ...]) -> tuple[float, ...]:
        if not choices or list(choices) != sorted(set(choices)):
            raise ValueError("choices must rise, each given once, and be one at least")
        return choices

    @property
    def length(self) -> float:
        """Length of all learning-rate ranges together, in natural logarithms."""
        return sum(math.log(high / low) for low, high in self.learning_rate)

    def rate_at(self, place: float) -> float:
        """The learning rate at ``place``, from 0 to `length` along the ranges laid end to end."""
        for low, high in self.learning_rate:
            here = math.log(high / low)
            if place <= here:
                return min(high, max(low, low * math.exp(place)))
            place -= here
        return self.learning_rate[-1][1]

    def place_of(self, rate: float) -> float | None:
        """The inverse of `rate_at`; None outside the ranges."""
        before = 0.0
        for low, high in self.learning_rate:
            if low <= rate <= high:
                return before + math.log(rate / low)
            before += math.log(high / low)
        return None

    def span_of(self, rate: float) -> Span | None:
        """The range that holds ``rate``."""
        return next((span for span in self.learning_rate if span[0] <= rate <= span[1]), None)

    def first_points(self, recipe: Recipe) -> list[Point]:
        """What is tried before anything is searched: the recipe's own, then the middle of each range with its adapter."""
        own = Point.of(recipe)
        rank = min(self.rank, key=lambda choice: abs(math.log(choice / own.rank)))
        alpha = min(self.alpha, key=lambda choice: abs(math.log(choice / own.alpha)))
        return [own, *(Point(math.sqrt(low * high), rank, alpha) for low, high in self.learning_rate)]
