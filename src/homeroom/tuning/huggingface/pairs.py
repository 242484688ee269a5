"""Preferences to token sequences: one prompt, the reply to prefer, and the one to turn down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from homeroom.errors import DataError, Problem
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Message
from homeroom.tuning.huggingface.encode import Encoded, TokenSequence, all_problems, with_prompt
from homeroom.tuning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """Chosen and rejected sequences, in the same order. ``chosen`` also says what was not taken."""

    chosen: Encoded
    rejected: tuple[TokenSequence, ...]

    @property
    def lengths(self) -> list[int]:
        """Tokens that each pair runs through the model."""
        pairs = zip(self.chosen.sequences, self.rejected, strict=True)
        return [better.input_length + worse.input_length for better, worse in pairs]


def encode_pairs(examples: Sequence[Example], recipe: Recipe, tokenizer: ChatTokenizer) -> EncodedPairs:
    """Each example whose two conversations fit. A pair is never cut: half a reply is another reply.

    Loss is on the last reply alone, whatever stands before it. Examples without a rejected reply are left out.

    Raises:
        DataError: ``prefix-unstable``: examples whose tokens in training would differ from those in the chat, all together.
    """
    limit = recipe.data.max_sequence_tokens
    chosen: list[TokenSequence] = []
    rejected: list[TokenSequence] = []
    kept: list[Example] = []
    problems: list[Problem] = []
    too_long = without = 0
    for index, example in enumerate(examples):
        both = conversations(with_prompt(example, recipe))
        if both is None:
            without += 1
            continue
        try:
            better, worse = (_sequence(messages, tokenizer) for messages in both)
        except DataError as error:
            problems.append(Problem("training data", 0, error.code, f"example {index + 1} ({example.id}): {error.message}"))
            continue
        if max(better.input_length, worse.input_length) > limit:
            too_long += 1
        elif not (better.labels and worse.labels):
            without += 1
        else:
            chosen.append(better)
            rejected.append(worse)
            kept.append(replace(example, messages=both[0]))
    if problems:
        raise all_problems(problems)
    encoded = Encoded(tuple(chosen), tuple(kept), too_long=too_long, without_labels=without)
    return EncodedPairs(encoded, tuple(rejected))


def conversations(example: Example) -> tuple[tuple[Message, ...], tuple[Message, ...]] | None:
    """The example with the reply to prefer, and with the one to turn down; None when it has only one."""
    turns = example.extra.get("rejected")
    start = max((i for i, message in enumerate(example.messages) if message.role != "assistant"), default=-1) + 1
    if not isinstance(turns, list) or not turns or start == len(example.messages):
        return None
    prompt = tuple(replace(m, weight=0.0) if m.role == "assistant" else m for m in example.messages[:start])
    worse = tuple(replace(Message.from_dict(turn), weight=None) for turn in turns)
    better = tuple(replace(message, weight=None) for message in example.messages[start:])
    return (*prompt, *better), (*prompt, *worse)


def _sequence(messages: Sequence[Message], tokenizer: ChatTokenizer) -> TokenSequence:
    ids, mask = tokenizer.encode_chat(messages)
    return TokenSequence(tuple(ids), (0, *mask[1:]))
