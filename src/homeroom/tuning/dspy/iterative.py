"""BootstrapIterative: rounds of bootstrapping in which the best program so far teaches the next.

DSPy has no such optimiser. What is meant here: the train and the selection items are fixed. The start is the better of zero-shot
and labelled few-shot. In each round the incumbent (on the teacher's model, where there is one) answers every train item several
times, at a temperature, with every demonstration of that very question removed, so that it never sees its own answer. Replies at
or above the threshold become the demonstrations of a fresh program, which takes over only when it is strictly better on the
selection items. Rounds without a gain, a perfect score, or the budget end it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import mean
from typing import Any

import dspy

from homeroom.tuning.dspy.task import Bench, Candidate, NotTried, Program


def bootstrap_iterative(bench: Bench, tried: Sequence[Candidate]) -> Iterator[tuple[str, tuple[Program, ...]]]:
    """The program of each round in which something was accepted for showing; the caller scores them.

    Raises:
        NotTried: in the first round nothing was.
    """
    incumbent, best = _start(bench, tried)
    without_gain = 0
    for number in range(1, bench.recipe.rounds + 1):
        traces = _traces(bench, incumbent)
        if not traces and number == 1:
            asked = len(bench.pool) * bench.recipe.attempts
            raise NotTried(
                f"of {asked} replies to {len(bench.pool)} questions not one reached the threshold {bench.recipe.threshold:g}"
            )
        if not traces:
            return
        candidate = bench.student(incumbent.signature.instructions, _chosen(bench, traces, number))
        yield f"iterative round {number}, {len(candidate.demos)} its own", (candidate,)
        reached = mean(bench.score((candidate,)))  # from the replies that the caller has asked for just now
        if reached > best:
            incumbent, best, without_gain = candidate, reached, 0
        else:
            without_gain += 1
        if best >= 1 or without_gain >= bench.recipe.patience:
            return


def _start(bench: Bench, tried: Sequence[Candidate]) -> tuple[Program, float]:
    """The better of zero-shot and labelled few-shot, whichever were tried before; of equals the one that shows nothing."""
    known = {c.optimiser: c for c in tried if c.optimiser in ("zero-shot", "labelled")}
    if "zero-shot" not in known:
        student = bench.student()
        known["zero-shot"] = Candidate("zero-shot", "zero-shot", (student,), bench.score((student,)))
    if "labelled" not in known:
        shown = dspy.LabeledFewShot(k=bench.recipe.demonstrations).compile(bench.student(), trainset=bench.pool, sample=False)
        known["labelled"] = Candidate("labelled", "labelled", (shown,), bench.score((shown,)))
    start = min(known.values(), key=lambda c: (-c.score, c.size))
    return start.programs[0], start.score


def _traces(bench: Bench, teacher: Program) -> list[tuple[float, Any]]:
    """The best of the teacher's replies to each train item, where it reaches the threshold."""

    def attempt(example: Any) -> tuple[float, Any] | None:
        best: tuple[float, Any] | None = None
        for _ in range(bench.recipe.attempts):
            said = bench.reply(teacher, example, bench.fresh_teacher_lm)
            worth = bench.metric(example, said) if said is not None else 0.0
            if worth >= bench.recipe.threshold and (best is None or worth > best[0]):
                best = worth, dspy.Example(augmented=True, **example.inputs(), **dict(said.items()))
        return best

    with ThreadPoolExecutor(bench.concurrency, thread_name_prefix="attempt") as threads:
        found = list(threads.map(attempt, bench.pool))
    bench.desk.check()
    return [trace for trace in found if trace is not None]


def _chosen(bench: Bench, traces: Sequence[tuple[float, Any]], number: int) -> list[Any]:
    """The demonstrations of a round: the best traces, equals in a drawn order."""
    order = list(traces)
    random.Random(f"{bench.recipe.seed}-{number}").shuffle(order)
    order.sort(key=lambda trace: -trace[0])
    return [trace for _, trace in order[: bench.recipe.demonstrations]]
