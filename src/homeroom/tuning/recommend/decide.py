"""From inputs to a recommendation: points are added, what is excluded is left out, and the inputs that decided are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from homeroom.tuning.recommend.inputs import INPUTS, Situation, shown
from homeroom.tuning.recommend.rules import CLOSED, METHODS, MODELS_END, NO_NEW_ORGANISATIONS, RULES, Method, Rule, band_of

LOCAL_SERVER = "Homeroom's own server takes the same calls and trains on this machine"


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that applied: the inputs that it looked at with their values, its points (None excludes) and why."""

    inputs: Mapping[str, str]
    points: int | None
    because: str


@dataclass(frozen=True, slots=True)
class Score:
    """What speaks for and against a method.

    Attributes:
        method: Of `METHODS`.
        points: Their sum, without reasons that exclude.
        excluded: Whether any reason excludes it.
        reasons: The strongest first, excluding ones before all.
    """

    method: Method
    points: int
    excluded: bool
    reasons: tuple[Reason, ...]

    @property
    def title(self) -> str:
        """In words."""
        return METHODS[self.method]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer.

    Attributes:
        method: The first choice.
        second: The next one; of those that are excluded now where no other is left.
        second_later: Why the second choice has to wait; empty when it does not.
        decided_by: Inputs without which the first choice would be another, then those that speak most for it.
        on_examples: What is said of the number of examples.
        warnings: What to know or mend before starting.
        scores: Every method, the first choice first.
        situation: What it rests on.
    """

    method: Method
    second: Method
    second_later: str
    decided_by: tuple[str, ...]
    on_examples: str
    warnings: tuple[str, ...]
    scores: tuple[Score, ...]
    situation: Situation = field(default_factory=Situation)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks for the first choice, then what excludes others; each with the inputs that say so."""
        for_it = [_cited(r) for r in self.scores[0].reasons if (r.points or 0) > 0]
        excluded = [f"not {s.method}: {_cited(r)}" for s in self.scores for r in s.reasons if r.points is None]
        return (*for_it, *excluded)


def recommend(situation: Situation) -> Recommendation:
    """Which method to begin with, and which to try next. The same inputs give the same answer."""
    scores = _ranked(situation)
    first, open_others = scores[0], [s for s in scores[1:] if not s.excluded]
    second = open_others[0] if open_others else scores[1]
    later = "; ".join(r.because for r in second.reasons if r.points is None)
    if situation.examples < 5 and second.method == "dspy":
        later = "once there are 5 examples"
    return Recommendation(
        method=first.method,
        second=second.method,
        second_later=later,
        decided_by=_decided_by(situation, first),
        on_examples=band_of(situation.examples).says,
        warnings=tuple(_warnings(situation, (first.method, second.method))),
        scores=tuple(scores),
        situation=situation,
    )


def _ranked(situation: Situation) -> list[Score]:
    """Every method: those that are possible first, by points; equal ones in the order of `METHODS`."""
    scores = [_score(method, [r for r in RULES if r.method == method and r.holds(situation)], situation) for method in METHODS]
    return sorted(scores, key=lambda s: (s.excluded, -s.points))


def _score(method: Method, rules: Iterable[Rule], situation: Situation) -> Score:
    reasons = [
        Reason({w.input: shown(getattr(situation, w.input)) for w in rule.when}, rule.points, rule.because) for rule in rules
    ]
    reasons.sort(key=lambda r: (r.points is not None, -abs(r.points or 0)))
    points = sum(r.points or 0 for r in reasons)
    return Score(method, points, any(r.points is None for r in reasons), tuple(reasons))


def _decided_by(situation: Situation, first: Score) -> tuple[str, ...]:
    """Inputs that change the first choice when they are what is taken for granted; then the strongest reasons for it."""
    found = []
    for entry in INPUTS:
        if getattr(situation, entry.name) != entry.default:
            granted: dict[str, Any] = {entry.name: entry.default}  # of the field's own type
            without = replace(situation, **granted)
            if _ranked(without)[0].method != first.method:
                found.append(entry.name)
    strongest = [name for reason in first.reasons if (reason.points or 0) > 0 for name in reason.inputs]
    return tuple(dict.fromkeys([*found, *strongest[:3]]))


def _warnings(situation: Situation, methods: tuple[Method, Method]) -> Iterable[str]:
    if situation.quality == "errors":
        yield "The data has errors. Mend them first: homeroom data check, then homeroom data fix"
    if "openai" in methods or situation.access in ("key", "active"):
        yield from _closing(situation.today, situation.access)
    if "openai" in methods and situation.access in ("none", "other"):
        yield f"OpenAI's own fine-tuning ends; providers with the same API go on. {LOCAL_SERVER}: homeroom serve"


def _closing(today: date, access: str) -> Iterable[str]:
    if access == "other":
        return
    if today >= CLOSED:
        yield f"OpenAI takes no fine-tuning job of anybody since {CLOSED}. {LOCAL_SERVER}: homeroom serve"
    else:
        days = (CLOSED - today).days
        yield (
            f"OpenAI ends fine-tuning: no job of anybody from {CLOSED} on, in {days} day{'s' if days != 1 else ''}. Since "
            f"{NO_NEW_ORGANISATIONS} only organisations that used a fine-tuned model of late can start one."
        )
    yield (
        f"gpt-4o, gpt-4o-mini, gpt-4.1 and gpt-4.1-mini, fine-tuned ones included, are reported to end on {MODELS_END}. Bring "
        "what you have home: homeroom migrate openai inventory my-migration"
    )


def _cited(reason: Reason) -> str:
    return f"{reason.because} ({', '.join(f'{name} = {value}' for name, value in reason.inputs.items())})"
