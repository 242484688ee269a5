"""Plants defects: each kind is a function that changes real records, and says at which lines something should be found.

A case belongs to the tuning half or to the frozen half by a hash of what was planted: of each kind, the lower half of the hashes. Whoever works on the rules may look at the
misses of the tuning half only; the frozen half is scored once.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.data.planted.sources import Record, Sources


@dataclass(frozen=True)
class Planted:
    """What one function gives.

    Attributes:
        lines: Lines of a file: records, or bytes and texts as they stand.
        at: Lines (from 1) where a finding counts; empty for the file as a whole (any line counts).
        what: What was planted, for the list of misses.
        subtle: Whether a reader could pass over it.
        roster: Names of the class.
        options: Further options of a run by name: ``method``, ``max_tokens``.
    """

    lines: Sequence[Record | str | bytes]
    at: tuple[int, ...]
    what: str
    subtle: bool = False
    roster: tuple[str, ...] = ()
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class Case:
    """One planted defect with its name, its kind and its half: ``tuning`` or ``frozen``."""

    id: str
    kind: str
    planted: Planted
    half: str

    def file(self) -> bytes:
        """The file's bytes."""
        parts = []
        for line in self.planted.lines:
            text = json.dumps(line, ensure_ascii=False) if isinstance(line, dict) else line
            parts.append(text if isinstance(text, bytes) else text.encode())
        return b"\n".join(parts) + b"\n"


Planter = Callable[[Sources, random.Random, int], Planted]
KINDS: dict[str, Planter] = {}
PER_KIND = 10


def kind(name: str) -> Callable[[Planter], Planter]:
    """Register a planter. Its third argument counts its cases: it takes the next of its wordings each time."""

    def register(planter: Planter) -> Planter:
        KINDS[name] = planter
        return planter

    return register


def cases(sources: Sources, seed: int = 20261121, per_kind: int = PER_KIND) -> Iterator[Case]:
    """Every case, the same each time."""
    from tests.data.planted import corpus, drift, leakage, quality, quality_words, safety, structure  # noqa: F401 - they register

    for name in sorted(KINDS):
        made = [KINDS[name](sources, random.Random(f"{seed}-{name}-{number}"), number) for number in range(per_kind)]
        hashes = [hashlib.sha256(f"{name}|{planted.what}|{number}".encode()).hexdigest() for number, planted in enumerate(made)]
        lower = sorted(hashes)[: per_kind // 2]
        for number, planted in enumerate(made):
            yield Case(f"{name}-{number}", name, planted, "tuning" if hashes[number] in lower else "frozen")


def among(sources: Sources, rng: random.Random, record: Record | str | bytes, what: str, **more: object) -> Planted:
    """``record`` with a few clean neighbours before it."""
    before = sources.many(rng, rng.randint(1, 4))
    return Planted([*before, record], (len(before) + 1,), what, **more)  # type: ignore[arg-type]


def replies(record: Record) -> list[Record]:
    """The assistant turns."""
    return [m for m in record["messages"] if m["role"] == "assistant"]


def prompts(record: Record) -> list[Record]:
    """The user turns."""
    return [m for m in record["messages"] if m["role"] == "user"]


def put(rng: random.Random, message: Record, sentence: str, where: str = "") -> None:
    """Insert a sentence at a boundary: ``start``, ``end`` or anywhere."""
    text = message["content"]
    parts = _sentences(text)
    place = {"start": 0, "end": len(parts)}.get(where, rng.randint(0, len(parts)))
    parts.insert(place, sentence)
    message["content"] = " ".join(part.strip(" ") for part in parts)


def _sentences(text: str) -> list[str]:
    import re

    return [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", text) if part]


def turn(items: Sequence[str], number: int) -> str:
    """The wording for a case: one after the other."""
    return items[number % len(items)]
