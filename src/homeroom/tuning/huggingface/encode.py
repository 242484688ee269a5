"""Examples to token sequences: which take part, cut to length, with the tokens that carry loss marked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from homeroom.errors import DataError, Problem
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example
from homeroom.tuning.recipe import Recipe, fill_system_prompt

PROBLEMS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """One example as the model sees it. ``mask[t]`` is 1 where ``ids[t]`` carries loss; both (T,).

    The first token never carries loss: nothing predicts it.
    """

    ids: tuple[int, ...]
    mask: tuple[int, ...]

    @property
    def input_length(self) -> int:
        """Tokens run through the model: up to the one before the last token with loss. What follows teaches nothing."""
        return max((t for t, marked in enumerate(self.mask) if marked), default=0)

    @property
    def labels(self) -> int:
        """Tokens that carry loss."""
        return sum(self.mask)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Sequences, the example behind each (as it was encoded: system turn added, cut), and what was not taken."""

    sequences: tuple[TokenSequence, ...]
    examples: tuple[Example, ...]
    cut: int = 0
    too_long: int = 0
    without_labels: int = 0

    def report(self, what: str) -> str:
        """One line: ``160 training examples (12 cut to fit 320 tokens, 3 left out)``."""
        notes = [f"{self.cut} cut at a turn to fit"] if self.cut else []
        notes += [f"{self.too_long} left out as too long"] if self.too_long else []
        notes += [f"{self.without_labels} left out without a reply to learn from"] if self.without_labels else []
        count = len(self.sequences)
        return f"{count} {what} example{'s' if count != 1 else ''}" + (f" ({', '.join(notes)})" if notes else "")


def with_prompt(example: Example, recipe: Recipe) -> Example:
    """The example under the recipe's visible system prompt, unless it has a system turn of its own."""
    return example.with_system(fill_system_prompt(recipe.system_prompt, example.metadata))


def select(examples: Sequence[Example], recipe: Recipe) -> list[Example]:
    """The examples of the recipe's task, at most ``data.max_examples`` of them (a seeded sample in the given order)."""
    chosen = [example for example in examples if recipe.task in ("any", example.task)]
    return sample(chosen, recipe.data.max_examples, recipe.seed)


def sample(examples: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """At most ``limit`` examples, drawn by ``seed``, in the given order."""
    if limit is None or len(examples) <= limit:
        return list(examples)
    kept = sorted(random.Random(f"sample-{seed}").sample(range(len(examples)), limit))
    return [examples[i] for i in kept]


def encode_examples(examples: Sequence[Example], recipe: Recipe, tokenizer: ChatTokenizer) -> Encoded:
    """Tokens and loss marks of each example that fits.

    Raises:
        DataError: examples whose tokens in training would differ from those in the chat (``prefix-unstable``), all of them
        together.
    """
    sequences, kept, problems = [], [], []
    cut = too_long = without_labels = 0
    for index, example in enumerate(examples):
        full = with_prompt(example, recipe)
        try:
            fitted, sequence = _fit(full, recipe, tokenizer)
        except DataError as error:
            problems.append(Problem("training data", 0, error.code, f"example {index + 1} ({full.id}): {error.message}"))
            continue
        if sequence is None:
            too_long += 1
        elif not sequence.labels:
            without_labels += 1
        else:
            cut += fitted is not full
            sequences.append(sequence)
            kept.append(fitted)
    if problems:
        raise all_problems(problems)
    return Encoded(tuple(sequences), tuple(kept), cut, too_long, without_labels)


def _fit(example: Example, recipe: Recipe, tokenizer: ChatTokenizer) -> tuple[Example, TokenSequence | None]:
    """The example, or its longest beginning that ends with a reply and fits; None when nothing of it does."""
    limit = recipe.data.max_sequence_tokens
    while True:
        ids, mask = tokenizer.encode_chat(example.messages)
        sequence = TokenSequence(tuple(ids), (0, *mask[1:]))
        if not sequence.labels or sequence.input_length <= limit:
            return example, sequence
        shorter = _without_last_reply(example)
        if recipe.data.too_long == "leave-out" or shorter is None:
            return example, None
        example = shorter


def _without_last_reply(example: Example) -> Example | None:
    ends = [i for i, message in enumerate(example.messages) if message.role == "assistant"]
    return replace(example, messages=example.messages[: ends[-2] + 1]) if len(ends) > 1 else None


def all_problems(problems: Sequence[Problem]) -> DataError:
    """One error for all examples that cannot be trained on."""
    lines = "\n".join(f"  {problem.message}" for problem in problems[:PROBLEMS_SHOWN])
    more = f"\n  and {len(problems) - PROBLEMS_SHOWN} more" if len(problems) > PROBLEMS_SHOWN else ""
    return DataError(f"{len(problems)} examples cannot be trained on:\n{lines}{more}", problems, code=problems[0].rule)
