"""Candidates: one function for each optimiser of a recipe. Most are DSPy's own, with the settings that few examples need.

Scores that an optimiser gives itself are not used: every candidate is scored anew on all selection items, from kept replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dspy

from homeroom.tuning.dspy.iterative import bootstrap_iterative
from homeroom.tuning.dspy.recipe import MEMBERS
from homeroom.tuning.dspy.task import Bench, Candidate, NotTried, Program
from homeroom.tuning.dspy.together import better_together, bootstrap_finetune

Named = Iterator[tuple[str, tuple[Program, ...]]]
"""Labels and programs."""

Make = Callable[[Bench, Sequence[Candidate], Any], Named]
"""Bench, candidates so far, prompt model (None without one)."""


def _plain(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    if bench.recipe.own_program:
        yield "plain, the signature's own instructions", (bench.student(),)
    else:
        yield "plain", (bench.student(""),)


def _zero_shot(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    yield "zero-shot", (bench.student(),)


def _labelled(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    shots = bench.recipe.demonstrations
    made = dspy.LabeledFewShot(k=shots).compile(bench.student(), trainset=bench.pool, sample=False)
    yield f"labelled, {len(made.demos)} shown", (made,)


def _bootstrap(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    shots = bench.recipe.demonstrations
    optimiser = dspy.BootstrapFewShot(
        metric=bench.metric,
        metric_threshold=bench.recipe.threshold,  # without it any score but 0 is taken for success
        max_bootstrapped_demos=shots,
        max_labeled_demos=shots,
        max_errors=1_000_000,  # the desk decides what is too much
        teacher_settings={"lm": bench.teacher_lm},
    )
    with bench.library():
        made = optimiser.compile(bench.student(), trainset=bench.pool)
    yield f"bootstrap, {_own(made)} of {len(made.demos)} its own", (made,)


def _random_search(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    shots, number = bench.recipe.demonstrations, bench.recipe.candidates
    optimiser = dspy.BootstrapFewShotWithRandomSearch(
        metric=bench.metric,
        metric_threshold=bench.recipe.threshold,
        max_bootstrapped_demos=shots,
        max_labeled_demos=shots,
        num_candidate_programs=number,
        num_threads=bench.concurrency,
        max_errors=1_000_000,
        teacher_settings={"lm": bench.teacher_lm},
    )
    for seed in range(number):  # one at a time: the budget may end between two
        with bench.library():
            best = optimiser.compile(bench.student(), trainset=bench.pool, valset=bench.selection[:1], restrict=[seed])
            made = best.candidate_programs[0]["program"]
        yield f"random search {seed + 1}, {_own(made)} of {len(made.demos)} its own", (made,)


def _iterative(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    yield from bootstrap_iterative(bench, tried)


def _ensemble(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    single = sorted((c for c in tried if len(c.programs) == 1 and not c.weights), key=lambda c: (-c.score, c.size))
    programs = tuple(c.programs[0] for c in single[: min(MEMBERS, bench.recipe.candidates)])
    if len(programs) < 2:
        raise NotTried(f"an ensemble is made of two prompts at least, and {len(programs)} could be scored")
    yield f"ensemble of {len(programs)}", programs


def _gepa(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        feedback = bench.judge.advice(bench.item_of(gold), bench.text_of(pred)) or "Nothing is missing."
        return dspy.Prediction(score=bench.metric(gold, pred), feedback=feedback)

    optimiser = dspy.GEPA(
        metric=metric,
        max_metric_calls=max(len(bench.selection) * 3, min(bench.desk.left // 2, 200)),
        reflection_lm=writer,
        num_threads=bench.concurrency,
        seed=bench.recipe.seed,
        use_merge=False,  # merges need several predictors
    )
    with bench.library():
        made = optimiser.compile(bench.student(), trainset=bench.pool, valset=bench.selection)
    yield f"gepa, {_told(bench, made)}", (made,)


def _mipro(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    shots, number = bench.recipe.demonstrations, bench.recipe.candidates
    optimiser = dspy.MIPROv2(
        metric=bench.metric,
        prompt_model=writer,
        task_model=bench.lm,
        auto=None,
        num_candidates=number,
        max_bootstrapped_demos=shots,
        max_labeled_demos=shots,
        metric_threshold=bench.recipe.threshold,
        num_threads=bench.concurrency,
        max_errors=1_000_000,
        seed=bench.recipe.seed,
        verbose=False,
    )
    with bench.library():
        made = optimiser.compile(
            bench.student(), trainset=bench.pool, valset=bench.selection, num_trials=number * 2, minibatch=False
        )
    yield f"mipro, {_told(bench, made)}, {len(made.demos)} shown", (made,)


def _bootstrap_finetune(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    yield from bootstrap_finetune(bench, tried)


def _better_together(bench: Bench, tried: Sequence[Candidate], writer: Any) -> Named:
    yield from better_together(bench, tried)


def _told(bench: Bench, program: Program) -> str:
    """Whether an optimiser found instructions that are better than those it began with."""
    same = program.signature.instructions.strip() == bench.student().signature.instructions.strip()
    return "no better instructions found" if same else "new instructions"


def _own(program: Program) -> int:
    """Demonstrations that are the model's own replies."""
    return sum(bool(demo.get("augmented")) for demo in program.demos)


OPTIMISERS: Mapping[str, Make] = {
    "plain": _plain,
    "zero-shot": _zero_shot,
    "labelled": _labelled,
    "bootstrap": _bootstrap,
    "random-search": _random_search,
    "iterative": _iterative,
    "ensemble": _ensemble,
    "gepa": _gepa,
    "mipro": _mipro,
    "bootstrap-finetune": _bootstrap_finetune,
    "better-together": _better_together,
}
