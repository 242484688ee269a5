"""Transcripts: which dialogues a report prints: some chosen by a hash before the run, the largest win, the largest loss."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from homeroom.evaluation.metrics import metric
from homeroom.schema.evaluation import Answer, Scorecard
from homeroom.schema.examples import Item


@dataclass(frozen=True, slots=True)
class Transcript:
    """One item with every system's reply, side by side.

    Attributes:
        why: ``picked by hash``, ``largest win`` or ``largest loss``.
        prompt: The turns before the reply, as role and text.
        replies: System name to reply, the authored one under ``authored``.
        values: System name to the measures of this reply.
    """

    why: str
    item_id: str
    subject: str
    topic: str
    prompt: tuple[tuple[str, str], ...]
    replies: Mapping[str, str]
    values: Mapping[str, Mapping[str, float | None]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "prompt": [list(turn) for turn in self.prompt]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Transcript:
        """The inverse of `to_dict`."""
        values = dict(record)
        values["prompt"] = tuple((str(role), str(text)) for role, text in record["prompt"])
        return cls(**values)


def picked(items: Sequence[Item], k: int, seed: int) -> list[str]:
    """Ids of ``k`` items by the order of a hash: known before a single reply is, and open to nobody's taste."""
    return sorted((item.id for item in items), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())[:k]


def _merit(card: Scorecard, names: Sequence[str], index: int) -> float:
    """Mean of the named measures of one reply, turned so that more is better; only measures from 0 to 1."""
    values = [
        (card.values[name][index], metric(name).direction) for name in names if name in card.values and metric(name).range[1] <= 1
    ]
    present = [
        1 - value if direction == "lower" else value
        for value, direction in values
        if value is not None and direction != "neither"
    ]
    return sum(present) / len(present) if present else 0.0


def choose(
    items: Sequence[Item],
    cards: Sequence[Scorecard],
    answers: Mapping[str, Sequence[Answer]],
    *,
    candidate: str,
    control: str,
    names: Sequence[str],
    k: int,
    seed: int,
) -> tuple[Transcript, ...]:
    """The transcripts of a report.

    Args:
        items: All items of the run.
        cards: Scorecards of all systems, in the order to show.
        answers: System name to its answers in the items' order; must hold every system of ``cards``.
        candidate: Whose wins and losses are looked for.
        control: Against whom; empty leaves win and loss out.
        names: Measures whose mean decides a win.
        k: Transcripts picked by hash.
        seed: Part of the hash.
    """
    why = dict.fromkeys(picked(items, k, seed), "picked by hash")
    by_name = {card.system: card for card in cards}
    if candidate in by_name and control in by_name:
        gaps = [_merit(by_name[candidate], names, i) - _merit(by_name[control], names, i) for i in range(len(items))]
        best, worst = max(range(len(items)), key=gaps.__getitem__), min(range(len(items)), key=gaps.__getitem__)
        if gaps[best] > 0:
            why.setdefault(items[best].id, "largest win")
        if gaps[worst] < 0:
            why.setdefault(items[worst].id, "largest loss")
    place = {item.id: index for index, item in enumerate(items)}
    return tuple(_transcript(items[place[name]], place[name], reason, cards, answers) for name, reason in why.items())


def _transcript(
    item: Item, index: int, why: str, cards: Sequence[Scorecard], answers: Mapping[str, Sequence[Answer]]
) -> Transcript:
    return Transcript(
        why=why,
        item_id=item.id,
        subject=str(item.example.metadata.get("subject", "")),
        topic=str(item.example.metadata.get("topic", "")),
        prompt=tuple((message.role, message.content) for message in item.prompt),
        replies={card.system: answers[card.system][index].text for card in cards},
        values={card.system: {name: row[index] for name, row in card.values.items()} for card in cards},
    )
