"""Choosing one of several replies without a judge: the one that the others say most of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def middle_reply(replies: Sequence[str]) -> int:
    """Index of the reply that shares most words with the others; of equals the first.

    Minimum Bayes risk with word overlap (F1) as the gain: for free text what a majority is for single words
    (Eikema and Aziz 2020, https://arxiv.org/abs/2005.10283).
    """
    bags = [Counter(_WORD.findall(reply.lower())) for reply in replies]
    gains = [sum(overlap(bag, other) for j, other in enumerate(bags) if j != i) for i, bag in enumerate(bags)]
    return gains.index(max(gains))


def overlap(one: Counter[str], other: Counter[str]) -> float:
    """F1 of the words that two texts share, 0 to 1; 1 for two empty ones."""
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def word_overlap(one: str, other: str) -> float:
    """`overlap` of two texts."""
    return overlap(Counter(_WORD.findall(one.lower())), Counter(_WORD.findall(other.lower())))
