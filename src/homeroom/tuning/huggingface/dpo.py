"""Direct preference optimisation: prefer one reply to another, measured against the base itself.

Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
https://arxiv.org/abs/2305.18290, equation 7:

    loss = -log sigmoid(margin)
    margin = beta ((log p(chosen) - log p0(chosen)) - (log p(rejected) - log p0(rejected)))

p is the model, p0 the model without its adapter. p0 never changes, so its log-probabilities are computed once and kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it
from torch.nn import functional  # noqa: TID253

from homeroom.schema.jobs import JobCancelled, Reporter
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically
from homeroom.tuning.huggingface.batches import cut, length_batches
from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.loss import HEAD_CHUNK, Batch, Totals, collate, cross_entropy, label_states, measure
from homeroom.tuning.huggingface.memory import free_memory, refused
from homeroom.tuning.huggingface.model import LoraModel
from homeroom.tuning.huggingface.pairs import EncodedPairs
from homeroom.tuning.recipe import Recipe

FILE = "reference.safetensors"
"""In the run's folder: the log-probabilities of the base, by a hash of everything that decides them."""


class Preferences:
    """Pairs of replies, and the loss above as the run's objective.

    Args:
        model: With LoRA.
        recipe: The run's: its ``beta`` and ``batch_tokens`` are used.
        training: Every training pair.
        validation: Every validation pair.
        folder: The run's own.
        reporter: Told how far the base's log-probabilities are; asked whether to stop.
        split: In how many parts the base's batches are computed at first.

    Raises:
        JobCancelled: the reporter asked to stop.
        StorageError: ``no-space``.
    """

    def __init__(
        self,
        model: LoraModel,
        recipe: Recipe,
        training: EncodedPairs,
        validation: EncodedPairs,
        folder: Path,
        reporter: Reporter,
        split: int = 1,
    ) -> None:
        self._model, self._beta = model, recipe.beta
        self._training, self._validation = training, validation
        self._lengths = training.lengths
        self._batches = length_batches(validation.lengths, recipe.batch_tokens)
        both = [_flat(training), _flat(validation)]
        known = reference(model, [*both[0], *both[1]], recipe.batch_tokens, folder / FILE, reporter, split)
        self._base_training, self._base_validation = known.split([len(both[0]), len(both[1])])

    @property
    def lengths(self) -> Sequence[int]:
        """See `Objective`."""
        return self._lengths

    def share(self, indexes: Sequence[int]) -> int:
        """All pairs of the step."""
        return len(indexes)

    def backward(self, indexes: Sequence[int], terms: int) -> Totals:
        """Add the gradient of the pairs' part of a mean over ``terms`` pairs.

        Only the logits of `HEAD_CHUNK` positions exist at a time: the head runs twice, for the log-probabilities that the loss
        needs whole, and for the gradient that they decide.
        """
        batch = self._batch(self._training, indexes)
        hidden = label_states(self._model, batch)  # (N, H)
        with torch.no_grad():
            log_p = _sums(-_losses(self._model, hidden, batch), batch)  # (2P,)
            margins = self._margins(log_p, self._base_training, indexes)  # (P,)
            push = self._beta * torch.sigmoid(-margins) / terms  # what a nat more of the chosen reply takes off the loss
            weights = torch.cat([push, -push]).repeat_interleave(torch.tensor(batch.counts))  # (N,)
            gradient = _gradient(self._model, hidden, batch, weights)
        hidden.backward(gradient)
        return _totals(margins, batch)

    def validation_batches(self) -> Sequence[tuple[int, ...]]:
        """See `Objective`."""
        return self._batches

    def measure(self, indexes: Sequence[int]) -> Totals:
        """See `Objective`."""
        batch = self._batch(self._validation, indexes)
        log_p = _sums(-measure(self._model, batch)[0], batch)
        return _totals(self._margins(log_p, self._base_validation, indexes), batch)

    def close(self) -> None:
        """Nothing: what is kept is small."""

    def _batch(self, pairs: EncodedPairs, indexes: Sequence[int]) -> Batch:
        """The chosen sequences, then the rejected ones."""
        sequences = [pairs.chosen.sequences[i] for i in indexes] + [pairs.rejected[i] for i in indexes]
        return collate(sequences, self._model.compute.device, packed=self._model.packs)

    def _margins(self, log_p: torch.Tensor, base: torch.Tensor, indexes: Sequence[int]) -> torch.Tensor:
        """(2P,) log-probabilities of chosen and rejected replies to (P,) margins, float64 on the CPU."""
        places = torch.tensor([2 * i for i in indexes] + [2 * i + 1 for i in indexes])
        better, worse = (log_p - base[places]).chunk(2)
        return self._beta * (better - worse)


