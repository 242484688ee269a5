"""The training loop. Read it top to bottom: `train` is the whole run, each function below is one line of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import ConfigError
from homeroom.schema.jobs import JobCancelled, Reporter
from homeroom.tuning.huggingface import checkpoint
from homeroom.tuning.huggingface.attempts import Attempts
from homeroom.tuning.huggingface.batches import Step, cut
from homeroom.tuning.huggingface.loss import Totals
from homeroom.tuning.huggingface.memory import free_memory, memory_errors, no_room_for_optimiser, refused
from homeroom.tuning.huggingface.model import LoraModel
from homeroom.tuning.huggingface.objective import Objective
from homeroom.tuning.huggingface.progress import Progress
from homeroom.tuning.huggingface.schedule import (
    learning_rate,
    make_optimiser,
    optimiser_step,
    optimiser_tensors,
    restore_optimiser,
)
from homeroom.tuning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the history: a step, or the validation before the first one (step 0).

    Losses are nats per label token, of preferences nats per pair; accuracies are shares of tokens, or of pairs.
    """

    step: int
    epoch: float
    tokens: int
    learning_rate: float = 0.0
    train_loss: float | None = None
    train_accuracy: float | None = None
    gradient_norm: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None


@dataclass(slots=True)
class State:
    """Where a run is. Everything here and the tensors beside it are in each checkpoint, so a resumed run is the same run.

    Attributes:
        split: In how many parts each micro-batch is computed: doubled whenever memory runs out.
        diverged_step: Where the loss stopped being a number, and the run with it; 0 when it did not.
        sound_step: The last step whose weights gave a loss that is a number, while validation has seen no best ones.
    """

    step: int = 0
    tokens: int = 0
    label_tokens: int = 0
    validated_step: int = -1
    best_step: int = 0
    best_loss: float = math.inf
    misses: int = 0  # validations since the best one
    seconds: float = 0.0
    finished: bool = False
    compute: str = ""
    split: int = 1
    diverged_step: int = 0
    sound_step: int = 0
    history: list[Row] = field(default_factory=list)


Publish = Callable[[int, Row, bool], None]
"""Called at a milestone, while the model holds its weights: the step, its row, and whether validation was never better."""


@dataclass(frozen=True, slots=True)
class Run:
    """The parts of a run, fixed before its first step."""

    model: LoraModel
    recipe: Recipe
    objective: Objective
    steps: Sequence[Step]
    folder: Path  # of the checkpoints
    reporter: Reporter
    optimiser: torch.optim.AdamW
    best: dict[str, torch.Tensor]  # the best LoRA weights so far; empty before there are any
    sound: dict[str, torch.Tensor]  # those of `State.sound_step`; empty where that is 0 or there are best ones
    publish: Publish | None
    batch_done: Callable[[], None]


def train(
    model: LoraModel,
    recipe: Recipe,
    objective: Objective,
    steps: Sequence[Step],
    folder: Path,
    reporter: Reporter,
    publish: Publish | None = None,
    batch_done: Callable[[], None] = lambda: None,
    attempts: Attempts | None = None,
) -> State:
    """Train ``model`` in place and leave its best weights in it (the last ones when there is nothing to validate on).

    Continues from the newest whole checkpoint in ``folder``; on one machine and thread count the result is then bit for bit
    that of an uninterrupted run. Where memory runs out it goes on with smaller micro-batches and the same steps; where the loss
    stops being a number it ends there, with the best weights so far, or else the last ones whose loss was a number.
    ``batch_done`` is called after each micro-batch; ``attempts`` is told of each step and bounds the size of micro-batches.

    Raises:
        JobCancelled: the reporter asked to stop; a checkpoint was written first.
        ConfigError: ``loss-diverged`` where no step's weights gave a loss that is a number; ``out-of-memory`` with one item
            alone, or in the optimiser.
        StorageError: ``no-space``.
    """
    optimiser = make_optimiser(model, recipe.optimiser)
    run = Run(model, recipe, objective, steps, folder, reporter, optimiser, {}, {}, publish, batch_done)
    state = resume(run)
    if attempts is not None:
        state.split = max(state.split, attempts.split)
    progress = Progress(reporter, steps, objective.lengths, state.tokens)
    saved_step = state.step
    try:
        with memory_errors(recipe.batch_tokens):
            while not state.finished:
                if validation_is_due(run, state):
                    validate(run, state, progress)
                at_milestone(run, state)
                if state.step == len(steps) or out_of_patience(run, state):
                    break
                if attempts is not None:
                    attempts.begins(state.step + 1)
                train_step(run, state, progress)
                if state.step % recipe.checkpoint.every_steps == 0:
                    save(run, state, progress)
                    saved_step = state.step
    except JobCancelled:
        if state.step > saved_step:
            save(run, state, progress)
        reporter.event(f"Stopped at step {state.step}; it can be continued from there.")
        raise
    except LossDiverged as error:
        end_with_kept(run, state, error)
    if not state.finished:
        state.finished = True
        save(run, state, progress)
    objective.close()
    if run.best:
        model.set_weights(run.best)
    return state


