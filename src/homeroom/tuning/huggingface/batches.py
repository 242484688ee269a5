"""The order of training: which sequences form a micro-batch, which micro-batches a step. Known in full before the first step.

Sequences are shuffled, sorted by length within a window, cut into micro-batches of a budget of *padded* tokens, and the
micro-batches are
shuffled: little padding, and steps that still mix short and long examples. Everything follows from the lengths and the seed,
so a plan is exact and a resumed run continues at a step number.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from homeroom.tuning.recipe import Recipe

WINDOW = 64
"""Sequences sorted together: a few steps' worth, so that an epoch is not sorted as a whole."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step: indexes of sequences, one tuple for each micro-batch. ``epoch`` counts from 0."""

    epoch: int
    micro_batches: tuple[tuple[int, ...], ...]

    @property
    def indexes(self) -> tuple[int, ...]:
        """Every sequence of the step."""
        return tuple(index for batch in self.micro_batches for index in batch)


def schedule(lengths: Sequence[int], recipe: Recipe, parts: Sequence[str] = ()) -> list[Step]:
    """Every step of a run over sequences of these input lengths, until the epochs or the token budget end.

    The budget is met to the example: the last step takes only sequences that fit what is left of it (at least one in all).

    Args:
        lengths: Input tokens of each sequence.
        recipe: Epochs, budget, batches, seed.
        parts: What each sequence teaches. A budget is shared equally among several, for as long as each has examples: otherwise
            the part with fewer of them would get less of what is little already.
    """
    steps: list[Step] = []
    left = recipe.max_trained_tokens
    for epoch in range(recipe.epochs):
        for step in _epoch(lengths, recipe, epoch, parts, left):
            needed = sum(lengths[i] for i in step.indexes)
            if left is not None and needed > left:
                last = _within(step, lengths, left, at_least_one=not steps)
                return [*steps, last] if last.indexes else steps
            steps.append(step)
            left = None if left is None else left - needed
    return steps


def length_batches(lengths: Sequence[int], batch_tokens: int) -> list[tuple[int, ...]]:
    """Indexes in micro-batches of at most ``batch_tokens`` padded tokens (one sequence at least), shortest first."""
    return _cut(sorted(range(len(lengths)), key=lambda i: (lengths[i], i)), lengths, batch_tokens)


def padding_share(lengths: Sequence[int], steps: Sequence[Step]) -> float:
    """Share of positions that hold padding, 0 to 1."""
    batches = [batch for step in steps for batch in step.micro_batches]
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths[i] for batch in batches for i in batch) / padded if padded else 0.0


def _epoch(lengths: Sequence[int], recipe: Recipe, epoch: int, parts: Sequence[str], left: int | None) -> list[Step]:
    rng = random.Random(f"order-{recipe.seed}-{epoch}")
    order = list(range(len(lengths)))
    rng.shuffle(order)
    if left is not None and len(set(parts)) > 1:
        order = _in_equal_shares(order, lengths, parts, left)
    batches: list[tuple[int, ...]] = []
    for start in range(0, len(order), WINDOW):
        window = sorted(order[start : start + WINDOW], key=lambda i: lengths[i])
        cut = _cut(window, lengths, recipe.batch_tokens, recipe.accumulation.examples)
        rng.shuffle(cut)
        batches += cut
    return _grouped(batches, lengths, recipe, epoch)


def cut(micro_batches: Sequence[tuple[int, ...]], split: int) -> list[tuple[int, ...]]:
    """Each micro-batch in at most ``split`` parts of equal size. The loss of a step is a mean over all of them, so it stays."""
    sizes = [math.ceil(len(batch) / split) for batch in micro_batches]
    return [batch[at : at + size] for batch, size in zip(micro_batches, sizes, strict=True) for at in range(0, len(batch), size)]


def _in_equal_shares(order: Sequence[int], lengths: Sequence[int], parts: Sequence[str], left: int) -> list[int]:
    """What is worth ``left`` tokens: each part in its order, the next one always of the part that has had the fewest tokens."""
    queues: dict[str, deque[int]] = {}
    for index in order:
        queues.setdefault(parts[index], deque()).append(index)
    tokens = dict.fromkeys(queues, 0)
    dealt: list[int] = []
    while queues and sum(tokens.values()) < left:
        part = min(queues, key=lambda name: (tokens[name], name))
        dealt.append(queues[part].popleft())
        tokens[part] += lengths[dealt[-1]]
        if not queues[part]:
            del queues[part]
    return dealt


def _cut(order: Sequence[int], lengths: Sequence[int], batch_tokens: int, most: int | None = None) -> list[tuple[int, ...]]:
    batches: list[list[int]] = []
    for index in order:
        last = batches[-1] if batches else None
        longest = max(lengths[index], *(lengths[i] for i in last)) if last else 0
        if last is None or longest * (len(last) + 1) > batch_tokens or len(last) == most:
            batches.append([index])
        else:
            last.append(index)
    return [tuple(batch) for batch in batches]


def _grouped(batches: Sequence[tuple[int, ...]], lengths: Sequence[int], recipe: Recipe, epoch: int) -> list[Step]:
    """Whole micro-batches until the step holds what the recipe's accumulation asks for."""
    want = recipe.accumulation
    steps: list[Step] = []
    open_batches: list[tuple[int, ...]] = []
    for batch in batches:
        open_batches.append(batch)
        indexes = [i for b in open_batches for i in b]
        size, goal = (sum(lengths[i] for i in indexes), want.tokens) if want.tokens else (len(indexes), want.examples)
        if goal is not None and size >= goal:
            steps.append(Step(epoch, tuple(open_batches)))
            open_batches = []
    return [*steps, Step(epoch, tuple(open_batches))] if open_batches else steps


def _within(step: Step, lengths: Sequence[int], left: int, *, at_least_one: bool) -> Step:
    batches: list[tuple[int, ...]] = []
    for batch in step.micro_batches:
        kept: list[int] = []
        for index in batch:
            if lengths[index] <= left or (at_least_one and not batches and not kept):
                kept.append(index)
                left -= lengths[index]
        if kept:
            batches.append(tuple(kept))
    return Step(step.epoch, tuple(batches))
