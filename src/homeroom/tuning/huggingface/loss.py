"""Loss at the tokens that carry it, and nowhere else: batches, forward, backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from torch.nn import functional  # noqa: TID253

from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.model import LoraModel

HEAD_CHUNK = 256
"""Positions whose logits exist at a time: 256 x 49,152 float32 are 50 MB."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences padded on the right.

    Attributes:
        inputs: (B, T) token ids.
        positions: (N,) where the *next* token carries loss, as indexes into the flattened (B * T).
        labels: (N,) that next token.
        counts: Labels of each sequence, in order: they sum to N.
        tokens: Inputs that are not padding.
    """

    inputs: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    counts: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over label tokens: negative log-likelihood in nats, correct greedy guesses, labels; and inputs run."""

    nll: float = 0.0
    correct: int = 0
    labels: int = 0
    tokens: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.nll + other.nll, self.correct + other.correct, self.labels + other.labels, self.tokens + other.tokens)

    @property
    def loss(self) -> float:
        """Mean per label token."""
        return self.nll / max(1, self.labels)

    @property
    def accuracy(self) -> float:
        """Share of label tokens guessed right, 0 to 1."""
        return self.correct / max(1, self.labels)


def collate(sequences: Sequence[TokenSequence], device: torch.device, pad_id: int = 0) -> Batch:
    """Pad to the longest. No attention mask is needed: padding is on the right and a causal model never looks there."""
    width = max(s.input_length for s in sequences)
    inputs = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    positions: list[int] = []
    labels: list[int] = []
    for row, sequence in enumerate(sequences):
        length = sequence.input_length
        inputs[row, :length] = torch.tensor(sequence.ids[:length])
        marked = [t for t in range(1, len(sequence.ids)) if sequence.mask[t]]
        positions += [row * width + t - 1 for t in marked]
        labels += [sequence.ids[t] for t in marked]
    return Batch(
        inputs.to(device),
        torch.tensor(positions, dtype=torch.long, device=device),
        torch.tensor(labels, dtype=torch.long, device=device),
        tuple(s.labels for s in sequences),
        sum(s.input_length for s in sequences),
    )


def backward(model: LoraModel, batch: Batch, step_labels: int) -> Totals:
    """Add the gradient of this batch's share of the step's mean loss; ``step_labels`` counts the labels of the whole step.

    In two stages, so that only one chunk of logits exists at a time: the head's gradient is gathered at the hidden states
    first, then sent through the layers once.
    """
    hidden = _label_states(model, batch)  # (N, H)
    leaf = hidden.detach().requires_grad_()
    totals = Totals(tokens=batch.tokens)
    for states, labels in _chunks(leaf, batch.labels):
        nll, correct = _nll(model, states, labels)
        (nll.sum() / step_labels).backward()
        totals += Totals(nll.detach().double().sum().item(), correct, len(labels))
    hidden.backward(leaf.grad)
    return totals


def measure(model: LoraModel, batch: Batch) -> tuple[torch.Tensor, Totals]:
    """Negative log-likelihood of each label (N,), float64 on the CPU, and the sums."""
    parts, correct = [], 0
    with torch.no_grad():
        hidden = _label_states(model, batch)
        for states, labels in _chunks(hidden, batch.labels):
            nll, right = _nll(model, states, labels)
            parts.append(nll.double().cpu())
            correct += right
    nll = torch.cat(parts)
    return nll, Totals(nll.sum().item(), correct, len(nll), batch.tokens)


def _label_states(model: LoraModel, batch: Batch) -> torch.Tensor:
    states = model.decoder(input_ids=batch.inputs, use_cache=False).last_hidden_state  # (B, T, H)
    return states.reshape(-1, states.shape[-1]).index_select(0, batch.positions)  # (N, H)


def _chunks(states: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(states.split(HEAD_CHUNK), labels.split(HEAD_CHUNK), strict=True)


def _nll(model: LoraModel, states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
    logits = model.head(states).float()  # (n, vocabulary)
    correct = int((logits.detach().argmax(-1) == labels).sum())
    return functional.cross_entropy(logits, labels, reduction="none"), correct
