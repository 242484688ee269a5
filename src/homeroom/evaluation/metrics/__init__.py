"""Measures of one reply, or of one reply among all replies of its system. One registration table; one file for each idea.

A new measure is a class with the attributes of `homeroom.schema.evaluation.Metric`, one line in `METRICS`, and one
entry in the docs.
"""

from __future__ import annotations

from homeroom.errors import NotFoundError
from homeroom.evaluation.metrics.asks_next_step import AsksNextStep
from homeroom.evaluation.metrics.false_confirmation import FalseConfirmation
from homeroom.evaluation.metrics.form import BriefEnough, Latency, LengthWords, PraiseWithoutSubstance, Repetition, SolutionDump
from homeroom.evaluation.metrics.grade_fit import GradeFit
from homeroom.evaluation.metrics.hands_over import HandsOver
from homeroom.evaluation.metrics.missed_confirmation import MissedConfirmation
from homeroom.evaluation.metrics.own_words import OwnWords
from homeroom.evaluation.metrics.persona import KeepsMisconception, UsesOwnNumbers
from homeroom.evaluation.metrics.sound_turn import SoundTurn
from homeroom.evaluation.metrics.specificity import BeyondItsClaim, FollowsTheTurn, Specificity
from homeroom.evaluation.metrics.staying_in_role import StayingInRole
from homeroom.evaluation.metrics.variety import Openings, Variety
from homeroom.evaluation.metrics.withholding import Withholding
from homeroom.schema.evaluation import Metric

METRICS: tuple[Metric, ...] = (
    SoundTurn(),
    Withholding(),
    AsksNextStep(),
    FalseConfirmation(),
    MissedConfirmation(),
    HandsOver(),
    UsesOwnNumbers(),
    KeepsMisconception(),
    StayingInRole(),
    Specificity(),
    BeyondItsClaim(),
    FollowsTheTurn(),
    Variety(),
    Openings(),
    OwnWords(),
    BriefEnough(),
    SolutionDump(),
    PraiseWithoutSubstance(),
    Repetition(),
    GradeFit(),
    LengthWords(),
    Latency(),
)


def metric(name: str) -> Metric:
    """The measure of that name.

    Raises:
        NotFoundError: nothing is registered under it; the message lists what is.
    """
    found = next((known for known in METRICS if known.name == name), None)
    if found is None:
        known_names = ", ".join(known.name for known in METRICS)
        raise NotFoundError(
            f"there is no measure {name!r}; known: {known_names}. See: homeroom eval metrics", code="unknown-metric"
        )
    return found


def metrics_for(task: str) -> tuple[Metric, ...]:
    """The measures that judge ``task``, in the order of the reports."""
    return tuple(known for known in METRICS if task in known.tasks)