def reference(
    model: LoraModel, sequences: Sequence[TokenSequence], batch_tokens: int, path: Path, reporter: Reporter, split: int = 1
) -> torch.Tensor:
    """Log-probability of each sequence's reply under the base, (S,) float64: read from ``path``, or computed and kept there.

    Batches are computed in ``split`` parts, and in twice as many wherever memory runs out.

    Raises:
        JobCancelled: the reporter asked to stop.
        MemoryError, RuntimeError: no room for one sequence alone; see `homeroom.tuning.huggingface.memory.memory_errors`.
        StorageError: ``no-space``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    digest = hashlib.sha256(f"{model.identity} {model.compute.name} {torch.__version__}".encode())
    for sequence in sequences:
        digest.update(json.dumps((sequence.ids, sequence.mask)).encode())
    name = digest.hexdigest()
    try:
        known = load_file(path).get(name)
    except (OSError, SafetensorError):  # not there, or not whole
        known = None
    if known is not None:
        return known
    found = torch.zeros(len(sequences), dtype=torch.float64)
    batches = length_batches([s.input_length for s in sequences], batch_tokens)
    with adapter_off(model):
        for number, whole in enumerate(batches):
            reporter.progress(0.0, f"measuring the base on {len(sequences)} replies: {number / len(batches):.0%}")
            while (part := _measured(model, sequences, cut([whole], split), reporter, alone=split >= len(whole))) is None:
                free_memory()
                split *= 2
                reporter.event(
                    f"Memory ran out while the base was measured: its batches have {batch_tokens // split} tokens from here on.",
                    level="warning",
                )
            found[list(whole)] = part
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save({name: found}))
    return found


def _measured(
    model: LoraModel, sequences: Sequence[TokenSequence], parts: Sequence[tuple[int, ...]], reporter: Reporter, *, alone: bool
) -> torch.Tensor | None:
    """Log-probabilities of the ``parts`` in their order, (S,). None when memory ran out and there is something to halve."""
    found: list[torch.Tensor] = []
    try:
        for indexes in parts:
            if reporter.should_stop():
                raise JobCancelled
            batch = collate([sequences[i] for i in indexes], model.compute.device, packed=model.packs)
            found.append(_sums(-measure(model, batch)[0], batch))
    except (MemoryError, RuntimeError) as error:
        if alone or not refused(error):
            raise
        return None
    return torch.cat(found)


@contextmanager
def adapter_off(model: LoraModel) -> Iterator[None]:
    """Within it the model computes what its base does: B is zero, so that the product B A adds nothing. No dropout."""
    before = model.copy_weights()
    training = model.peft.training
    model.set_weights({name: torch.zeros_like(weight) if "lora_B" in name else weight for name, weight in before.items()})
    model.peft.eval()
    try:
        yield
    finally:
        model.set_weights(before)
        model.peft.train(training)


def _flat(pairs: EncodedPairs) -> list[TokenSequence]:
    """Chosen and rejected in turn: pair ``i`` has the places ``2 i`` and ``2 i + 1``."""
    return [sequence for both in zip(pairs.chosen.sequences, pairs.rejected, strict=True) for sequence in both]


def _losses(model: LoraModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Negative log-likelihood of each label, (N,) float64 on the CPU."""
    parts = [
        functional.cross_entropy((states @ model.head.T).float(), labels, reduction="none").double().cpu()
        for states, labels in zip(hidden.split(HEAD_CHUNK), batch.labels.split(HEAD_CHUNK), strict=True)
    ]
    return torch.cat(parts)


def _gradient(model: LoraModel, hidden: torch.Tensor, batch: Batch, weights: torch.Tensor) -> torch.Tensor:
    """(N, H): the gradient at the hidden states of each label's loss times its weight."""
    gradient = torch.empty_like(hidden)
    scaled = weights.float().to(hidden.device)[:, None]  # (N, 1)
    for start in range(0, len(hidden), HEAD_CHUNK):
        chunk = slice(start, start + HEAD_CHUNK)
        gradient[chunk] = cross_entropy(hidden[chunk], model.head, batch.labels[chunk], scaled[chunk])[2]
    return gradient


def _sums(values: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(N,) values of labels to their sum for each sequence."""
    return torch.stack([part.sum() for part in values.split(list(batch.counts))])


def _totals(margins: torch.Tensor, batch: Batch) -> Totals:
    """Sums over pairs: the loss, and how many replies are preferred as they should be."""
    return Totals(functional.softplus(-margins).sum().item(), int((margins > 0).sum()), len(margins), batch.tokens)
