"""Near-duplicates among many texts: MinHash signatures, and locality-sensitive hashing that finds the similar ones among them.

A signature estimates the Jaccard similarity of two texts' word pairs to about ±0.03: 128 values (Broder 1997), of each its last
8 bits (Li and König 2010). Two texts of similarity 0.8 meet in at least one of 21 bands of 6 values with probability 0.998.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from itertools import pairwise

VALUES = 128
_ROWS = 6
_BANDS = VALUES // _ROWS
_BUCKET = 8  # how many different texts of one bucket a further one is compared with
_TOKEN = re.compile(r"\w+")


def signature(text: str, salt: int = 0) -> bytes:
    """The signature of ``text``: 128 bytes; empty for a text of fewer than two words. Texts of different salts never meet."""
    from rensa import RMinHash

    words = _TOKEN.findall(text.lower())
    if len(words) < 2:
        return b""
    sketch = RMinHash(VALUES, 42 + salt)
    sketch.update(list(map(" ".join, pairwise(words))))
    return bytes([value & 0xFF for value in sketch.digest()])


def similarity(first: bytes, second: bytes) -> float:
    """Estimated Jaccard similarity of the texts of two signatures, 0 to 1."""
    if first == second:
        return 1.0
    equal: int = sum(map(operator.eq, first, second))
    # Of two different values' last bytes one pair in 256 is the same.
    return max(0.0, (equal / VALUES - 1 / 256) / (1 - 1 / 256))


def earlier_twins(signatures: Sequence[bytes], least: float) -> dict[int, tuple[int, float]]:
    """For each text that is ``least`` similar to an earlier one: the index of the most similar of these, and how similar.

    Empty signatures are passed over. Time and memory grow with the number of texts; a band's buckets are dropped before the next.
    """
    best: dict[int, tuple[int, float]] = {}
    width = _ROWS
    for band in range(_BANDS):
        buckets: dict[bytes, int | list[int]] = {}
        for index, own in enumerate(signatures):
            if not own:
                continue
            key = own[band * width : (band + 1) * width]
            held = buckets.setdefault(key, index)
            if held == index:
                continue
            members = [held] if isinstance(held, int) else held
            if not _compare(signatures, members, index, least, best) and len(members) < _BUCKET:
                buckets[key] = [*members, index]
    return best


def _compare(
    signatures: Sequence[bytes], members: Sequence[int], index: int, least: float, best: dict[int, tuple[int, float]]
) -> bool:
    """Whether ``index`` has a twin now; a twin need not be kept in the bucket, as its elder stands for it."""
    if index in best:
        return True  # the first band in which it met one is enough: the more alike two are, the earlier they meet
    alike, member = max((similarity(signatures[member], signatures[index]), -member) for member in members)
    if alike >= least:
        best[index] = (-member, alike)
    return alike >= least
