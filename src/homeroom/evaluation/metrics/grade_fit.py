"""Grade fit: are the replies to a grade band, taken together, readable there? Single turns are too short to score."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.evaluation.text import sentences, syllables, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

BAND_TOP = (("K-2", 3.0), ("3-5", 6.0), ("6-8", 9.0), ("9-12", 12.0))
POOL_WORDS = 100
SPAN_GRADES = 4.0


def reading_grade(text: str) -> float:
    """School grade that a text asks for: the mean of the Automated Readability Index and the Flesch-Kincaid grade level.

    Source: Kincaid et al. 1975, Derivation of New Readability Formulas; syllables are counted by rule (`syllables`).
    Numbers count as one syllable.
    """
    tokens = words(text)
    if not tokens:
        return 0.0
    per_sentence = len(tokens) / max(len(sentences(text)), 1)
    letters = sum(len(token) for token in tokens) / len(tokens)
    beats = sum(syllables(token) for token in tokens) / len(tokens)
    ari = 4.71 * letters + 0.5 * per_sentence - 21.43
    fkgl = 0.39 * per_sentence + 11.8 * beats - 15.59
    return (ari + fkgl) / 2


class GradeFit:
    """1 when the pooled replies to a grade band read at or below the band's top grade, falling to 0 four grades above it.

    Every item of a band carries its pool's value; None without a band or below 100 pooled words. Simpler than the band
    is no fault.
    """

    name = "grade_fit"
    title = "Readable for the grade (pooled)"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor",)
    source = (
        "validated for order: 0.98 of the pairs of 98 articles at three levels come out right, 0.90 on 150 words "
        "(benchmarks/validate_metrics.py); where a band begins and ends is convention"
    )

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """The pool's value for each item."""
        pools: dict[str, list[str]] = {}
        for item, answer in zip(items, answers, strict=True):
            pools.setdefault(str(item.example.metadata.get("grade_band")), []).append(answer.text.strip())
        tops = dict(BAND_TOP)
        fits: dict[str, float | None] = {}
        for band, texts in pools.items():
            pooled = "\n".join(texts)
            known = band in tops and len(words(pooled)) >= POOL_WORDS
            fits[band] = min(1.0, max(0.0, 1 - (reading_grade(pooled) - tops[band]) / SPAN_GRADES)) if known else None
        return [fits[str(item.example.metadata.get("grade_band"))] for item in items]
