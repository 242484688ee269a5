"""The school grade that a text asks of its reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_VOWELS = re.compile(r"[aeiouy]+")


@lru_cache(maxsize=65536)
def syllables(word: str) -> int:
    """Syllables of a lower-case English word by its vowel groups; at least 1. About one in ten is off by one."""
    count = len(_VOWELS.findall(word))
    if count > 1 and word.endswith("e") and not word.endswith(("le", "ee", "ye")):
        count -= 1
    if count > 1 and word.endswith("ed") and len(word) > 4 and word[-3] not in "td":
        count -= 1
    return max(count, 1)


def reading_grade(words: Sequence[str], sentences: int) -> float:
    """Mean of the Flesch-Kincaid grade level and the Automated Readability Index.

    Source: Kincaid et al. 1975, Derivation of New Readability Formulas. Meant for 60 words or more: below, one long word moves
    it by a grade.
    """
    count = len(words)
    if not count or not sentences:
        return 0.0
    per_sentence = count / sentences
    letters = sum(map(len, words)) / count
    beats = sum(map(syllables, words)) / count
    return ((4.71 * letters + 0.5 * per_sentence - 21.43) + (0.39 * per_sentence + 11.8 * beats - 15.59)) / 2
