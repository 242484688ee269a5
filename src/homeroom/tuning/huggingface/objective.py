"""What a run learns: the loss of a micro-batch and its gradient. The loop around it (`trainer.py`) is the same for all.

`Replies` learns to write the replies of examples; `homeroom.tuning.huggingface.dpo` to prefer one reply to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from homeroom.schema.jobs import Reporter
from homeroom.tuning.huggingface.batches import Step, length_batches
from homeroom.tuning.huggingface.decoder import Decoder
from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.frozen import FrozenStates, recur, remove
from homeroom.tuning.huggingface.loss import Batch, Totals, backward, collate, measure
from homeroom.tuning.huggingface.model import LoraModel
from homeroom.tuning.recipe import Recipe


class Objective(Protocol):
    """Training and validation items by index, and what each teaches."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens that each training item runs through the model."""
        ...

    def share(self, indexes: Sequence[int]) -> int:
        """Over how many terms the loss of a step with these training items is a mean."""
        ...

    def backward(self, indexes: Sequence[int], terms: int) -> Totals:
        """Add the gradient of a micro-batch of training items: its part of a mean over ``terms``."""
        ...

    def validation_batches(self) -> Sequence[tuple[int, ...]]:
        """Validation items in micro-batches, the same each time; none when there are no items."""
        ...

    def measure(self, indexes: Sequence[int]) -> Totals:
        """The loss of validation items."""
        ...

    def close(self) -> None:
        """The run is finished: remove what was kept for it."""
        ...


class Replies:
    """Cross-entropy of the tokens that carry loss.

    Args:
        model: With LoRA.
        recipe: The run's.
        training: Every training sequence.
        validation: Every validation sequence.
        steps: The run's order.
        folder: What layers without LoRA compute is kept here.
        reporter: Told when the disk is full.
    """

    def __init__(
        self,
        model: LoraModel,
        recipe: Recipe,
        training: Sequence[TokenSequence],
        validation: Sequence[TokenSequence],
        steps: Sequence[Step],
        folder: Path,
        reporter: Reporter,
    ) -> None:
        self._model, self._training, self._validation, self._folder = model, training, validation, folder
        self._batches = length_batches([s.input_length for s in validation], recipe.batch_tokens)
        self._frozen_training: FrozenStates | None = None  # where all layers are computed each time
        self._frozen_validation: FrozenStates | None = None
        if recipe.lora.cache_frozen and model.first_adapted and isinstance(model.decoder, Decoder):
            batches = [batch for step in steps for batch in step.micro_batches]
            self._frozen_training = FrozenStates(model, training, batches, folder, reporter) if recur(batches) else None
            self._frozen_validation = FrozenStates(model, validation, self._batches, folder, reporter)

    @property
    def lengths(self) -> Sequence[int]:
        """See `Objective`."""
        return [sequence.input_length for sequence in self._training]

    def share(self, indexes: Sequence[int]) -> int:
        """All label tokens of the step."""
        return sum(self._training[i].labels for i in indexes)

    def backward(self, indexes: Sequence[int], terms: int) -> Totals:
        """See `Objective`."""
        return backward(self._model, self._batch(self._training, self._frozen_training, indexes), terms)

    def validation_batches(self) -> Sequence[tuple[int, ...]]:
        """See `Objective`."""
        return self._batches

    def measure(self, indexes: Sequence[int]) -> Totals:
        """See `Objective`."""
        return measure(self._model, self._batch(self._validation, self._frozen_validation, indexes))[1]

    def close(self) -> None:
        """See `Objective`."""
        remove(self._folder)

    def _batch(self, sequences: Sequence[TokenSequence], frozen: FrozenStates | None, indexes: Sequence[int]) -> Batch:
        batch = collate([sequences[i] for i in indexes], self._model.compute.device, packed=self._model.packs)
        return batch if frozen is None else frozen.into(batch, indexes)
