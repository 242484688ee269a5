"""Form: what can be said of a reply from its surface. Facts and guards; none of them ever counts as an improvement."""

from __future__ import annotations

import re
from collections.abc import Sequence

from homeroom.evaluation.text import content, ngrams, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

WORD_LIMITS = (("K-2", 35), ("3-5", 60), ("6-8", 80), ("9-12", 120))
LEARNER_LIMIT = 35
SLACK = 1.5
_PRAISE = re.compile(
    r"\b(?:great|good|nice|excellent|fantastic|amazing|wonderful|awesome|super|brilliant|lovely) (?:job|work|try|effort"
    r"|thinking|start|going|question|attempt)\b|\bwell done\b|\bkeep (?:it up|going|"
    r"up the)\b|\byou(?:['’]re| are) doing (?:great|well|so well)\b|\b(?:fantastic|amazing|wonderful|awesome|brilliant"
    r"|excellent|perfect)\b|\bproud of you\b|\bgreat\s*!",
    re.IGNORECASE,
)
_EQUATION = re.compile(r"\d[\d.,]*\s*[^\w\s=?]{0,2}\s*(?:[-+*/x×÷·−]\s*[$€£]?\d[\d.,]*\s*%?\s*)+=\s*[$€£]?\d")
_STEP = re.compile(
    r"\b(?:first|then|next|after that|finally|therefore|so we|now we|step \d)\b|(?:^|\n)\s*\d[.)]\s", re.IGNORECASE
)


def word_limit(item: Item) -> int:
    """Longest reply, in words, that the item's grade band is served with; half as much again is tolerated by `BriefEnough`."""
    if item.example.task == "learner":
        return LEARNER_LIMIT
    band = item.example.metadata.get("grade_band")
    return next((limit for name, limit in WORD_LIMITS if name == band), WORD_LIMITS[2][1])


class LengthWords:
    """Words of the reply. A fact: longer or shorter is neither better nor worse."""

    name = "length_words"
    title = "Length in words"
    range = (0.0, float("inf"))
    direction: Direction = "neither"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "a count"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """Words of each reply."""
        return [float(len(words(answer.text))) for answer in answers]


class BriefEnough:
    """1 when the reply has at most half as many words again as `word_limit` says for its grade band or role, otherwise 0."""

    name = "brief_enough"
    title = "Short enough for the grade"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "proxy: a limit set by the course's authors"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply; an empty one is 0."""
        return [
            float(0 < len(words(answer.text)) <= SLACK * word_limit(item)) for item, answer in zip(items, answers, strict=True)
        ]


class Repetition:
    """Share of runs of four words that occurred before in the same reply: 0 for prose, near 1 for a loop."""

    name = "repetition"
    title = "Repeats itself inside a reply"
    range = (0.0, 1.0)
    direction: Direction = "lower"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "a count"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """A share for each reply; 0 below four words."""
        values: list[float | None] = []
        for answer in answers:
            runs = ngrams(words(answer.text), 4)
            values.append(1 - len(set(runs)) / len(runs) if runs else 0.0)
        return values


class SolutionDump:
    """1 when the reply works the problem through: two worked equations, four step words, or more than 150 words."""

    name = "solution_dump"
    title = "Works the whole problem"
    range = (0.0, 1.0)
    direction: Direction = "lower"
    tasks: tuple[str, ...] = ("tutor",)
    source = "proxy: counts of equations and steps; people's label 'not actionable' is another thing (kappa 0.06)"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply."""
        return [
            float(
                len(_EQUATION.findall(answer.text)) >= 2 or len(_STEP.findall(answer.text)) >= 4 or len(words(answer.text)) > 150
            )
            for answer in answers
        ]


class PraiseWithoutSubstance:
    """1 when the reply praises and takes up no word or number of the learner's, otherwise 0."""

    name = "praise_without_substance"
    title = "Praises without saying what for"
    range = (0.0, 1.0)
    direction: Direction = "lower"
    tasks: tuple[str, ...] = ("tutor",)
    source = (
        "proxy: kappa 0.34 with people's label 'does not see the mistake' (825 replies); encouragement is no measure of quality"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply."""
        values: list[float | None] = []
        for item, answer in zip(items, answers, strict=True):
            said = {term for message in item.prompt if message.role == "user" for term in content(message.content)}
            values.append(float(bool(_PRAISE.search(answer.text)) and not said & set(content(answer.text))))
        return values


class Latency:
    """Seconds until the whole reply was there, as measured when it was generated."""

    name = "latency"
    title = "Seconds for a reply"
    range = (0.0, float("inf"))
    direction: Direction = "lower"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "measured on the machine that ran it; other work slows it"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """Seconds for each reply; None where nothing was generated (authored replies)."""
        return [answer.latency_s or None for answer in answers]
