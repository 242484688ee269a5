"""How many calls a search takes, of each model that it asks: what is usual, and the most that its optimisers can ask for.

Nobody knows beforehand how many replies will be good enough to be shown, nor when rounds stop gaining. What is *usual* here takes
half of the replies for good ones. No DSPy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from homeroom.tuning.dspy.recipe import PROMPT_MODEL, WEIGHTS, DspyRecipe, Optimiser, Part

GOOD = 0.5
"""Share of replies that are taken to reach the threshold."""

GEPA_CALLS, GEPA_BATCH = 200, 3  # scores that GEPA asks for at most, and questions that it looks at before it writes
GEPA_NEW = 0.65  # share of its scores whose replies it has not seen before, as seen on scripted models
MIPRO_BATCH, MIPRO_VIEWS = 10, 10  # examples that MIPROv2 describes at a time, and times that it does so at most


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one model in one search.

    Attributes:
        usual: Expected.
        low: Where replies are good at once and rounds gain nothing.
        most: What the optimisers can ask for.
        in_turn: Of the usual ones, those that wait for one another; the rest is asked side by side.
    """

    usual: float = 0.0
    low: float = 0.0
    most: float = 0.0
    in_turn: float = 0.0

    def __add__(self, other: Calls) -> Calls:
        return Calls(self.usual + other.usual, self.low + other.low, self.most + other.most, self.in_turn + other.in_turn)

    def of(self, usual: float, low: float, most: float) -> Calls:
        """These shares of it."""
        return Calls(self.usual * usual, self.low * low, self.most * most, self.in_turn * usual)


Asks = Mapping[Part, Calls]


def gepa_scores(items: int, left: int) -> int:
    """Scores that GEPA may ask for: enough to look at the selection items three times, and no more than half of what is left."""
    return max(items * 3, min(left // 2, GEPA_CALLS))


def expected_calls(recipe: DspyRecipe, pool: int, items: int, *, leave_one_out: bool = False) -> dict[Part, Calls]:
    """Calls of the run by who is asked, within its budget.

    Args:
        recipe: What is tried.
        pool: Examples that demonstrations are made of.
        items: Selection items.
        leave_one_out: Whether there are too few examples for optimisers that must keep some apart.
    """
    found: dict[Part, Calls] = {}
    usual = low = most = float(recipe.max_calls)
    for asks in _asks(recipe, pool, items, leave_one_out):
        whole = sum(asks.values(), Calls())
        shares = tuple(_share(left, need) for left, need in ((usual, whole.usual), (low, whole.low), (most, whole.most)))
        usual, low, most = usual - whole.usual * shares[0], low - whole.low * shares[1], most - whole.most * shares[2]
        for part, calls in asks.items():
            cut = calls.of(shares[0], shares[1], 1.0)
            found[part] = found.get(part, Calls()) + cut
    return {part: Calls(c.usual, c.low, min(c.most, recipe.max_calls), c.in_turn) for part, c in found.items()}


def wanted_calls(recipe: DspyRecipe, pool: int, items: int, *, leave_one_out: bool = False) -> int:
    """The most calls that the optimisers can ask for, whatever the budget."""
    return round(sum(calls.most for asks in _asks(recipe, pool, items, leave_one_out) for calls in asks.values()))


def _share(left: float, need: float) -> float:
    return min(1.0, left / need) if need else 0.0


def _asks(recipe: DspyRecipe, pool: int, items: int, leave_one_out: bool) -> list[Asks]:
    """What each optimiser asks for, in the order in which they are tried."""
    apart = (*PROMPT_MODEL, *WEIGHTS) if leave_one_out else ()
    names = [name for name in recipe.tried if name not in apart and (name not in PROMPT_MODEL or recipe.prompt_model)]
    return [_of(name, recipe, pool, items) for name in names]


def _of(name: Optimiser, recipe: DspyRecipe, pool: int, items: int) -> Asks:
    teaches: Part = "teacher" if recipe.teacher_model else "task"
    score = Calls(items, items, items)
    shots = min(recipe.demonstrations, pool)
    if name in ("plain", "zero-shot", "labelled"):
        return {"task": score}
    if name == "bootstrap":
        return _joined(("task", score), (teaches, _bootstrapped(pool, shots, shots)))
    if name == "random-search":  # the sets are of any size up to all shots, and some are the same
        sets = recipe.candidates
        each = _bootstrapped(pool, (shots + 1) / 2, min(1, pool))
        return _joined(("task", score.of(sets, 1, sets)), (teaches, each.of(sets, sets, sets)))
    if name == "iterative":
        rounds = (min(recipe.patience, recipe.rounds) + recipe.rounds) / 2
        start = len({"zero-shot", "labelled"} - set(recipe.tried))  # it begins with the better of both
        attempts = Calls(recipe.attempts * pool, recipe.attempts * pool, recipe.attempts * pool)
        scored = score.of(rounds + start, start, recipe.rounds + start)
        return _joined(("task", scored), (teaches, attempts.of(rounds, 1, recipe.rounds)))
    if name == "gepa":
        return _gepa(recipe, items)
    if name == "mipro":
        return _mipro(recipe, pool, items)
    if name == "bootstrap-finetune":
        replies = recipe.attempts * pool
        return {"task": score + Calls(replies, replies, replies)}
    if name == "better-together":
        steps = recipe.strategy.count("->") + 1
        most = Calls(pool + items, shots + items, pool + items)
        return {"task": most.of(steps, steps, steps) + score}
    return {}  # ensemble: its members have answered already


def _joined(*asks: tuple[Part, Calls]) -> Asks:
    found: dict[Part, Calls] = {}
    for part, calls in asks:
        found[part] = found.get(part, Calls()) + calls
    return found


def _bootstrapped(pool: int, shots: float, low: int) -> Calls:
    """One example after the other, until enough replies are good."""
    usual = min(pool, ceil(shots / GOOD))
    return Calls(usual, low, pool, usual)


def _gepa(recipe: DspyRecipe, items: int) -> Asks:
    scores = gepa_scores(items, recipe.max_calls)
    rounds = (scores - items) / (2 * GEPA_BATCH + items / 3)  # a third of what is written is scored on every item
    task = Calls(items + (scores - items) * GEPA_NEW, items, scores + 2 * items + 2 * GEPA_BATCH, items / 2)
    writer = Calls(rounds, 0, scores // (2 * GEPA_BATCH) + 2, rounds)
    return {"task": task, "writer": writer}


def _mipro(recipe: DspyRecipe, pool: int, items: int) -> Asks:
    number = recipe.candidates
    demos = _bootstrapped(pool, recipe.demonstrations, min(1, pool)).of(max(0, number - 2), 1, number)
    trials = Calls((2 * number + 1) * items * 0.8, number * items, (2 * number + 2) * items)  # some are tried twice
    written = 3 * number + 1 + min(MIPRO_VIEWS, max(1, ceil(pool / MIPRO_BATCH)))
    return {"task": demos + trials, "writer": Calls(written, written / 2, 2 * written, written)}
