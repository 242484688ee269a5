"""Loss at the tokens that carry it, and nowhere else: batches, forward, backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from torch.nn import functional  # noqa: TID253

from homeroom.tuning.huggingface.decoder import Decoder
from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.model import LoraModel

HEAD_CHUNK = 256
"""Positions whose logits exist at a time: 256 x 49,152 float32 are 50 MB."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences padded on the right, each in its row; or packed: one after the other in a single row, without padding.

    Attributes:
        inputs: (B, T) token ids; (1, T) when packed.
        positions: (N,) where the *next* token carries loss, as indexes into the flattened (B * T).
        labels: (N,) that next token.
        counts: Labels of each sequence, in order: they sum to N.
        tokens: Inputs that are not padding.
        packed: Lengths of the packed sequences; None when padded.
        lower: (B, T, H) what the layers below the first adapted one make of the inputs, where that is known already.
    """

    inputs: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    counts: tuple[int, ...]
    tokens: int
    packed: tuple[int, ...] | None = None
    lower: torch.Tensor | None = None


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


def collate(sequences: Sequence[TokenSequence], device: torch.device, *, packed: bool | None = None, pad_id: int = 0) -> Batch:
    """One batch of these sequences: packed on a GPU and padded on a processor, unless ``packed`` says otherwise.

    Padding needs no attention mask: it is on the right and a causal model never looks there.
    """
    packed = device.type == "cuda" if packed is None else packed
    lengths = tuple(s.input_length for s in sequences)
    width = max(lengths)
    starts = [sum(lengths[:row]) if packed else row * width for row in range(len(lengths))]
    inputs = torch.full((sum(lengths) if packed else len(lengths) * width,), pad_id, dtype=torch.long)
    positions: list[int] = []
    labels: list[int] = []
    for sequence, start, length in zip(sequences, starts, lengths, strict=True):
        inputs[start : start + length] = torch.tensor(sequence.ids[:length])
        marked = [t for t in range(1, len(sequence.ids)) if sequence.mask[t]]
        positions += [start + t - 1 for t in marked]
        labels += [sequence.ids[t] for t in marked]
    return Batch(
        inputs.view(1 if packed else len(lengths), -1).to(device),
        torch.tensor(positions, dtype=torch.long).to(device),
        torch.tensor(labels, dtype=torch.long).to(device),
        tuple(s.labels for s in sequences),
        sum(lengths),
        lengths if packed else None,
    )


def backward(model: LoraModel, batch: Batch, step_labels: int) -> Totals:
    """Add the gradient of this batch's share of the step's mean loss; ``step_labels`` counts the labels of the whole step.

    In two stages, so that only one chunk of logits exists at a time: the head's gradient is gathered at the hidden states
    first, then sent through the layers once.
    """
    hidden = label_states(model, batch)  # (N, H)
    gradient = torch.empty_like(hidden)
    nll = torch.zeros((), dtype=torch.float64, device=hidden.device)
    correct = torch.zeros((), dtype=torch.long, device=hidden.device)
    trained_head = _gradient_of(model.head) if model.head.requires_grad else None
    with torch.no_grad():
        for start in range(0, len(hidden), HEAD_CHUNK):
            chunk = slice(start, start + HEAD_CHUNK)
            losses, hits, gradient[chunk] = cross_entropy(
                hidden[chunk], model.head, batch.labels[chunk], 1 / step_labels, trained_head
            )
            nll += losses.double().sum()
            correct += hits
    hidden.backward(gradient)
    return Totals(nll.item(), int(correct), len(batch.labels), batch.tokens)


def _gradient_of(weight: torch.Tensor) -> torch.Tensor:
    """Where the gradient of a weight is gathered."""
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def cross_entropy(
    states: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    weight: float | torch.Tensor,
    head_gradient: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss of each label, how many are the likeliest token, and the gradient of the sum of the losses, each times its weight.

    Shapes: states (n, H), head (vocabulary, H), labels (n,), weight one number or (n, 1); results (n,) float32, (), (n, H). One
    (n, vocabulary) tensor holds the logits, then the probabilities, then their gradient: softmax minus one at the label. The
    head's own gradient (vocabulary, H) is added to ``head_gradient`` where that is given.
    """
    logits = (states @ head.T).float()  # (n, vocabulary)
    top, guess = logits.max(-1, keepdim=True)
    at_label = labels[:, None]
    losses = top - logits.gather(-1, at_label)
    total = logits.sub_(top).exp_().sum(-1, keepdim=True)
    losses += total.log()
    logits.mul_(weight / total)
    at_its_label = -weight if isinstance(weight, torch.Tensor) else logits.new_full(at_label.shape, -weight)
    logits.scatter_add_(-1, at_label, at_its_label)
    pushes = logits.to(head.dtype)
    if head_gradient is not None:
        head_gradient.addmm_(pushes.T, states)
    return losses[:, 0], (guess == at_label).sum(), pushes @ head


def measure(model: LoraModel, batch: Batch) -> tuple[torch.Tensor, Totals]:
    """Negative log-likelihood of each label (N,), float64 on the CPU, and the sums."""
    parts, correct = [], 0
    with torch.no_grad():
        hidden = label_states(model, batch)
        for states, labels in zip(hidden.split(HEAD_CHUNK), batch.labels.split(HEAD_CHUNK), strict=True):
            logits = (states @ model.head.T).float()  # (n, vocabulary)
            parts.append(functional.cross_entropy(logits, labels, reduction="none").double().cpu())
            correct += int((logits.argmax(-1) == labels).sum())
    nll = torch.cat(parts)
    return nll, Totals(nll.sum().item(), correct, len(nll), batch.tokens)


def label_states(model: LoraModel, batch: Batch) -> torch.Tensor:
    """(N, H) hidden states at the positions whose next token carries loss."""
    if batch.lower is None:
        states = model.decoder(batch.inputs, batch.packed)  # (B, T, H)
    else:
        assert isinstance(model.decoder, Decoder)
        states = model.decoder.upper(batch.lower, model.first_adapted, batch.packed)
    return states.reshape(-1, states.shape[-1]).index_select(0, batch.positions)  # (N, H)