def resume(run: Run) -> State:
    """The state of the newest whole checkpoint, its tensors put back; a new state when there is none."""
    found = checkpoint.newest_whole(run.folder)
    compute = run.model.compute.name
    if found is None:
        return State(compute=compute)
    run.model.set_weights(found.tensors["adapter"])
    restore_optimiser(run.optimiser, run.model, found.tensors.get("optimiser", {}))
    set_rng(found.tensors["rng"])
    run.best.update(found.tensors.get("best", {}))
    run.sound.update(found.tensors.get("sound", {}))
    history = [Row(**row) for row in found.state["history"]]
    state = State(**{**found.state, "history": history, "best_loss": _finite(found.state["best_loss"])})
    run.reporter.event(f"Continuing from the checkpoint at step {state.step} of {len(run.steps)}.")
    if state.compute != compute:
        text = (
            f"It was made with {state.compute}, this is {compute}: the result may differ from an uninterrupted run's by rounding."
        )
        run.reporter.event(text, level="warning")
        state.compute = compute
    return state


def save(run: Run, state: State, progress: Progress) -> None:
    """Write a checkpoint of this moment."""
    state.seconds += progress.take_seconds()
    record: dict[str, Any] = asdict(state)  # JSON
    record["best_loss"] = state.best_loss if math.isfinite(state.best_loss) else None
    tensors = {
        "adapter": run.model.copy_weights(),
        "optimiser": optimiser_tensors(run.optimiser, run.model),
        "rng": rng_state(),
        "best": run.best,
        "sound": run.sound,
    }
    checkpoint.save(run.folder, state.step, record, tensors, run.recipe.checkpoint.keep)
    run.reporter.saved(state.step, of=run.folder.parent.name)  # a job may hold several runs, each in a folder of its own


def train_step(run: Run, state: State, progress: Progress) -> None:
    """One optimiser step over its micro-batches; the loss is the mean over all terms of the step."""
    run.model.peft.train()
    totals = None
    while totals is None:
        totals = step_gradient(run, state, run.steps[state.step])
    rate = learning_rate(state.step, len(run.steps), run.recipe.optimiser)
    require_finite(totals.loss, state.step + 1, run.recipe)
    if state.step and not run.best:  # these weights have just given a loss that is a number; those of the step may not
        run.sound.update(run.model.copy_weights())
        state.sound_step = state.step
    try:
        norm = optimiser_step(run.optimiser, run.model, rate, run.recipe.optimiser.clip_norm)
    except (MemoryError, RuntimeError) as error:  # weights and moments may be half changed: it cannot be done again
        if not refused(error):
            raise
        raise no_room_for_optimiser(state.step + 1) from error
    require_finite(norm, state.step + 1, run.recipe)
    state.step += 1
    state.tokens += totals.tokens
    state.label_tokens += totals.labels
    state.history.append(
        Row(state.step, epochs_done(run, state), state.tokens, rate, totals.loss, totals.accuracy, norm),
    )
    progress.stepped(state.step, totals.tokens, totals.loss, asdict(state.history[-1]))


def step_gradient(run: Run, state: State, step: Step) -> Totals | None:
    """Add the step's gradient. None when memory ran out: nothing is left of it, and the next try takes smaller micro-batches."""
    random_before = rng_state()
    terms = run.objective.share(step.indexes)
    totals = Totals()
    try:
        for indexes in cut(step.micro_batches, state.split):
            if run.reporter.should_stop():
                raise JobCancelled
            totals += run.objective.backward(indexes, terms)
            run.batch_done()
        return totals
    except (JobCancelled, MemoryError, RuntimeError) as error:
        run.optimiser.zero_grad(set_to_none=True)
        set_rng(random_before)  # the step will be done again as if it had not begun
        if not refused(error) or not halve(run, state, step.micro_batches):
            raise
    free_memory()  # only here: the error held on to the tensors
    return None


def halve(run: Run, state: State, micro_batches: Sequence[tuple[int, ...]]) -> bool:
    """Have micro-batches computed in twice as many parts from now on; False when each part is a single item already."""
    if state.split >= max(map(len, micro_batches)):
        return False
    state.split *= 2
    smaller = run.recipe.batch_tokens // state.split
    run.reporter.event(
        f"Memory ran out: micro-batches have {smaller} tokens from here on, and {state.split} times as many make a step. The "
        f"steps stay the same. To begin so: batch_tokens {smaller} in the recipe",
        level="warning",
    )
    return True


