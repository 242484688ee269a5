"""The order of training: budgets kept, nothing lost, the same every time."""

from __future__ import annotations

import random

import pytest

from homeroom.tuning.huggingface.batches import Step, length_batches, padding_share, schedule
from tests.tuning.conftest import recipe_of

LENGTHS = [random.Random(3).randint(20, 250) for _ in range(150)]


def padded(batch: tuple[int, ...]) -> int:
    return len(batch) * max(LENGTHS[i] for i in batch)


def test_each_epoch_has_every_example_once_in_another_order() -> None:
    steps = schedule(LENGTHS, recipe_of(epochs=2, batch_tokens=1024, accumulation={"examples": 8}))
    orders = [[i for step in steps if step.epoch == epoch for i in step.indexes] for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(150))
    assert orders[0] != orders[1]


def test_micro_batches_keep_the_budget_of_padded_tokens_with_little_padding() -> None:
    steps = schedule(LENGTHS, recipe_of(epochs=1, batch_tokens=1024, accumulation={"examples": 8}))
    assert max(padded(batch) for step in steps for batch in step.micro_batches) <= 1024
    assert padding_share(LENGTHS, steps) < 0.06
    assert padding_share([10, 30], [Step(0, ((0, 1),))]) == pytest.approx(1 / 3)


def test_steps_accumulate_examples_or_tokens() -> None:
    by_examples = schedule(LENGTHS, recipe_of(epochs=1, batch_tokens=256, accumulation={"examples": 6}))
    assert {len(step.indexes) for step in by_examples[:-1]} <= set(range(6, 18))
    assert all(sum(len(b) for b in step.micro_batches[:-1]) < 6 for step in by_examples)
    by_tokens = schedule(LENGTHS, recipe_of(epochs=1, batch_tokens=256, accumulation={"tokens": 2000}))
    assert all(2000 <= sum(LENGTHS[i] for i in step.indexes) < 2256 for step in by_tokens[:-1])


def test_one_example_a_step_means_one() -> None:
    steps = schedule(LENGTHS, recipe_of(epochs=1, batch_tokens=1024, accumulation={"examples": 1}))
    assert [len(step.indexes) for step in steps] == [1] * 150


@pytest.mark.parametrize("budget", [1, 500, 5000, 40_000])
def test_the_token_budget_is_never_passed_once_something_is_trained(budget: int) -> None:
    steps = schedule(LENGTHS, recipe_of(epochs=2, batch_tokens=1024, max_trained_tokens=budget))
    tokens = sum(LENGTHS[i] for step in steps for i in step.indexes)
    assert steps
    assert all(step.indexes for step in steps)
    if budget == 1:
        assert len(steps[0].indexes) == 1
    elif sum(LENGTHS) * 2 > budget:
        assert budget - 250 < tokens <= budget
    else:
        assert tokens == sum(LENGTHS) * 2


def test_the_order_follows_from_the_seed() -> None:
    assert schedule(LENGTHS, recipe_of(seed=4)) == schedule(LENGTHS, recipe_of(seed=4)) != schedule(LENGTHS, recipe_of(seed=5))


def test_length_batches_hold_each_sequence_once() -> None:
    batches = length_batches(LENGTHS, 600)
    assert sorted(i for batch in batches for i in batch) == list(range(150))
    assert max(padded(batch) for batch in batches) <= 600
    assert length_batches([900], 600) == [(0,)]


def test_a_budget_is_shared_equally_by_what_is_taught() -> None:
    parts = ["learner" if i % 6 == 0 else "tutor" for i in range(len(LENGTHS))]
    budget = sum(LENGTHS) // 8
    recipe = recipe_of(epochs=1, batch_tokens=1024, accumulation={"examples": 2}, max_trained_tokens=budget, task="any")
    taken = [i for step in schedule(LENGTHS, recipe, parts) for i in step.indexes]
    tokens = {part: sum(LENGTHS[i] for i in taken if parts[i] == part) for part in ("learner", "tutor")}
    assert len(taken) == len(set(taken)) and 0.7 < tokens["learner"] / tokens["tutor"] < 1.4
    alone = [i for step in schedule(LENGTHS, recipe) for i in step.indexes]
    assert sum(LENGTHS[i] for i in alone if parts[i] == "learner") < 0.3 * sum(LENGTHS[i] for i in alone)


def test_a_part_that_has_nothing_left_leaves_the_rest_of_the_budget() -> None:
    parts = ["learner" if i < 3 else "tutor" for i in range(len(LENGTHS))]
    recipe = recipe_of(epochs=1, batch_tokens=1024, max_trained_tokens=sum(LENGTHS), task="any")
    assert sorted(i for step in schedule(LENGTHS, recipe, parts) for i in step.indexes) == list(range(len(LENGTHS)))
