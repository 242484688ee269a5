from __future__ import annotations

import random

import pytest

from homeroom.evaluation.compare import Resampler, difference, holm, least_p, mean, p_value, summarise, wilson

GROUPS = [f"g{i // 3}" for i in range(30)]


def test_intervals_hold_the_mean_and_are_repeatable() -> None:
    rng = random.Random(1)
    values = [rng.random() for _ in GROUPS]
    one = summarise("m", values, Resampler.of(GROUPS, seed=3))
    assert one == summarise("m", values, Resampler.of(GROUPS, seed=3))
    assert one.low is not None and one.high is not None and one.mean is not None and one.low < one.mean < one.high
    assert one.n == 30


def test_groups_are_drawn_whole() -> None:
    """Items that agree within a topic carry less evidence than the same values spread over topics."""
    values = [float(i // 3 % 2) for i in range(30)]
    by_topic = summarise("m", values, Resampler.of(GROUPS))
    by_item = summarise("m", values, Resampler.of([str(i) for i in range(30)]))
    assert by_topic.low is not None and by_item.low is not None and by_topic.low < by_item.low


def test_missing_values_are_left_out_and_too_few_groups_give_no_interval() -> None:
    resampler = Resampler.of(["a", "a", "b", "c"])
    found = summarise("m", [1.0, 0.0, None, None], resampler)
    assert (found.mean, found.low, found.high, found.n) == (0.5, None, None, 2)
    assert summarise("m", [None] * 4, resampler).mean is None
    assert Resampler.of(["a", "a"]).means([1.0, 0.0]) == []


def test_coverage_of_the_interval_is_near_its_level() -> None:
    rng, hits, runs = random.Random(5), 0, 120
    for run in range(runs):
        values = [float(rng.random() < 0.3) for _ in range(60)]
        found = summarise("m", values, Resampler.of([str(i) for i in range(60)], draws=200, seed=run))
        hits += found.low is not None and found.high is not None and found.low <= 0.3 <= found.high
    assert 0.88 <= hits / runs <= 0.99


def test_paired_difference_counts_in_the_direction_of_the_measure() -> None:
    resampler = Resampler.of(["a", "b", "c", "d"])
    up = difference("m", "higher", ("new", [1.0, 1.0, 0.0, None]), ("old", [0.0, 1.0, 1.0, 1.0]), resampler)
    assert (up.mean, up.n, up.wins, up.ties, up.losses) == (0.0, 3, 1, 1, 1)
    down = difference("m", "lower", ("new", [0.0, 0.0, 0.0, 0.0]), ("old", [1.0, 1.0, 1.0, 1.0]), resampler)
    assert (down.mean, down.wins, down.losses, down.p_better) == (-1.0, 4, 0, 1.0)
    fact = difference("m", "neither", ("new", [9.0] * 4), ("old", [1.0] * 4), resampler)
    assert (fact.wins, fact.ties, fact.losses, fact.p_better) == (0, 4, 0, None)
    same = difference("m", "higher", ("new", [1.0] * 4), ("old", [1.0] * 4), resampler)
    assert (same.ties, same.p_better) == (4, None)


def test_p_value_is_small_for_a_clear_gain_and_one_for_none() -> None:
    resampler = Resampler.of([str(i) for i in range(20)], draws=1000)
    clear = p_value([1.0] * 20, [0.0] * 20, resampler)
    assert clear == pytest.approx(2 / 1001)
    assert p_value([1.0] * 20, [1.0] * 20, resampler) == 1.0
    assert p_value([None] * 20, [1.0] * 20, resampler) is None


def test_few_groups_that_agree_are_no_proof() -> None:
    """Six topics that all favour one of two equal systems come up once in 32 times."""
    for groups in (2, 4, 6):
        resampler = Resampler.of([f"t{i // 4}" for i in range(4 * groups)], draws=1000)
        assert least_p([1.0] * 4 * groups, [0.0] * 4 * groups, resampler) == pytest.approx(2 / 2**groups)
    many = Resampler.of([str(i) for i in range(30)], draws=1000)
    assert least_p([1.0] * 3 + [0.0] * 27, [0.0] * 30, many) == pytest.approx(2 / 2**3), "of thirty only three differ"
    assert least_p([1.0] * 30, [1.0] * 30, many) == 1.0 and least_p([None] * 30, [1.0] * 30, many) == 1.0


@pytest.mark.parametrize("topics", [4, 6, 12])
def test_equal_systems_seldom_look_different(topics: int) -> None:
    rng, alarms, runs = random.Random(7), 0, 200
    resampler = Resampler.of([f"t{i % topics}" for i in range(24)], draws=200, seed=1)
    for _ in range(runs):
        easy = [rng.uniform(0.1, 0.9) for _ in range(topics)]
        bent = [[min(1.0, max(0.0, share + rng.gauss(0, 0.25))) for share in easy] for _ in range(2)]
        ours, theirs = ([float(rng.random() < own[i % topics]) for i in range(24)] for own in bent)
        p = p_value(ours, theirs, resampler)
        alarms += p is not None and max(p, least_p(ours, theirs, resampler)) < 0.05
    assert alarms / runs <= 0.09


def test_holm_is_monotone_and_never_below_the_raw_value() -> None:
    raw = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9}
    assert holm(raw) == {"a": pytest.approx(0.04), "c": pytest.approx(0.09), "b": pytest.approx(0.09), "d": pytest.approx(0.9)}
    assert holm({}) == {}


def test_wilson_does_not_believe_in_zero() -> None:
    assert wilson(0, 10)[1] == pytest.approx(0.2775, abs=1e-3)
    assert wilson(0, 16)[1] < 0.2 < wilson(0, 15)[1]
    assert wilson(5, 10) == (pytest.approx(0.2366, abs=1e-3), pytest.approx(0.7634, abs=1e-3))
    assert wilson(0, 0) == (0.0, 1.0)


def test_mean_of_nothing_is_none() -> None:
    assert mean([None, None]) is None
    assert mean([1.0, None, 0.0]) == 0.5
