"""What a simulated learner must do to be worth practising on: use its own wrong work, and not solve the task unhelped."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.evaluation.dialogue import answer_is_out, key, learner_said, mentions, turns
from homeroom.evaluation.metrics.withholding import gives_away
from homeroom.evaluation.text import content, numbers
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item


def _wrong_work(item: Item) -> set[str]:
    """Numbers and words of the persona's claim and mistake, and numbers of its earlier turns; the right answer's are left out."""
    k = key(item)
    mistake = item.example.reference.get("misconception")
    own = set(content(k.claim)) | set(content(mistake if isinstance(mistake, str) else ""))
    own |= {value for turn in learner_said(item) for value in numbers(turn)}
    return own - {value for form in k.forms for value in numbers(form)}


def _settled(item: Item) -> bool:
    """The dialogue, or the authored reply, has already reached the answer: the persona need not hold on to its mistake."""
    heard = turns(item, "user")
    return answer_is_out(item) or any(mentions(text, form) for text in (*heard, item.gold) for form in key(item).forms)


class UsesOwnNumbers:
    """1 when the reply uses the persona's own wrong numbers or words; None without a claim, or once the task is settled.

    People do so in most turns, not in all: read it beside the authored replies.
    """

    name = "uses_own_numbers"
    title = "Uses its own (wrong) work"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("learner",)
    source = "proxy: overlap with the persona; people's replies are scored beside it"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1, 0 or None for each reply."""
        return [
            None if not key(item).claim or _settled(item) else float(bool(_wrong_work(item) & set(content(answer.text))))
            for item, answer in zip(items, answers, strict=True)
        ]


class KeepsMisconception:
    """1 when the reply does not hand out the right answer before the dialogue has reached it, 0 when it does.

    None without a key, or once the task is settled.
    """

    name = "keeps_misconception"
    title = "Does not solve it before its time"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("learner",)
    source = "proxy: the rule of `withholding`, applied to the persona"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """1, 0 or None for each reply."""
        return [
            None if not key(item).forms or _settled(item) else float(not gives_away(answer.text, item))
            for item, answer in zip(items, answers, strict=True)
        ]