def validation_is_due(run: Run, state: State) -> bool:
    """Before the first step, every so many, after the last, and after each epoch where checkpoints are given out; once each."""
    regular = state.step % run.recipe.validation.every_steps == 0 or state.step == len(run.steps)
    regular = regular or (run.publish is not None and epoch_ended(run, state))
    return bool(run.objective.validation_batches()) and regular and state.validated_step != state.step


def validate(run: Run, state: State, progress: Progress) -> None:
    """Measure validation loss; keep a copy of the weights when it is the lowest of all trained steps."""
    totals = None
    while totals is None:
        totals = validation_totals(run, state)
    require_finite(totals.loss, state.step, run.recipe)
    state.validated_step = state.step
    row = state.history.pop() if state.history else Row(0, 0.0, 0)
    state.history.append(Row(**{**asdict(row), "valid_loss": totals.loss, "valid_accuracy": totals.accuracy}))
    progress.validated(state.step, totals.loss, asdict(state.history[-1]))
    if state.step == 0:  # the base model's own loss: a reference, not a candidate
        return
    if totals.loss < state.best_loss:
        state.best_loss, state.best_step, state.misses = totals.loss, state.step, 0
        run.best.update(run.model.copy_weights())
        run.sound.clear()
    else:
        state.misses += 1


def validation_totals(run: Run, state: State) -> Totals | None:
    """Loss over all validation items. None when memory ran out, as in `step_gradient`."""
    run.model.peft.eval()
    batches, totals = run.objective.validation_batches(), Totals()
    try:
        for indexes in cut(batches, state.split):
            if run.reporter.should_stop():
                raise JobCancelled
            totals += run.objective.measure(indexes)
            run.batch_done()
        return totals
    except (MemoryError, RuntimeError) as error:
        if not refused(error) or not halve(run, state, batches):
            raise
    free_memory()
    return None


def at_milestone(run: Run, state: State) -> None:
    """Give out the weights at the end of each epoch, and where validation was never better."""
    if run.publish is None or state.step == 0:
        return
    best = state.best_step == state.step
    if best or epoch_ended(run, state):
        run.publish(state.step, state.history[-1], best)


def epoch_ended(run: Run, state: State) -> bool:
    """Whether the last step was an epoch's last."""
    steps, done = run.steps, state.step
    return done == len(steps) or (done > 0 and steps[done].epoch != steps[done - 1].epoch)


def out_of_patience(run: Run, state: State) -> bool:
    """Whether validation has not improved for too long."""
    patience = run.recipe.validation.patience
    if not patience or state.misses < patience:
        return False
    run.reporter.event(f"Stopped early at step {state.step}: no better validation loss since step {state.best_step}.")
    return True


def end_with_kept(run: Run, state: State, error: LossDiverged) -> None:
    """The loss is no number any more: the run ends with the best weights that validation has seen, or the last sound ones.

    Raises:
        LossDiverged: there are none, as it was so in the first steps.
    """
    kept = run.best or run.sound
    if not kept or not all(bool(torch.isfinite(weight).all()) for weight in kept.values()):
        raise error
    state.diverged_step = error.step
    run.model.set_weights(kept)
    which = f"step {state.best_step}, the best so far (validation loss {state.best_loss:.3f})"
    if not run.best:
        which = f"step {state.sound_step}, the last that gave a number; no validation has seen them, so judge them first"
    run.reporter.event(f"{error.message} The run ends here with the weights of {which}.", level="warning")


def epochs_done(run: Run, state: State) -> float:
    """How often the training items have been seen on average so far."""
    seen = sum(len(step.indexes) for step in run.steps[: state.step])
    return round(seen / len(run.objective.lengths), 3)


class LossDiverged(ConfigError):
    """The loss or a gradient is no number. ``step`` is where that was seen: the step that was under way or has been measured."""

    code = "loss-diverged"

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def require_finite(value: float, step: int, recipe: Recipe) -> None:
    """Refuse to go on with a loss or gradient that is not a number: every later step would be too.

    Raises:
        LossDiverged
    """
    if math.isfinite(value):
        return
    rate = recipe.optimiser.learning_rate
    raise LossDiverged(
        f"The loss is {value!r} at step {step}: training diverged. Lower optimiser.learning_rate (now {rate:g}, "
        f"try {rate / 3:.1g}) or raise optimiser.warmup_ratio in the recipe, and start again: homeroom tune run --recipe FILE",
        step,
    )


def rng_state() -> dict[str, torch.Tensor]:
    """PyTorch's generators, of every device in use."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_rng(states: dict[str, torch.Tensor]) -> None:
    """The inverse of `rng_state`."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _finite(value: float | None) -> float:
    return math.inf if value is None else value
