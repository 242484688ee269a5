"""Grouped, stratified, seeded splits.

Whole groups go to one split, so that held-out examples are about topics the model never saw. A group is a topic; examples that
share their opening text, or pose nearly the same problem, are joined into one group whatever their topics say. Groups are placed
so that the shares hold for each task, its subjects and their grade bands: every split looks like the whole.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from homeroom.data.near import near_pairs
from homeroom.errors import ConfigError, DataError, Problem
from homeroom.schema.examples import SPLITS, Example, Split

# A verdict counts topics, not examples: three in ten are held out, so that a course of two dozen topics can be judged at all.
DEFAULT_RATIOS: Mapping[Split, float] = {"train": 0.62, "validation": 0.08, "test": 0.3}
MIN_GROUPS = 3
_SPACE = re.compile(r"\W+")


def group_keys(examples: Sequence[Example]) -> list[str]:
    """The group of each example: connected components over topic, opening text and nearly the same problem."""
    parent = list(range(len(examples)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first_with: dict[str, int] = {}
    for index, example in enumerate(examples):
        for key in _links(example):
            other = first_with.setdefault(key, index)
            parent[find(index)] = find(other)
    for index, other in near_pairs(examples):
        parent[find(index)] = find(other)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(examples)):
        members[find(index)].append(index)
    keys = [""] * len(examples)
    for indexes in members.values():
        name = min(min(_links(examples[i])) for i in indexes)
        for index in indexes:
            keys[index] = name
    return keys


def _links(example: Example) -> list[str]:
    opening = next((m.content for m in example.messages if m.role == "user"), "")
    # A learner dialogue opens with a stock phrase of the teacher's; what identifies it is its system turn.
    if example.task == "learner" and example.messages and example.messages[0].role == "system":
        opening = example.messages[0].content
    text = hashlib.sha256(_SPACE.sub(" ", opening.lower()).strip().encode()).hexdigest()[:12]
    links = [f"text:{text}"]
    topic = example.metadata.get("topic")
    if topic:
        # One topic is one group over both tasks: a learner dialogue about fractions must not train beside a fractions test.
        links.append(f"topic:{topic}")
    return links


def assign(
    examples: Sequence[Example],
    *,
    seed: int = 0,
    ratios: Mapping[Split, float] = DEFAULT_RATIOS,
    inherited: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Example id to split.

    Args:
        examples: All examples of the version.
        seed: Same seed and examples, same split.
        ratios: Share of each split; they sum to 1.
        inherited: The parent version's assignment: its examples keep their split, and so does every group that holds one.

    Raises:
        DataError: fewer than three groups (``too-few-examples``), or a new example joins two splits (``split-leakage``).
        ConfigError: the ratios do not sum to 1.
    """
    if abs(sum(ratios.values()) - 1) > 1e-6 or any(r < 0 for r in ratios.values()):
        raise ConfigError(f"Split ratios must be positive and sum to 1, not {dict(ratios)!r}.", code="split-ratios")
    keys = group_keys(examples)
    groups: dict[str, list[Example]] = defaultdict(list)
    for example, key in zip(examples, keys, strict=True):
        groups[key].append(example)
    if len(groups) < MIN_GROUPS and not inherited:
        raise DataError(
            f"{len(examples)} example{'s' if len(examples) != 1 else ''} about {len(groups)} topic(s) cannot be split into "
            f"train, validation and test: at least {MIN_GROUPS} topics are needed. Add examples about other topics.",
            code="too-few-examples",
        )
    groups = _apart(groups, inherited or {})
    placed = _inherit(groups, inherited or {})
    _place(groups, placed, ratios, random.Random(seed))
    return {example.id: placed[key] for key, members in groups.items() for example in members}


def _apart(groups: Mapping[str, list[Example]], inherited: Mapping[str, Split]) -> dict[str, list[Example]]:
    """Groups of old examples alone that the parent held in several splits, in parts: what was decided is not decided again."""
    parts: dict[str, list[Example]] = {}
    for key, members in groups.items():
        splits = {inherited.get(e.id) for e in members}
        if None in splits or len(splits) == 1:
            parts[key] = members
        else:
            for example in members:
                parts.setdefault(f"{key} {inherited[example.id]}", []).append(example)
    return parts


def _inherit(groups: Mapping[str, Sequence[Example]], inherited: Mapping[str, Split]) -> dict[str, Split]:
    placed: dict[str, Split] = {}
    leaks: list[Problem] = []
    for key, members in groups.items():
        splits = {inherited[e.id] for e in members if e.id in inherited}
        if len(splits) > 1:
            new = [e for e in members if e.id not in inherited]
            text = f"group {key!r} now spans {', '.join(sorted(splits))}: {len(new)} new example(s) join topics that were apart."
            leaks.append(Problem("dataset", 0, "split-leakage", text))
        elif splits:
            placed[key] = splits.pop()
    if leaks:
        raise DataError(f"{leaks[0].message} Remove them or start a new dataset.", leaks, code="split-leakage")
    return placed


def _cells(example: Example) -> tuple[tuple[str, ...], ...]:
    """What the shares are kept for, from coarse to fine: the task, its subjects, and their grade bands."""
    subject, band = str(example.metadata.get("subject", "")), str(example.metadata.get("grade_band", ""))
    return ((example.task,), (example.task, subject), (example.task, subject, band))


def _place(
    groups: Mapping[str, Sequence[Example]],
    placed: dict[str, Split],
    ratios: Mapping[Split, float],
    rng: random.Random,
) -> None:
    """Give each free group to the split that is owed most by Sainte-Laguë's quotient, counted in every cell it touches."""
    have: Counter[tuple[Split, tuple[str, ...]]] = Counter()

    def count(key: str, split: Split) -> None:
        have.update((split, cell) for example in groups[key] for cell in _cells(example))

    for key, split in placed.items():
        count(key, split)
    free = [key for key in sorted(groups) if key not in placed]
    rng.shuffle(free)
    free.sort(key=lambda key: (_cells(groups[key][0])[:2], -len(groups[key])))

    def owed(split: Split, key: str) -> float:
        members = groups[key]
        cells = {cell for example in members for cell in _cells(example)}
        return math.prod(ratios[split] / (2 * have[split, cell] + len(members)) for cell in cells)

    for key in free:
        placed[key] = max((s for s in SPLITS if ratios[s] > 0), key=lambda s: owed(s, key))
        count(key, placed[key])
    _fill_empty(groups, placed, ratios, set(free))


def _fill_empty(
    groups: Mapping[str, Sequence[Example]],
    placed: dict[str, Split],
    ratios: Mapping[Split, float],
    free: set[str],
) -> None:
    """Small data: every wanted split gets a group of each task, taken from the split that has most, if one is left there."""
    for task in sorted({e.task for members in groups.values() for e in members}):
        mine = sorted((k for k in groups if any(e.task == task for e in groups[k])), key=lambda k: (len(groups[k]), k))
        for split in ("train", "test", "validation"):
            held = Counter(placed[k] for k in mine)
            if ratios.get(split, 0) <= 0 or held[split] or not held:
                continue
            movable = [k for k in mine if k in free and held[placed[k]] > 1]
            if movable:
                placed[max(movable, key=lambda k: held[placed[k]])] = split
