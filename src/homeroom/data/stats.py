"""What a file or a version holds: counts, lengths, and tokens with the tokenizer of a base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from homeroom.schema.examples import Example, Json, Message

CELL = ("subject", "grade", "question_type")
LABELS = ("task", "subject", "grade_band", "grade", "question_type", "scenario", "difficulty", "language", "source", "consent",
          "licence", "pedagogical_framework")  # fmt: skip
TokenCounter = Callable[[Sequence[Message]], tuple[int, int]]  # all tokens of a conversation, and those that carry loss


@dataclass(slots=True)
class Spread:
    """A number of each example: how they are spread. Keeps the numbers; eight bytes each would do, and a few MB do not matter."""

    values: list[int] = field(default_factory=list)

    def to_dict(self) -> Json:
        """Least, quartiles, 95th percentile, greatest, sum."""
        ordered = sorted(self.values)
        if not ordered:
            return {}

        def at(share: float) -> int:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return {
            "least": ordered[0],
            "quarter": at(0.25),
            "median": at(0.5),
            "three_quarters": at(0.75),
            "p95": at(0.95),
            "most": ordered[-1],
            "sum": sum(ordered),
        }


def statistics(examples: Iterable[Example], *, splits: dict[str, str] | None = None, tokens: TokenCounter | None = None) -> Json:
    """Counts by each label and by subject x grade x question type, lengths in words and turns, tokens where they can be counted.

    Args:
        examples: Taken once, one after the other.
        splits: Example id to split, of a dataset version.
        tokens: Counts with a base's tokenizer.
    """
    labels: dict[str, Counter[str]] = {name: Counter() for name in (*LABELS, "split")}
    cells: Counter[tuple[str, ...]] = Counter()
    lengths = {name: Spread() for name in ("turns", "prompt_words", "reply_words", "tokens", "loss_tokens")}
    count = 0
    for example in examples:
        count += 1
        _count(example, labels, cells, lengths)
        if splits is not None:
            labels["split"][splits.get(example.id, "")] += 1
        if tokens is not None:
            for name, value in zip(("tokens", "loss_tokens"), tokens(example.messages), strict=True):
                lengths[name].values.append(value)
    return {
        "examples": count,
        **{f"by_{name}": dict(counts.most_common()) for name, counts in labels.items() if set(counts) - {""}},
        "cells": [{**dict(zip(CELL, cell, strict=True)), "examples": n} for cell, n in sorted(cells.items(), key=_cell_order)],
        **{name: spread.to_dict() for name, spread in lengths.items() if spread.values},
    }


def _count(
    example: Example, labels: dict[str, Counter[str]], cells: Counter[tuple[str, ...]], lengths: dict[str, Spread]
) -> None:
    for name in LABELS:
        value = example.task if name == "task" else example.metadata.get(name)
        labels[name]["" if value is None else str(value)] += 1
    cells[tuple(_label(example, name) for name in CELL)] += 1
    lengths["turns"].values.append(len(example.messages))
    lengths["prompt_words"].values.append(sum(len(m.content.split()) for m in example.messages if m.role == "user"))
    lengths["reply_words"].values.extend(
        len(m.content.split()) for m in example.messages if m.role == "assistant" and m.weight != 0
    )


def _label(example: Example, name: str) -> str:
    value = example.metadata.get(name)
    return "" if value is None else str(value)


def _cell_order(entry: tuple[tuple[str, ...], int]) -> tuple[str, int, str]:
    (subject, grade, kind), _ = entry
    return subject, int(grade) if grade.isdigit() else 99, kind
