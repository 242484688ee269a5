"""Prompts and weights: DSPy's `BootstrapFinetune` and `BetterTogether` on our tuners.

What a program answers well becomes what weights are trained on. The best prompt so far is the teacher, and no question is shown
its own answer. Every training begins with the base: better examples, not weights on weights (as in Zelikman et al. 2022,
https://arxiv.org/abs/2203.14465). Only what tunes imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.teleprompt.teleprompt import Teleprompter

from homeroom.errors import DataError, HomeroomError
from homeroom.schema.examples import Example
from homeroom.schema.jobs import JobCancelled
from homeroom.tuning.dspy.desk import Asked, CallDesk
from homeroom.tuning.dspy.library import SpecAdapter, model_of, twin
from homeroom.tuning.dspy.provider import none_good
from homeroom.tuning.dspy.task import Bench, Candidate, NotTried, Program
from homeroom.tuning.dspy.weights import WeightTrainer


@dataclass(slots=True)
class InRun:
    """Trains in the middle of a run. Implements the provider's ``Trains`` and ``Training``: there is one training at a time.

    Attributes:
        trainer: What does it.
        desk: Remembers what ends the run: DSPy's optimisers would go on without a word.
        tuned: Gets who answers with the weights, by the name that DSPy asks for.
        learnt: Conversations of each training, by that name.
        nothing: Whether a training had no conversation to begin with.
    """

    trainer: WeightTrainer
    desk: CallDesk
    tuned: dict[str, Asked] = field(default_factory=dict)
    learnt: dict[str, int] = field(default_factory=dict)
    nothing: bool = False
    _examples: Sequence[Example] = ()
    _state: str = "queued"

    def begin(self, model: str, examples: Sequence[Example], options: Mapping[str, Any]) -> InRun:
        """Note what is to be trained on.

        Raises:
            DataError: ``finetune-data``.
        """
        if not examples:
            self.nothing = True
            raise none_good()
        self._examples, self._state = examples, "running"
        return self

    def pause(self) -> None:
        """Free the memory that answering takes."""
        self.trainer.pause()

    def result(self) -> str:
        """Train: the name of the weights.

        Raises:
            What ended it, which also ends the run.
        """
        try:
            self.desk.check()
            made = self.trainer.train(self._examples)
        except (HomeroomError, JobCancelled) as error:
            self._state = "cancelled" if isinstance(error, JobCancelled) else "failed"
            self.desk.end(error)
            raise
        self.tuned[made.key] = made.asked
        self.learnt[made.key] = len(self._examples)
        self._state = "succeeded"
        return made.key

    def state(self) -> str:
        """Where it stands."""
        return self._state

    def cancel(self) -> None:
        """Nothing: the run itself is cancelled."""


class TraceAdapter(SpecAdapter):
    """As we serve, for gathering replies: no question is shown its own answer, and a reply without every field is none.

    DSPy would take that for a reply of the score -1, which is true in Python, and train on it.
    """

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.spec)
        self._bench = bench

    def format(self, signature: Any, demos: Sequence[Any], inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages of a request."""
        if self.is_ours(signature):
            demos = [d for d in demos if not self._bench.same_question(d, inputs)]
        return super().format(signature, demos, inputs)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The fields of a reply; empty ones where there are none."""
        try:
            return super().parse(signature, completion)
        except dspy.utils.exceptions.AdapterParseError:
            if not self.is_ours(signature):
                raise
            return dict.fromkeys(signature.output_fields)


class OwnReplies(Teleprompter):  # type: ignore[misc]  # untyped
    """`dspy.BootstrapFewShot` that asks the student's own model: DSPy's asks the base where the weights were tuned."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def compile(self, student: Any, *, trainset: Sequence[Any], **rest: Any) -> Any:
        """The student with its own good replies as demonstrations."""
        recipe = self._bench.recipe
        optimiser = dspy.BootstrapFewShot(
            metric=self._bench.metric,
            metric_threshold=recipe.threshold,
            max_bootstrapped_demos=recipe.demonstrations,
            max_labeled_demos=recipe.demonstrations,
            max_errors=1_000_000,
        )
        with dspy.context(lm=student.lm):
            made = optimiser.compile(student, trainset=list(trainset))
        made.lm = student.lm
        return made


