"""Whether merged weights compute what the base computes with its adapter: both loaded by the libraries, logit by logit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch  # noqa: TID253 - this package is torch's leaf: only an export imports it

from homeroom.models.template import VARIABLES
from homeroom.schema.examples import Message
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface.device import Compute, computing
from homeroom.tuning.huggingface.model import load_adapter, load_base, quiet_libraries

TOLERANCE: Mapping[str, float] = {"f32": 1e-4, "f16": 2e-2, "bf16": 2e-1}
"""Of the largest difference between two logits, in standard deviations of all logits: sums in another order, and rounding."""


@dataclass(frozen=True, slots=True)
class LogitDifference:
    """How far two models lie apart.

    Attributes:
        logits: How many were compared.
        largest: Largest difference between two of them.
        spread: Standard deviation of the original's.
        same_tokens: Whether transformers' own tokenizer and chat template give the prompts that Homeroom gives.
    """

    logits: int
    largest: float
    spread: float
    same_tokens: bool

    def within(self, number: str) -> bool:
        """Whether that is no more than rounding to a number type explains."""
        return self.largest <= TOLERANCE[number] * max(self.spread, 1e-6)

    def text(self) -> str:
        """In words."""
        return f"{self.logits:,} logits, at most {self.largest:.2g} apart (they spread by {self.spread:.2g})"


def logit_difference(
    base: BaseFiles, adapter: Path | None, merged: Path, conversations: Sequence[tuple[Sequence[Message], Sequence[int]]]
) -> LogitDifference:
    """Compare on the processor, in float32.

    Args:
        base: The base's files.
        adapter: Folder with the PEFT adapter; None for none.
        merged: The folder that was written.
        conversations: Messages, and the token ids that Homeroom makes of them.
    """
    quiet_libraries()
    compute = Compute(torch.device("cpu"), torch.float32, torch.get_num_threads())
    prompts = [torch.tensor([list(ids)]) for _, ids in conversations]
    with computing(compute, seed=0), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT and transformers on each other
        original = load_base(base, compute)
        if adapter is not None:
            original = load_adapter(original, adapter, base, compute).peft.eval()
        wanted = [original(input_ids=ids).logits[0] for ids in prompts]  # (T, vocabulary) each
        del original
        found = _loaded(merged)
        apart = [(found(input_ids=ids).logits[0] - rows).abs().max() for ids, rows in zip(prompts, wanted, strict=True)]
        same = _same_tokens(merged, conversations)
    every = torch.cat([rows.flatten() for rows in wanted])
    return LogitDifference(every.numel(), float(torch.stack(apart).max()), float(every.std()), same)


def _loaded(folder: Path) -> torch.nn.Module:
    """As anybody would load it, and then in float32."""
    from transformers import AutoModelForCausalLM

    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    return model.eval()


def _same_tokens(folder: Path, conversations: Sequence[tuple[Sequence[Message], Sequence[int]]]) -> bool:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for messages, ids in conversations:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **VARIABLES)
        if tokenizer(text, add_special_tokens=False)["input_ids"] != list(ids):
            return False
    return True
