"""Random search over demonstrations: several sets are tried on the validation split, and the best is kept.

The plain prompt is a candidate like any other: demonstrations that do not help are not shown. Labelled few-shot with random
search, as in DSPy (Khattab et al. 2023, https://arxiv.org/abs/2310.03714), without bootstrapped traces.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from homeroom.errors import DataError
from homeroom.models.prompt_program import Demonstration, PromptProgram, ShownAs
from homeroom.schema.examples import Example
from homeroom.tuning.prompts.recipe import PromptRecipe

Trial = Callable[[PromptProgram, str], Sequence[float]]
"""Answers the validation items with a program (named by the text) and gives a score from 0 to 1 for each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One program that was tried, with its mean score on validation."""

    label: str
    program: PromptProgram
    score: float


def candidates(train: Sequence[Example], recipe: PromptRecipe, base_identity: str) -> list[tuple[str, PromptProgram]]:
    """What will be tried: the plain prompt, then sets of demonstrations, each drawn anew; equal sets once.

    Args:
        train: Examples of the train split only.
        recipe: How many and how long.
        base_identity: Of the model that is asked.
    """
    shown_as: ShownAs = "appendix" if recipe.task == "learner" else "turns"
    pool = sorted({e.id: e for e in train if e.task == recipe.task}.values(), key=lambda e: e.id)
    drawn: dict[tuple[Demonstration, ...], None] = {(): None}
    for number in range(recipe.candidates):
        drawn.setdefault(_draw(pool, recipe, number), None)
    return [
        (_label(number, shown), PromptProgram("", shown, shown_as, recipe.base, base_identity))
        for number, shown in enumerate(drawn)
    ]


def _label(number: int, shown: Sequence[Demonstration]) -> str:
    return f"{len(shown)} shown, set {number}" if shown else "plain"


def _draw(pool: Sequence[Example], recipe: PromptRecipe, number: int) -> tuple[Demonstration, ...]:
    """Up to ``recipe.demonstrations`` dialogues of different topics that fit the budget together."""
    order = list(pool)
    random.Random(f"{recipe.seed}-{number}").shuffle(order)
    shown: list[Demonstration] = []
    topics: set[object] = set()
    left = recipe.budget_characters
    for example in order:
        topic = example.metadata.get("topic") or example.id
        cost = sum(len(message.content) for message in example.messages)
        if len(shown) < recipe.demonstrations and topic not in topics and cost <= left:
            shown.append(example.messages)
            topics.add(topic)
            left -= cost
    return tuple(shown)


def search(
    train: Sequence[Example],
    recipe: PromptRecipe,
    base_identity: str,
    trial: Trial,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Candidate]:
    """Try every candidate; best first. Of equals the one that shows less comes first.

    Args:
        train: Examples of the train split only.
        recipe: What to search.
        base_identity: Of the model that is asked.
        trial: Scores a program on the validation items.
        tell: Hears what each candidate reached.

    Raises:
        DataError: ``too-few-examples`` when no demonstration fits the budget.
    """
    planned = candidates(train, recipe, base_identity)
    if len(planned) < 2:
        raise DataError(
            f"No {recipe.task} example of the train split fits {recipe.budget_characters} characters, so there is nothing to "
            "show the model. Add shorter examples.",
            code="too-few-examples",
        )
    tried = []
    for label, program in planned:
        score = mean(trial(program, label))
        tried.append(Candidate(label, program, score))
        tell(f"{label}: {score:.2f} on validation")
    return sorted(tried, key=lambda c: (-c.score, len(c.program.demonstrations)))