def bootstrap_finetune(bench: Bench, tried: Sequence[Candidate]) -> Iterator[tuple[str, tuple[Program, ...]]]:
    """The weights that learnt what the best prompt so far makes the base say, asked without its demonstrations.

    Raises:
        NotTried: no reply reached the threshold.
    """
    lm, fresh_lm = bench.tracing
    best = _best(bench, tried)
    teachers = [twin(best, bench.spec, lm=one) for one in (lm, *[fresh_lm] * (bench.recipe.attempts - 1))]
    student = twin(best, bench.spec, (), lm=lm)
    optimiser = _finetune(bench, exclude_demos=True)
    made, _ = _compiled(bench, lambda: optimiser.compile(student, trainset=bench.pool, teacher=teachers))
    yield f"bootstrap finetune, {bench.weights.learnt[model_of(made)]} replies learnt", (twin(made, bench.spec, lm=made.lm),)


def better_together(bench: Bench, tried: Sequence[Candidate]) -> Iterator[tuple[str, tuple[Program, ...]]]:
    """The program after each step of the strategy: ``p`` chooses demonstrations, ``w`` trains weights.

    Raises:
        NotTried: no reply reached the threshold where weights were to be trained.
    """
    lm, _ = bench.tracing
    student = twin(_best(bench, tried), bench.spec, (), lm=lm)
    optimiser = dspy.BetterTogether(metric=bench.metric, p=OwnReplies(bench), w=_finetune(bench, exclude_demos=False))
    made, said = _compiled(
        bench,
        lambda: optimiser.compile(
            student,
            trainset=list(bench.pool),
            valset=bench.selection,
            num_threads=bench.concurrency,
            max_errors=1_000_000,
            seed=bench.recipe.seed,
            strategy=bench.recipe.strategy,
        ),
    )
    steps = sorted((c for c in made.candidate_programs if c["strategy"]), key=lambda c: len(c["strategy"]))
    for step in steps:
        program = step["program"]
        tied = program.lm if model_of(program) in bench.weights.tuned else None
        yield f"together {step['strategy']}", (twin(program, bench.spec, lm=tied),)
    if made.flag_compilation_error_occurred:  # by a fault that DSPy has only written to its log
        last = [line.strip() for line in said.splitlines() if line.strip()][-1:]
        raise _nothing(bench) if bench.weights.nothing else NotTried(f"a step failed: {''.join(last)}"[:200])


def _best(bench: Bench, tried: Sequence[Candidate]) -> Program:
    """The best single prompt so far; the program's own instructions where nothing was tried."""
    single = [c for c in tried if len(c.programs) == 1 and not c.weights]
    return min(single, key=lambda c: (-c.score, c.size)).programs[0] if single else bench.student()


def _finetune(bench: Bench, *, exclude_demos: bool) -> Any:
    def good(example: Any, prediction: Any, trace: Any = None) -> float:
        return float(bench.metric(example, prediction) >= bench.recipe.threshold)  # DSPy asks only whether it is not 0

    adapter = TraceAdapter(bench)
    return dspy.BootstrapFinetune(metric=good, adapter=adapter, exclude_demos=exclude_demos, num_threads=bench.concurrency)


def _compiled(bench: Bench, compile: Callable[[], Any]) -> tuple[Any, str]:
    """What an optimiser of DSPy's makes, and what it says."""
    try:
        with bench.library(bench.tracing[0], TraceAdapter(bench)) as said:
            return compile(), said.getvalue()
    except DataError as error:
        if error.code != "finetune-data":
            raise
        raise _nothing(bench) from error


def _nothing(bench: Bench) -> NotTried:
    return NotTried(f"not one reply to {len(bench.pool)} questions reached the threshold: nothing to train on")
