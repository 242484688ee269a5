"""Comparison: percentile bootstrap by group, paired differences, and Holm's correction for looking more than once.

Items of one topic resemble one another, so whole groups are drawn, not items. All systems and measures share one set of
draws: a difference is paired in
every draw. Pure Python: 2,000 draws over 200 groups take about 20 ms for a measure.

Sources: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; Holm 1979, A Simple Sequentially
Rejective Multiple Test Procedure; Wilson 1927 for proportions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeroom.schema.evaluation import Difference, Direction, MetricSummary

DRAWS = 2000
LEVEL = 0.95
FEW_GROUPS = 8
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Resampler:
    """Draws of groups, fixed by a seed. ``index`` gives each item its group's number."""

    index: tuple[int, ...]
    groups: int
    draws: tuple[tuple[int, ...], ...]
    level: float = LEVEL

    @classmethod
    def of(cls, groups: Sequence[str], *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL) -> Resampler:
        """A resampler for items whose groups (topics, or item ids) are given in order."""
        order = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        rng, count = random.Random(seed), len(order)
        drawn = tuple(tuple(rng.choices(range(count), k=count)) for _ in range(draws)) if count > 1 else ()
        return cls(tuple(order[name] for name in groups), count, drawn, level)

    def means(self, values: Values) -> list[float]:
        """Sorted means over the draws, leaving out None; empty below two groups with values.

        A draw without any value is skipped.
        """
        sums, counts = [0.0] * self.groups, [0] * self.groups
        for group, value in zip(self.index, values, strict=True):
            if value is not None:
                sums[group] += value
                counts[group] += 1
        if sum(1 for count in counts if count) < 2:
            return []
        found = []
        for draw in self.draws:
            n = sum([counts[g] for g in draw])
            if n:
                found.append(math.fsum([sums[g] for g in draw]) / n)
        return sorted(found)

    def differing(self, deltas: Values) -> int:
        """How many groups have a difference: a sum that is not 0."""
        sums = [0.0] * self.groups
        for group, delta in zip(self.index, deltas, strict=True):
            sums[group] += delta or 0.0
        return sum(abs(value) > 1e-12 for value in sums)

    def interval(self, means: Sequence[float]) -> tuple[float | None, float | None]:
        """Percentile interval of sorted means; (None, None) when there are none."""
        if not means:
            return None, None
        tail = (1 - self.level) / 2
        last = len(means) - 1
        return means[round(tail * last)], means[round((1 - tail) * last)]


def mean(values: Values) -> float | None:
    """The mean of the values that are there; None when none is."""
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


def summarise(name: str, values: Values, resampler: Resampler) -> MetricSummary:
    """Mean and interval of one measure for one system."""
    low, high = resampler.interval(resampler.means(values))
    return MetricSummary(name, mean(values), low, high, sum(value is not None for value in values))


def _deltas(candidate: Values, control: Values) -> list[float | None]:
    return [None if a is None or b is None else a - b for a, b in zip(candidate, control, strict=True)]


def difference(
    name: str, direction: Direction, candidate: tuple[str, Values], control: tuple[str, Values], resampler: Resampler
) -> Difference:
    """Candidate minus control on the items where both have a value.

    Wins and losses follow the measure's direction; where it has none every item is a tie, and ``p_better`` is None, as
    it is where no item differs.
    """
    deltas = _deltas(candidate[1], control[1])
    present = [delta for delta in deltas if delta is not None]
    means = resampler.means(deltas)
    low, high = resampler.interval(means)
    sign = {"higher": 1, "lower": -1, "neither": 0}[direction]
    wins = sum(sign * delta > 1e-12 for delta in present)
    losses = sum(sign * delta < -1e-12 for delta in present)
    better = sum(sign * value > 0 for value in means) / len(means) if means and (wins or losses) else None
    return Difference(
        name, candidate[0], control[0], mean(deltas), low, high, len(present), wins, len(present) - wins - losses, losses, better
    )


def p_value(candidate: Values, control: Values, resampler: Resampler) -> float | None:
    """Two-sided bootstrap p of "no difference".

    Twice the smaller share of draws on either side of zero, never below 2 / (draws + 1).
    """
    means = resampler.means(_deltas(candidate, control))
    if not means:
        return None
    below, above = sum(value <= 0 for value in means), sum(value >= 0 for value in means)
    return min(1.0, 2 * (min(below, above) + 1) / (len(means) + 1))


def least_p(candidate: Values, control: Values, resampler: Resampler) -> float:
    """What no p of so few groups may be below: 2 / 2^k, where k groups differ.

    That all of them differ in one direction happens so often by chance alone (Fisher 1935, The Design of Experiments, section
    21), and draws of few groups that agree never see it.
    """
    return min(1.0, 2.0 ** (1 - resampler.differing(_deltas(candidate, control))))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: together they are wrong with at most the chance that one alone would be."""
    adjusted: dict[str, float] = {}
    highest, count = 0.0, len(p_values)
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: (pair[1], pair[0]))):
        highest = max(highest, min(1.0, (count - rank) * p))
        adjusted[name] = highest
    return adjusted


def wilson(successes: float, n: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a proportion. Unlike the bootstrap it stays honest at 0 of n: 0 of 10 may still be 28 in 100."""
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))
