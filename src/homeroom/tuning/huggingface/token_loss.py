"""Held-out loss: how likely a model finds authored replies, token by token. For models whose weights are here.

Run for the base and for the tuned model on the same items; and under *another* item's prompt, as a control for specificity:
a model that learned to fit replies to their prompts finds a reply less likely under a prompt that it does not belong to.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from homeroom.errors import DataError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Example, Item, Message
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface import device, model
from homeroom.tuning.huggingface.batches import length_batches
from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.loss import collate, measure
from homeroom.tuning.huggingface.memory import memory_errors
from homeroom.tuning.recipe import Recipe

BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class ReplyLoss:
    """Loss of one reply: summed negative log-likelihood in nats over ``tokens`` tokens, the end of the turn among them."""

    item_id: str
    nll: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean loss of a token."""
        return self.nll / max(1, self.tokens)


class TokenLoss:
    """A base model, with or without an adapter, that scores replies. Holds the weights; make one for each model.

    Args:
        base: Its files.
        adapter: Folder with a PEFT adapter; None scores the base itself.
        threads: 0 uses every core.
        dtype: ``auto``, ``float32`` or ``bfloat16``. Compare models only under the same.
    """

    def __init__(self, base: BaseFiles, adapter: Path | None = None, *, threads: int = 0, dtype: str = "auto") -> None:
        model.quiet_libraries()
        self._settings = Recipe.model_validate({"name": "token-loss", "threads": threads, "dtype": dtype})
        self._compute = device.choose(self._settings)
        self._tokenizer = ChatTokenizer(base.weights)
        self._context = base.context_tokens
        loaded = model.load_base(base, self._compute)
        self._model = (
            model.plain_model(loaded, base, self._compute)
            if adapter is None
            else model.load_adapter(loaded, adapter, base, self._compute)
        )
        self._model.peft.eval()

    def held_out(self, examples: Sequence[Example]) -> list[ReplyLoss]:
        """Loss of every reply that carries loss, after what precedes it: one value for each of ``example.items()``."""
        sequences = [self._sequence(example.messages) for example in examples]
        items = [list(example.items()) for example in examples]
        found = self._score(sequences)
        results: list[ReplyLoss] = []
        for sequence, own, losses in zip(sequences, items, found, strict=True):
            spans = _spans(sequence)
            if len(spans) != len(own):
                raise DataError(
                    f"An example with {len(own)} replies has {len(spans)} spans of tokens with loss: {sequence.ids[:8]!r}... "
                    "Look at it: homeroom data check FILE",
                    code="loss-spans",
                )
            at = 0
            for item, length in zip(own, spans, strict=True):
                results.append(ReplyLoss(item.id, float(sum(losses[at : at + length])), length))
                at += length
        return results

    def under_prompts(self, items: Sequence[Item], prompts: Sequence[Sequence[Message]]) -> list[ReplyLoss]:
        """Loss of each item's reply after the prompt given for it."""
        pairs = zip(items, prompts, strict=True)
        turns = [(*(_muted(m) for m in prompt), Message("assistant", item.gold)) for item, prompt in pairs]
        found = self._score([self._sequence(messages) for messages in turns])
        return [ReplyLoss(item.id, float(sum(losses)), len(losses)) for item, losses in zip(items, found, strict=True)]

    def _sequence(self, messages: Sequence[Message]) -> TokenSequence:
        ids, mask = self._tokenizer.encode_chat(messages)
        sequence = TokenSequence(tuple(ids), (0, *mask[1:]))
        if sequence.input_length > self._context:
            raise DataError(
                f"A conversation of {sequence.input_length} tokens is longer than the model's context of {self._context}. "
                "Shorten it, or choose a base with a longer context: homeroom models list",
                code="context-length",
            )
        return sequence

    def _score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Loss of each label token of each sequence."""
        scored: list[list[float]] = [[] for _ in sequences]
        with device.computing(self._compute, seed=0), memory_errors(BATCH_TOKENS):
            for indexes in length_batches([s.input_length for s in sequences], BATCH_TOKENS):
                wanted = [i for i in indexes if sequences[i].labels]
                if not wanted:
                    continue
                batch = collate([sequences[i] for i in wanted], self._compute.device, packed=self._model.packs)
                nll = measure(self._model, batch)[0].tolist()
                for index, count in zip(wanted, batch.counts, strict=True):
                    scored[index], nll = nll[:count], nll[count:]
        return scored


def held_out_loss(base: BaseFiles, adapter: Path | None, examples: Sequence[Example], *, threads: int = 0) -> list[ReplyLoss]:
    """Loss of every reply of ``examples`` (their system turns already in place), in the order of their items."""
    return TokenLoss(base, adapter, threads=threads).held_out(examples)


def other_prompts(items: Sequence[Item], seed: int = 0) -> list[tuple[Message, ...]]:
    """For each item the prompt of another one: of the same task and turn where possible, of another topic, never its own.

    Prompts are used evenly where the choice allows it, so that no single odd prompt decides the control.
    """
    rng = random.Random(f"prompts-{seed}")
    used: dict[str, int] = {}
    prompts: list[tuple[Message, ...]] = []
    for item in items:
        others = [other for other in items if other.example.id != item.example.id]
        if not others:
            raise DataError(
                f"{len(items)} item(s) of one example leave no other prompt to compare with. Give at least two examples.",
                code="too-few-examples",
            )
        rng.shuffle(others)
        best = min(others, key=lambda other: (*_distance(item, other), used.get(other.id, 0)))
        used[best.id] = used.get(best.id, 0) + 1
        prompts.append(best.prompt)
    return prompts


def _distance(item: Item, other: Item) -> tuple[bool, bool, bool]:
    same_topic = item.example.metadata.get("topic") == other.example.metadata.get("topic") is not None
    return item.example.task != other.example.task, item.turn != other.turn, same_topic


def _muted(message: Message) -> Message:
    return Message("assistant", message.content, 0.0) if message.role == "assistant" else message


def _spans(sequence: TokenSequence) -> list[int]:
    """Lengths of the runs of label tokens."""
    spans: list[int] = []
    for before, now in zip((0, *sequence.mask), sequence.mask, strict=False):
        if now and not before:
            spans.append(0)
        if now:
            spans[-1] += 1
    return spans
