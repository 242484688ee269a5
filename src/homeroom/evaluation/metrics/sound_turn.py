"""Sound turn: everything at once. Being good at one measure on one half and at another on the other half gains nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from homeroom.evaluation.metrics.asks_next_step import AsksNextStep
from homeroom.evaluation.metrics.false_confirmation import FalseConfirmation
from homeroom.evaluation.metrics.form import BriefEnough, PraiseWithoutSubstance, Repetition, SolutionDump
from homeroom.evaluation.metrics.own_words import OwnWords
from homeroom.evaluation.metrics.persona import KeepsMisconception
from homeroom.evaluation.metrics.specificity import Specificity
from homeroom.evaluation.metrics.staying_in_role import StayingInRole
from homeroom.evaluation.metrics.variety import Variety
from homeroom.evaluation.metrics.withholding import Withholding
from homeroom.schema.evaluation import Answer, Direction, Metric
from homeroom.schema.examples import Item

Check = tuple[Metric, Callable[[float], bool]]


def _high(value: float) -> bool:
    return value >= 0.5


def _low(value: float) -> bool:
    return value < 0.5


def _specific(value: float) -> bool:
    return value >= 0.75


_SHARED: tuple[Check, ...] = (
    (Specificity(), _specific),
    (Variety(), _high),
    (OwnWords(), _high),
    (StayingInRole(), _high),
    (BriefEnough(), _high),
    (Repetition(), _low),
)
_TUTOR: tuple[Check, ...] = (
    *_SHARED,
    (Withholding(), _high),
    (AsksNextStep(), _high),
    (FalseConfirmation(), _low),
    (SolutionDump(), _low),
    (PraiseWithoutSubstance(), _low),
)
_LEARNER: tuple[Check, ...] = (*_SHARED, (KeepsMisconception(), _high))


class SoundTurn:
    """1 when the reply passes every check of its task at the same time, otherwise 0; a check that does not apply is passed.

    Both: fits its own question (rank at least 0.75), is no near duplicate, at least half its own words, in role, short
    enough, no loop. Tutor: also keeps the answer back, asks for a next step, does not confirm wrong work, does not work
    the problem through, no empty praise. Learner: also does not solve the task before its time.
    """

    name = "sound_turn"
    title = "Passes every check at once"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "proxy: conjunction of the measures above"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply. All items must be of one task."""
        learner = bool(items) and items[0].example.task == "learner"
        passed = [True] * len(items)
        for metric, holds in _LEARNER if learner else _TUTOR:
            for index, value in enumerate(metric.score(items, answers)):
                passed[index] = passed[index] and (value is None or holds(value))
        return [float(ok) for ok in passed]


def share_of_checks(items: Sequence[Item], answers: Sequence[Answer]) -> list[float]:
    """The share of the checks behind `SoundTurn` that each reply passes, of those that apply: 0 to 1.

    For choosing between prompts on few items, where passing all at once is too rare to tell them apart. No verdict uses it.
    """
    learner = bool(items) and items[0].example.task == "learner"
    passed, applied = [0] * len(items), [0] * len(items)
    for metric, holds in _LEARNER if learner else _TUTOR:
        for index, value in enumerate(metric.score(items, answers)):
            if value is not None:
                applied[index] += 1
                passed[index] += holds(value)
    return [p / a if a else 0.0 for p, a in zip(passed, applied, strict=True)]


def failed_of_set(items: Sequence[Item], answers: Sequence[Answer]) -> list[list[str]]:
    """Titles of the checks behind `SoundTurn` that each reply of a set does not pass: none where it gives 1.

    All items must be of one task.
    """
    learner = bool(items) and items[0].example.task == "learner"
    failed: list[list[str]] = [[] for _ in items]
    for metric, holds in _LEARNER if learner else _TUTOR:
        for index, value in enumerate(metric.score(items, answers)):
            if value is not None and not holds(value):
                failed[index].append(metric.title)
    return failed


def failed_checks(item: Item, answer: Answer) -> list[str]:
    """Titles of the checks behind `SoundTurn` that a reply does not pass by itself: advice for whoever writes instructions."""
    failed = []
    for metric, holds in _LEARNER if item.example.task == "learner" else _TUTOR:
        value = metric.score([item], [answer])[0]
        if value is not None and not holds(value):
            failed.append(metric.title)
    return failed
