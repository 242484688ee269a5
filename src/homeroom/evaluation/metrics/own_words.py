"""Own words: how much of a reply is not copied from the dialogue. Every overlap measure rewards echoing; this one does not."""

from __future__ import annotations

from collections.abc import Sequence

from homeroom.evaluation.text import copied_mask, words
from homeroom.schema.evaluation import Answer, Direction
from homeroom.schema.examples import Item

RUN = 4


class OwnWords:
    """1 minus the share of tokens in copied runs; 0 when empty.

    A run is four or more tokens that the prompt (system text and all turns) holds word for word.
    """

    name = "own_words"
    title = "Adds words of its own"
    range = (0.0, 1.0)
    direction: Direction = "higher"
    tasks: tuple[str, ...] = ("tutor", "learner")
    source = "proxy: copied runs; people's replies are scored beside it"

    def score(self, items: Sequence[Item], answers: Sequence[Answer]) -> list[float | None]:
        """A share in [0, 1] for each reply."""
        values: list[float | None] = []
        for item, answer in zip(items, answers, strict=True):
            tokens = words(answer.text)
            copied = copied_mask(tokens, [words(message.content) for message in item.prompt], RUN)
            values.append(1 - sum(copied) / len(tokens) if tokens else 0.0)
        return values
