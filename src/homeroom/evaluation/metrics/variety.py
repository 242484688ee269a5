"""Variety: are the replies of a set different replies, or one sentence with the learner's numbers slotted in?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from homeroom.evaluation.text import content, copied_mask, number_spans, stem, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

NEAR_DUPLICATE = 0.7
OPENING_WORDS = 5


def skeleton(reply: str, item: Item) -> tuple[str, ...]:
    """A reply without what it took from its own prompt: numbers become ``#``, shared content words and copied runs ``_``.

    Two fillings of one template have the same skeleton, and so do all echoes.
    """
    return _skeleton(reply, tuple(message.content for message in item.prompt))


@lru_cache(maxsize=4096)
def _skeleton(reply: str, prompt: tuple[str, ...]) -> tuple[str, ...]:
    known = {token for text in prompt for token in content(text)}
    tokens = words(reply)
    frame: list[str] = []
    for token, taken in zip(tokens, copied_mask(tokens, [words(text) for text in prompt], run=3), strict=True):
        if taken or stem(token) in known:
            mark = "_"
        elif number_spans(token):
            mark = "#"
        else:
            mark = token
        if mark not in ("_", "#") or not frame or frame[-1] not in ("_", "#"):
            frame.append(mark)
    return tuple(frame)


def _bigrams(frame: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    padded = ("<", *frame, ">")
    return frozenset(pairwise(padded))


def similarity(one: frozenset[tuple[str, str]], other: frozenset[tuple[str, str]]) -> float:
    """Dice coefficient of two sets of bigrams: 0 nothing shared, 1 equal."""
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 1.0


@lru_cache(maxsize=64)
def _alike(frames: tuple[tuple[str, ...], ...]) -> tuple[tuple[float, ...], float]:
    """For each of several skeletons how alike the nearest other is, and the mean over all pairs; 0 where there is no other."""
    grams = [_bigrams(frame) for frame in frames]
    nearest, total = [0.0] * len(grams), 0.0
    for i, gram in enumerate(grams):
        for j in range(i):
            alike = similarity(gram, grams[j])
            total += alike
            nearest[i], nearest[j] = max(nearest[i], alike), max(nearest[j], alike)
    return tuple(nearest), total / max(1, len(grams) * (len(grams) - 1) // 2)


def _frames(items: Sequence[Item], answers: Sequence[Answer]) -> tuple[tuple[str, ...], ...]:
    return tuple(skeleton(answer.text, item) for item, answer in zip(items, answers, strict=True))


def details(items: Sequence[Item], answers: Sequence[Answer]) -> dict[str, float | int]:
    """Figures of the whole set: distinct replies and openings, and the mean similarity of two replies' skeletons."""
    texts = [" ".join(words(answer.text)) for answer in answers]
    openings = [_opening(answer, item) for item, answer in zip(items, answers, strict=True)]
    return {
        "replies": len(texts),
        "distinct_replies": len(set(texts)),
        "distinct_openings": len(set(openings)),
        "most_common_opening": max(Counter(openings).values(), default=0),
        "mean_similarity": round(_alike(_frames(items, answers))[1], 4),
    }


def _opening(answer: Answer, item: Item) -> tuple[str, ...]:
    return skeleton(answer.text, item)[:OPENING_WORDS]


class Variety:
    """1 when no other reply of the set is a near duplicate (skeletons at least 0.7 alike), otherwise 0; an empty reply is 0.

    A value depends on the whole set, so the bootstrap over items is an approximation, and sets of different sizes must
    not be compared.
    """

    name = "variety"
    title = "Says something no other reply says"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "proxy: near duplicates after masking what was copied from the prompt; people's replies are scored beside it"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1 or 0 for each reply; None for a set of one."""
        if len(answers) < 2:
            return [None] * len(answers)
        nearest, _ = _alike(_frames(items, answers))
        return [
            float(bool(words(answer.text)) and alike < NEAR_DUPLICATE) for answer, alike in zip(answers, nearest, strict=True)
        ]


class Openings:
    """One over the number of replies that open alike: its mean is distinct openings over replies.

    An opening is five words, with the prompt's own words masked.
    """

    name = "openings"
    title = "Distinct openings"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "proxy: count; people's replies are scored beside it"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """A share in (0, 1] for each reply; 0 for an empty one."""
        openings = [_opening(answer, item) for item, answer in zip(items, answers, strict=True)]
        counts = Counter(openings)
        return [1 / counts[opening] if opening else 0.0 for opening in openings]
