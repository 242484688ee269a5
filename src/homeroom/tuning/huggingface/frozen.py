"""What the layers below the first adapted one make of each example: computed once, kept on disk, read in every later epoch.

With LoRA on the last k layers the layers below never change, so neither does what they make of an example. The files lie in
the run's own folder, one for each micro-batch in which examples first met, and are named by everything that decides their
bytes: base, layer, number type, threads, tokens. A file is whole or not there, so a run that was killed goes on with what it
had; a missing file is computed again in the same micro-batch, since the same rows in another batch may round differently.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import StorageError
from homeroom.schema.jobs import Reporter
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically
from homeroom.tuning.huggingface.decoder import Decoder
from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.loss import Batch, collate
from homeroom.tuning.huggingface.model import LoraModel

FOLDER = "frozen"
"""Beside the checkpoints, in the run's folder."""
CHECKPOINTS = 4


class FrozenStates:
    """The (T, H) input of the first adapted layer for each of some sequences.

    Args:
        model: With LoRA on its last layers.
        sequences: All that will be asked for.
        batches: Micro-batches in their order; each sequence belongs to the first one that has it.
        folder: Where the files lie; made when needed.
        reporter: Told once when the disk has no room; what does not fit is computed anew each time.
    """

    def __init__(
        self,
        model: LoraModel,
        sequences: Sequence[TokenSequence],
        batches: Sequence[tuple[int, ...]],
        folder: Path,
        reporter: Reporter,
    ) -> None:
        self._model, self._sequences, self._folder, self._reporter = model, sequences, folder, reporter
        # Left free, because checkpoints matter more: a few of them, each with weights, two moments and the best weights.
        self._reserve_bytes = CHECKPOINTS * 4 * sum(weight.nbytes for weight in model.trainable().values())
        self._home: dict[int, tuple[int, ...]] = {}
        for batch in batches:
            fresh = tuple(index for index in batch if index not in self._home)
            self._home.update(dict.fromkeys(fresh, fresh))
        self._full = False

    def into(self, batch: Batch, indexes: Sequence[int]) -> Batch:
        """``batch``, which holds the sequences ``indexes``, with the states that its lower layers need not compute."""
        found: dict[int, torch.Tensor] = {}
        for home in dict.fromkeys(self._home[index] for index in indexes):
            found |= self._states(home, [index for index in home if index in indexes])
        rows = [found[index] for index in indexes]  # (T_i, H) each
        lower = (
            torch.cat(rows)[None]
            if batch.packed is not None
            else torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # nothing looks at the zeros on the right
        )
        return replace(batch, lower=lower.to(self._model.compute.device))

    def _states(self, home: tuple[int, ...], wanted: Sequence[int]) -> dict[int, torch.Tensor]:
        """Index to (T, H), of one file."""
        from safetensors import SafetensorError, safe_open

        path = self._folder / f"{self._name(home)}.safetensors"
        try:
            with safe_open(path, "pt") as file:
                return {index: file.get_tensor(str(index)) for index in wanted}
        except (OSError, SafetensorError):  # not there, or not whole
            states = self._compute(home)
            self._keep(path, states)
            return states

    def _compute(self, home: tuple[int, ...]) -> dict[int, torch.Tensor]:
        decoder = self._model.decoder
        assert isinstance(decoder, Decoder)
        batch = collate([self._sequences[i] for i in home], self._model.compute.device)
        lengths = [self._sequences[i].input_length for i in home]
        with torch.no_grad():
            lower = decoder.lower(batch.inputs, self._model.first_adapted, batch.packed)  # (B, T, H)
        rows = lower[0].split(lengths) if batch.packed else [row[:length] for row, length in zip(lower, lengths, strict=True)]
        return {index: row.to("cpu").contiguous() for index, row in zip(home, rows, strict=True)}

    def _keep(self, path: Path, states: dict[int, torch.Tensor]) -> None:
        from safetensors.torch import save

        if self._full:
            return
        data = save({str(index): rows for index, rows in states.items()})
        try:
            with disk_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._full = shutil.disk_usage(self._folder).free < len(data) + self._reserve_bytes
                if not self._full:
                    write_atomically(path, data)
        except StorageError as error:
            if error.code != "no-space":
                raise
            self._full = True
        if self._full:
            text = "The disk has no room to keep what the frozen layers compute: later epochs take longer, nothing else changes."
            self._reporter.event(text, level="warning")

    def _name(self, home: tuple[int, ...]) -> str:
        tokens = [self._sequences[i].ids[: self._sequences[i].input_length] for i in home]
        facts = [self._model.identity, self._model.first_adapted, self._model.compute.name, torch.__version__, home, tokens]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def frozen_bytes(tokens: int, hidden: int, dtype: torch.dtype) -> int:
    """Disk that the states of so many tokens take."""
    return tokens * hidden * int(dtype.itemsize)


def recur(batches: Sequence[tuple[int, ...]]) -> bool:
    """Whether a sequence is met more than once, so that keeping its states pays."""
    indexes = [index for batch in batches for index in batch]
    return len(set(indexes)) < len(indexes)


def remove(folder: Path) -> None:
    """Delete the files: the run is finished."""
    shutil.rmtree(folder, ignore_errors=True)
