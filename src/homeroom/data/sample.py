"""Nested samples: 50 examples within 100 within 200, each of them looking like the whole."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from homeroom.errors import ConfigError
from homeroom.schema.examples import Example

STRATA = ("subject", "grade_band", "question_type")


def nested_order(examples: Sequence[Example], seed: int = 0) -> list[Example]:
    """The examples in an order of which every beginning is a stratified sample.

    Within each cell (task, subject, grade band, question type) examples are shuffled; the i-th of n then stands at (i + u) / n of
    the whole, with a u of the cell's own between 0 and 1. So each beginning holds its share of each cell, rounded up or down, and
    small cells do not all come first.
    """
    rng = random.Random(f"sample-{seed}")
    cells: dict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in examples:
        cells[(example.task, *(str(example.metadata.get(name, "")) for name in STRATA))].append(example)
    placed: list[tuple[float, int, Example]] = []
    for number, cell in enumerate(sorted(cells)):
        members = sorted(cells[cell], key=lambda e: e.id)
        rng.shuffle(members)
        offset = rng.random()
        placed += [((index + offset) / len(members), number, example) for index, example in enumerate(members)]
    placed.sort(key=lambda entry: entry[:2])
    return [example for _, _, example in placed]


def nested_samples(examples: Sequence[Example], sizes: Sequence[int], seed: int = 0) -> dict[int, list[Example]]:
    """Size to sample, each within the next larger one; in file order, so that only the choice differs.

    Raises:
        ConfigError: a size is not between 1 and the number of examples (``sample-size``).
    """
    wrong = [size for size in sizes if not 1 <= size <= len(examples)]
    if wrong or not sizes:
        raise ConfigError(
            f"A sample of {wrong[0] if wrong else 'no'} examples cannot be drawn from {len(examples)}. "
            "Name sizes between 1 and that, such as --sizes 50,100,200.",
            code="sample-size",
        )
    order = nested_order(examples, seed)
    places = {id(example): index for index, example in enumerate(examples)}
    return {size: sorted(order[:size], key=lambda e: places[id(e)]) for size in sorted(set(sizes))}
