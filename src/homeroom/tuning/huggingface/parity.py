"""The check before training: the tokens that training sees are those the engine will see in the chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from homeroom.errors import ConflictError
from homeroom.models.tokenizer import ChatTokenizer
from homeroom.schema.examples import Message
from homeroom.tuning.huggingface.encode import Encoded

RenderIds = Callable[[Sequence[Message]], Sequence[int]]
"""Messages that end with a user turn to the token ids of the prompt as the engine would run it."""

EXAMPLES = 8
AROUND = 6
"""Tokens shown on each side of where the two part."""


def check_parity(encoded: Encoded, tokenizer: ChatTokenizer, render_ids: RenderIds, count: int = EXAMPLES) -> int:
    """Compare every prompt of ``count`` examples, spread over the data, with the engine's. How many prompts were compared.

    Raises:
        ConflictError: ``template-parity``, showing where they part.
    """
    compared = 0
    stride = max(1, len(encoded.sequences) // count)
    for sequence, example in list(zip(encoded.sequences, encoded.examples, strict=True))[::stride][:count]:
        for item in example.items():
            theirs = list(render_ids(item.prompt))
            ours = list(sequence.ids[: len(theirs)])
            if ours != theirs:
                raise _differs(ours, theirs, tokenizer, item.id)
            if not sequence.mask[len(theirs)] or sequence.mask[len(theirs) - 1]:
                raise _differs([*ours, *sequence.ids[len(theirs) : len(theirs) + 1]], theirs, tokenizer, item.id)
            compared += 1
    return compared


def _differs(ours: Sequence[int], theirs: Sequence[int], tokenizer: ChatTokenizer, item: str) -> ConflictError:
    index = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return ConflictError(
        f"Training and the engine read item {item!r} differently from token {index} on:\n"
        f"  training: {_around(ours, index, tokenizer)}\n"
        f"  engine:   {_around(theirs, index, tokenizer)}\n"
        "A model trained on these tokens would see others in the chat. Fetch the base again, so that both use one template: "
        "homeroom models pull NAME",
        code="template-parity",
    )


def _around(ids: Sequence[int], index: int, tokenizer: ChatTokenizer) -> str:
    """The tokens around ``index``, each quoted with its id, the one at ``index`` in brackets."""
    shown = []
    for i in range(max(0, index - AROUND), min(len(ids), index + AROUND + 1)):
        text = f"{tokenizer.decode([ids[i]])!r}:{ids[i]}"
        shown.append(f"[{text}]" if i == index else text)
    return " ".join(shown) + ("" if index < len(ids) else " [ends here]")
