"""What differs between two lists of examples: added, removed, changed with the fields concerned, and moved to another split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from homeroom.data.lint.rules.leakage_text import tokens
from homeroom.schema.examples import Example, Json


@dataclass(frozen=True, slots=True)
class Change:
    """An example in both lists that is not the same. ``fields``: path to (before, after): ``messages[1].content``."""

    before: Example
    after: Example
    fields: Mapping[str, tuple[object, object]]


@dataclass(frozen=True, slots=True)
class Moved:
    """The same example in another split."""

    example: Example
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """From the first list to the second."""

    added: tuple[Example, ...]
    removed: tuple[Example, ...]
    changed: tuple[Change, ...]
    moved: tuple[Moved, ...]
    same: int

    @property
    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "added": len(self.added),
            "removed": len(self.removed),
            "changed": len(self.changed),
            "moved": len(self.moved),
            "same": self.same,
        }


def difference(
    before: Sequence[Example],
    after: Sequence[Example],
    splits_before: Mapping[str, str] | None = None,
    splits_after: Mapping[str, str] | None = None,
) -> Difference:
    """Compare two lists.

    Two examples are one that changed when they have the same id in their metadata, or else the same replies, the same first
    question, or the same problem; the first of these that fits is taken.
    """
    old, new = {e.id: e for e in before}, {e.id: e for e in after}
    removed = {key: e for key, e in old.items() if key not in new}
    added = {key: e for key, e in new.items() if key not in old}
    changed: list[Change] = []
    for identity in (_own_id, _replies, _opening, _problem):
        changed += _paired(removed, added, identity)
    moved = []
    if splits_before is not None and splits_after is not None:
        both = ((key, splits_before.get(key, ""), splits_after.get(key, "")) for key in old if key in new)
        moved = [Moved(old[key], was, now) for key, was, now in both if was != now]
    return Difference(
        tuple(added.values()), tuple(removed.values()), tuple(changed), tuple(moved), sum(key in new for key in old)
    )


def _paired(removed: dict[str, Example], added: dict[str, Example], identity: Callable[[Example], Hashable]) -> Iterator[Change]:
    """Pairs of one identity, taken out of both lists; where several have it, in their order."""
    waiting: dict[Hashable, list[str]] = defaultdict(list)
    for key, example in removed.items():
        waiting[identity(example)].append(key)
    waiting.pop(None, None)
    for key, example in list(added.items()):
        others = waiting.get(identity(example))
        if others:
            other = removed.pop(others.pop(0))
            del added[key]
            yield Change(other, example, dict(changed_fields(other.to_dict(), example.to_dict())))


def _own_id(example: Example) -> Hashable:
    own = example.metadata.get("id")
    return (example.task, own) if isinstance(own, str) and own else None


def _replies(example: Example) -> Hashable:
    texts = tuple(m.content for m in example.messages if m.role == "assistant")
    return texts if sum(map(len, texts)) >= 40 else None


def _opening(example: Example) -> Hashable:
    text = next((m.content for m in example.messages if m.role == "user"), "")
    return (example.task, " ".join(text.lower().split())) if len(text) >= 12 else None


def _problem(example: Example) -> Hashable:
    text = " ".join(word for m in example.messages if m.role != "assistant" for word in tokens(m.content) if word[0].isalpha())
    return (example.task, text) if len(text) >= 30 else None


def changed_fields(before: object, after: object, path: str = "") -> Iterator[tuple[str, tuple[object, object]]]:
    """Each place where two records differ, with what stands there before and after (None where nothing does)."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from changed_fields(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from changed_fields(old, new, f"{path}[{index}]")
    elif before != after:
        yield path, (before, after)


def to_dict(found: Difference) -> Json:
    """As ``--json`` prints it."""
    return {
        "counts": found.counts,
        "added": [e.to_dict() for e in found.added],
        "removed": [e.to_dict() for e in found.removed],
        "changed": [
            {
                "before": change.before.id,
                "after": change.after.id,
                "fields": {path: list(values) for path, values in change.fields.items()},
            }
            for change in found.changed
        ],
        "moved": [{"id": m.example.id, "before": m.before, "after": m.after} for m in found.moved],
    }
