"""Prompts: how a system turns an item into messages. Base, control and tuned model share one visible system prompt."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeroom.errors import ConfigError
from homeroom.models.prompt_program import ShownAs, with_demonstrations
from homeroom.schema.examples import Example, Item, Message

PromptBuilder = Callable[[Item], list[Message]]
CountTokens = Callable[[str], int]
_TURN_OVERHEAD = 6


@dataclass(frozen=True, slots=True)
class PlainPrompt:
    """The item's own turns under the visible system prompt; a system turn of the item's own stays as it is."""

    system_text: str = ""

    def __call__(self, item: Item) -> list[Message]:
        """The messages for one item."""
        if not self.system_text or (item.prompt and item.prompt[0].role == "system"):
            return list(item.prompt)
        return [Message("system", self.system_text), *item.prompt]


@dataclass(frozen=True, slots=True)
class FewShotPrompt:
    """`PlainPrompt` with demonstrations: earlier turns for a tutor.

    A learner's system turn is its persona, which earlier turns of other children would
    contradict: there they are an appendix to that turn.
    """

    demonstrations: tuple[Example, ...]
    system_text: str = ""

    def __call__(self, item: Item) -> list[Message]:
        """The messages for one item."""
        shown = [example.messages for example in self.demonstrations]
        shown_as: ShownAs = "appendix" if item.example.task == "learner" else "turns"
        return with_demonstrations(PlainPrompt(self.system_text)(item), shown, shown_as)


def _topic(example: Example) -> str:
    return str(example.metadata.get("topic") or "")


def few_shot_prompt(
    train_examples: Sequence[Example],
    k: int,
    seed: int,
    budget_tokens: int,
    count_tokens: CountTokens,
    *,
    system_text: str = "",
) -> FewShotPrompt:
    """The control "base with a good few-shot prompt": up to ``k`` demonstrations from *train*, as different as can be.

    Each next demonstration is the one, in an order drawn with ``seed``, whose topic, subject, grade band and scenario
    have been used least; one that would pass ``budget_tokens`` (all demonstrations together) is passed over.

    Args:
        train_examples: Examples of the train split only: the caller's duty, `leaks` checks it.
        k: Most demonstrations.
        seed: Draws the order in which equals are taken.
        budget_tokens: For all demonstrations together.
        system_text: The visible system prompt, the same as the other systems'.
        count_tokens: Tokens of a text in the model's tokenizer.

    Raises:
        ConfigError: ``k`` is negative, or no example fits the budget.
    """
    if k < 0:
        raise ConfigError(f"the number of demonstrations must be 0 or more, not {k!r}. Use --shots 4", code="few-shot")
    pool = sorted(train_examples, key=lambda example: example.id)
    random.Random(seed).shuffle(pool)
    chosen: list[Example] = []
    left = budget_tokens
    used: dict[str, int] = {}
    while pool and len(chosen) < k:
        best = min(pool, key=lambda example: tuple(used.get(mark, 0) for mark in _marks(example)))
        pool.remove(best)
        cost = sum(count_tokens(m.content) + _TURN_OVERHEAD for m in best.messages)
        if cost > left:
            continue
        left -= cost
        chosen.append(best)
        for mark in _marks(best):
            used[mark] = used.get(mark, 0) + 1
    if k and train_examples and not chosen:
        raise ConfigError(
            f"no training example fits the few-shot budget of {budget_tokens!r} tokens. Give shorter training examples, or "
            f"--shots 0",
            code="few-shot",
        )
    return FewShotPrompt(tuple(chosen), system_text)


def _marks(example: Example) -> tuple[str, ...]:
    names = ("subject", "scenario", "grade_band")
    return (f"topic={_topic(example)}", *(f"{name}={example.metadata.get(name)}" for name in names))


def leaks(prompt: FewShotPrompt, items: Sequence[Item]) -> list[str]:
    """Ids of items whose example, or topic, a demonstration shows. Must be empty before a control is believed."""
    shown = {example.id for example in prompt.demonstrations}
    topics = {_topic(example) for example in prompt.demonstrations} - {""}
    return [item.id for item in items if item.example.id in shown or _topic(item.example) in topics]
