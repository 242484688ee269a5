"""Which examples pose nearly the same problem: the same words, the same with other numbers and names, or mostly the same words.

What a problem is, and how two of them are compared, is what the leakage rules say (`homeroom.data.lint.rules.leakage_text`): what
is grouped here is never reported there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from homeroom.data.lint.model import Record
from homeroom.data.lint.rules.leakage_text import hashes_of, key, problem, similarity, sketch, template, tokens
from homeroom.schema.examples import Example

SIMILAR = 0.55  # as rule LEA002
LEAST_TOKENS, LEAST_WORDS = 4, 8  # shorter problems say too little to be compared, exactly or nearly
_COMMON = 200  # a run of words in more problems than this is a phrase of the course, and joins nothing


def near_pairs(examples: Sequence[Example], *, least: float = SIMILAR) -> Iterator[tuple[int, int]]:
    """Pairs of places of examples whose problems are nearly the same: enough of them to connect each cluster."""
    first: dict[tuple[str, int], int] = {}
    sketches: list[tuple[int, ...]] = []
    holders: dict[int, list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        text = problem(Record(0, example))
        exact, form = tokens(text), template(text)
        long = sum(part[0].isalpha() for part in form) >= LEAST_WORDS
        joined = False
        for kind, parts, whole in (("same", exact, len(exact) >= LEAST_TOKENS), ("form", form, long)):
            if whole:
                other = first.setdefault((kind, key(parts)), place)
                if other != place:
                    joined = True
                    yield other, place
        hashes = tuple(hashes_of(sketch(form))) if long and not joined else ()
        sketches.append(hashes)
        if hashes:  # one of each form is enough: the others are joined to it
            yield from ((other, place) for other in _like(hashes, sketches, holders, least))
            for value in hashes:
                holders[value].append(place)


def _like(hashes: Sequence[int], sketches: Sequence[Sequence[int]], holders: dict[int, list[int]], least: float) -> Iterator[int]:
    shared: dict[int, int] = defaultdict(int)
    for value in hashes:
        places = holders.get(value, ())
        if len(places) <= _COMMON:
            for place in places:
                shared[place] += 1
    for place, count in shared.items():
        if count * 3 >= least * len(hashes) and similarity(hashes, sketches[place]) >= least:
            yield place
