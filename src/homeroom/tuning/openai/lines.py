"""Examples as lines of a training file in OpenAI's formats, how many tokens they are, and where they could be shorter."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from homeroom.data.formats.chat import OPENAI
from homeroom.data.formats.preference import FORMAT as PREFERENCE
from homeroom.errors import DataError
from homeroom.schema.examples import Example
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.recipe import fill_system_prompt

MIN_EXAMPLES = 10
"""Fewer are refused by every endpoint with this API."""

CHARACTERS_A_TOKEN = 4.0  # of English text, roughly
MOST_CHARACTERS, FEWEST_CHARACTERS = 5.0, 3.0  # plain prose; figures, other languages
TURN_TOKENS = 8  # what a turn costs beside its text, at most; about half of it as a rule
TOOLS_TOKENS = 256  # what a template says around the tools that it lists, at most
LONG_SHARE = 0.1
_TURNS, _TOOLS = ("messages", "preferred_output", "non_preferred_output"), ("tools", "functions")

Json = dict[str, Any]  # a line of a training file
Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of texts: ``expected``, between ``low`` and ``high`` as a rule, and never above ``most``."""

    expected: int
    low: int
    high: int
    most: int

    def times(self, factor: int) -> Tokens:
        """So often."""
        return Tokens(self.expected * factor, self.low * factor, self.high * factor, self.most * factor)

    def plus(self, other: Tokens) -> Tokens:
        """Both together."""
        return Tokens(self.expected + other.expected, self.low + other.low, self.high + other.high, self.most + other.most)


NO_TOKENS = Tokens(0, 0, 0, 0)


def sampled(examples: Sequence[Example], recipe: OpenAIRecipe) -> list[Example]:
    """The examples that are sent, in the order in which subsets take them: drawn, so that the first fifty are like all."""
    drawn = list(examples)
    random.Random(recipe.seed).shuffle(drawn)
    return drawn[: recipe.max_examples]


def lines_of(examples: Sequence[Example], recipe: OpenAIRecipe) -> list[str]:
    """A line of JSON for each example. Only what is trained on goes out: no metadata, no reference, no context.

    Raises:
        DataError: ``too-few-examples``: with ``dpo`` an example has no rejected reply.
    """
    lines = []
    for example in examples:
        whole = example.with_system(fill_system_prompt(recipe.system_prompt, example.metadata))
        write = PREFERENCE.write if recipe.objective == "dpo" else OPENAI.write
        record = write(whole).record if write is not None else None
        if record is None:
            raise DataError(
                f"The example {example.id!r} has no rejected reply, and objective = 'dpo' needs one in each. Leave the objective "
                "at supervised, or give preference data: homeroom data convert --help",
                code="too-few-examples",
            )
        lines.append(json.dumps(record, ensure_ascii=False))
    return lines


def tokens_of(line: str, count: Count | None = None) -> Tokens:
    """The tokens that a line trains on once.

    Without a tokenizer they are taken from the length of the text: a tokenizer of bytes makes no more tokens than bytes. Tools
    are shown to a model as JSON, which at most is indented; some templates shorten it.
    """
    record = json.loads(line)
    texts, tools = list(_texts(record)), _tools(record)
    turns = TURN_TOKENS * len(texts)
    shown = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    longest = [json.dumps(tool, ensure_ascii=False, indent=4) for tool in tools]
    most = turns + (TOOLS_TOKENS if tools else 0)
    if count is not None:
        exact = sum(count(text) for text in texts)
        expected = exact + sum(map(count, shown))
        above = max(expected, exact + sum(map(count, longest))) + most
        return Tokens(expected + turns // 2, exact, above, above)
    characters = sum(map(len, texts)) + sum(map(len, shown))
    return Tokens(
        expected=round(characters / CHARACTERS_A_TOKEN) + turns // 2,
        low=round(sum(map(len, (*texts, *_strings(tools)))) / MOST_CHARACTERS),
        high=round(characters / FEWEST_CHARACTERS) + most,
        most=sum(len(text.encode("utf-8", errors="surrogatepass")) for text in (*texts, *longest)) + most,
    )


def total(lines: Sequence[str], count: Count | None = None) -> Tokens:
    """The tokens of all lines together."""
    found = NO_TOKENS
    for line in lines:
        found = found.plus(tokens_of(line, count))
    return found


@dataclass(frozen=True, slots=True)
class Hint:
    """Where examples could be shorter: in words, and the tokens of one epoch that it would save."""

    text: str
    saved: int


def hints(examples: Sequence[Example], recipe: OpenAIRecipe, count: Count | None = None) -> list[Hint]:
    """What makes the examples long, the greatest saving first: a prompt that all repeat, and the few that are very long."""

    def size(text: str) -> int:
        return count(text) if count is not None else round(len(text) / CHARACTERS_A_TOKEN)

    found = []
    systems = Counter(_system(example, recipe) for example in examples)
    prompt, times = systems.most_common(1)[0] if systems else ("", 0)
    length = size(prompt)
    if length >= 40 and times > 1:
        share = f"all {times}" if times == len(examples) else f"{times} of {len(examples)}"
        found.append(Hint(f"{share} examples begin with the same system prompt of about {length} tokens; one half as long "
                          "would teach the same", length // 2 * times))  # fmt: skip
    lengths = sorted((sum(size(m.content) for m in example.messages) for example in examples), reverse=True)
    few = max(1, round(len(lengths) * LONG_SHARE))
    typical = lengths[len(lengths) // 2] if lengths else 0
    saved = sum(length - 2 * typical for length in lengths[:few] if length > 2 * typical)
    if typical and saved > sum(lengths) * LONG_SHARE:
        found.append(Hint(f"the {few} longest examples hold {sum(lengths[:few]) / sum(lengths):.0%} of all tokens; cut to twice "
                          f"the usual length ({2 * typical} tokens) they would be", saved))  # fmt: skip
    return sorted(found, key=lambda hint: -hint.saved)


def _system(example: Example, recipe: OpenAIRecipe) -> str:
    own = example.messages[0].content if example.messages and example.messages[0].role == "system" else ""
    return own or fill_system_prompt(recipe.system_prompt, example.metadata)


def _texts(record: Json) -> list[str]:
    """Every text of a record's messages: contents, names, and calls of tools."""
    turns = [turn for place in (record, record.get("input") or {}) for key in _TURNS for turn in place.get(key) or []]
    return [text for turn in turns for key, value in turn.items() if key != "role" for text in _strings(value)]


def _tools(record: Json) -> list[Json]:
    """The tools that a record's messages may call, in either form of the API."""
    return [tool for place in (record, record.get("input") or {}) for key in _TOOLS for tool in place.get(key) or []]


def _strings(value: object) -> list[str]:
    """Every text in a value, without the names that stand before it."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []
