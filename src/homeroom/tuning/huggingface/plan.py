"""What a run will need: exact in steps and tokens, forecast in time and memory, with intervals."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.runtime.hardware import Hardware
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import Plan
from homeroom.tuning.huggingface.batches import Step, length_batches, padding_share
from homeroom.tuning.huggingface.calibrate import calibration, facts_of, probe_flops
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.encode import Encoded, TokenSequence
from homeroom.tuning.huggingface.forecast import RECORD, BatchShape, Calibration, Past, Work, corrected, train_seconds
from homeroom.tuning.huggingface.frozen import frozen_bytes, recur
from homeroom.tuning.huggingface.needs import (
    PROCESS_BYTES,
    SMALL_FILES_BYTES,
    Shape,
    advice,
    disk_bytes,
    memory_bytes,
    room_bytes,
    weights_bytes,
)
from homeroom.tuning.recipe import Lora, Recipe

MEMORY_HIGH = 1.25
"""Of the expected memory: what it should stay below, until runs here have shown it."""
FORWARD_SHARE = 0.4
"""Of a token's training: its validation, where a plain speed is given."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of this machine beyond its facts.

    Attributes:
        folder: Where calibrations are kept; None measures and forgets.
        record: Runs that were made, the oldest first: their raw forecast of the training, and what it took. Those of another
            machine, number type or thread count tell nothing here and are passed over.
        tokens_per_s: A speed to plan with in place of all that.
    """

    folder: Path | None = None
    record: Sequence[Past] = ()
    tokens_per_s: float | None = None

    def runs_of(self, machine: str) -> list[Past]:
        """The runs of a machine by its key, and those of which it is not known."""
        return [past for past in self.record if past.machine in ("", machine)]


def make_plan(
    base: BaseFiles,
    recipe: Recipe,
    data: tuple[Encoded, Encoded],
    steps: Sequence[Step],
    compute: Compute,
    machine: Hardware,
    known: Known = Known(),
    *,
    lengths: Sequence[int],
) -> Plan:
    """The plan of a run over encoded training and validation data; what is not known of the machine is measured in seconds.

    ``lengths`` are the tokens that each training item runs through the model: of preferences those of both replies.
    """
    shape = Shape.of(base)
    used = [i for step in steps for i in step.indexes]
    tokens = sum(lengths[i] for i in used)
    kept = frozen_cache_bytes(shape, recipe, data, steps, compute)
    raw, found = _raw_seconds(base, shape, recipe, data, steps, compute, machine, known, lengths=lengths, cached=bool(kept))
    key = machine_key(base, compute, machine) if compute.is_here else ""
    alike = known.runs_of(key) if key else []
    time_s, low, high = corrected(raw, alike) if raw else (0.0, 0.0, 0.0)
    host, gpu = expected_memory(shape, recipe, compute, alike)
    disk = disk_bytes(shape, recipe) + kept
    lacks = [*_lacks_memory(recipe, shape, compute, machine, host), *_lacks_disk(shape, recipe, machine)]
    details: dict[str, Any] = {  # JSON
        "base": base.name,
        "device": compute.name,
        "machine": key,
        "tokens_per_s": round(tokens / raw, 1) if raw else 0.0,
        "tokens_per_s_measured": known.tokens_per_s is not None,
        "train_raw_s": round(raw, 2),
        "memory_raw_bytes": memory_bytes(shape, recipe, compute),
        "calibration_error": None if found is None else round(found.error, 4),
        "runs_before": len(alike),
        **_counts(data, steps, lengths),
        "lora_parameters": shape.lora_parameters(recipe),
        "weights_bytes": weights_bytes(shape, compute),
        "frozen_cache_bytes": kept,
    }
    return Plan(
        method="huggingface",
        examples=len(lengths),
        trained_tokens=tokens,
        steps=len(steps),
        time_s=round(time_s, 1),
        time_low_s=round(low, 1),
        time_high_s=round(high, 1),
        memory_bytes=host,
        memory_high_bytes=round(host * MEMORY_HIGH),
        gpu_memory_bytes=gpu,
        disk_bytes=disk,
        warnings=(
            *_warnings(recipe, data),
            *_unseen(recipe, len(set(used)), len(lengths)),
            *(lacks or _lacks_room_to_keep(machine, disk, kept)),
        ),
        fits=not lacks,
        advice=tuple(advice(shape, recipe, compute, machine)) if lacks else (),
        details=details,
    )


def _counts(data: tuple[Encoded, Encoded], steps: Sequence[Step], lengths: Sequence[int]) -> dict[str, Any]:  # JSON
    """What is exact in a plan beyond its steps and tokens."""
    used = [i for step in steps for i in step.indexes]
    return {
        "epochs": round(len(used) / max(1, len(lengths)), 2),
        "label_tokens": sum(data[0].sequences[i].labels for i in used),
        "validation_examples": len(data[1].sequences),
        "padding_share": round(padding_share(lengths, steps), 4),
    }


def machine_key(base: BaseFiles, compute: Compute, machine: Hardware) -> str:
    """What runs must share for one to tell of the other: machine, number type and code, whatever the base's shape."""
    facts = {k: v for k, v in facts_of(base, compute, machine).items() if k != "shape"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _raw_seconds(
    base: BaseFiles,
    shape: Shape,
    recipe: Recipe,
    data: tuple[Encoded, Encoded],
    steps: Sequence[Step],
    compute: Compute,
    machine: Hardware,
    known: Known,
    *,
    lengths: Sequence[int],
    cached: bool,
) -> tuple[float, Calibration | None]:
    """Seconds of training and validating before the machine's record corrects them, and what they were worked out from."""
    training, validation = data
    if known.tokens_per_s is not None:
        used = sum(lengths[i] for step in steps for i in step.indexes)
        checked = checks(recipe, steps) * sum(s.input_length for s in validation.sequences)
        return (used + checked * FORWARD_SHARE) / known.tokens_per_s, None
    if not compute.is_here:
        return 0.0, None  # no speed is known, and none is guessed
    found = calibration(base, compute, machine, known.folder)
    packed = compute.device.type == "cuda"
    batches = [batch for step in steps for batch in step.micro_batches]

    def shaped(batch: Sequence[int], sequences: Sequence[TokenSequence], own: Sequence[int]) -> BatchShape:
        return BatchShape.of([own[i] for i in batch], sum(sequences[i].labels for i in batch), packed=packed)

    trained = [shaped(batch, training.sequences, lengths) for batch in batches]
    valid_lengths = [s.input_length for s in validation.sequences]
    met: set[int] = set()
    fresh = []
    for batch, one in zip(batches, trained, strict=True):
        if not cached or not met.issuperset(batch):
            fresh.append(one)
        met.update(batch)
    adapted = shape.adapted_layers(recipe)
    work = Work(
        batches=trained,
        frozen_batches=fresh,
        validation=[
            shaped(b, validation.sequences, valid_lengths)
            for b in (length_batches(valid_lengths, recipe.batch_tokens) if valid_lengths else ())
        ],
        checks=checks(recipe, steps),
        steps=len(steps),
        adapted=adapted,
        frozen=shape.layers - adapted,
        lora_parameters=shape.trained_parameters(recipe),
        layer_share=shape.layer_flops(recipe) / shape.layer_flops(recipe.model_copy(update={"lora": Lora(rank=found.rank)})),
    )
    return train_seconds(found, work, probe_flops(base, compute)), found


def checks(recipe: Recipe, steps: Sequence[Step]) -> int:
    """How often a run that is not stopped early is validated: before the first step, every so many, after the last."""
    return 2 + (len(steps) - 1) // recipe.validation.every_steps


def expected_memory(shape: Shape, recipe: Recipe, compute: Compute, record: Sequence[Past]) -> tuple[int, int]:
    """Peak of the host's memory and of the GPU's; the host's moved by what runs here took, once there are three."""
    computed = memory_bytes(shape, recipe, compute)
    if compute.device.type != "cpu":
        return PROCESS_BYTES + shape.parameters * compute.dtype.itemsize, computed  # read on the host first
    past = [one.actual_bytes / one.forecast_bytes for one in record[-RECORD:] if one.actual_bytes and one.forecast_bytes]
    return round(computed * (statistics.median(past) if len(past) >= 3 else 1.0)), 0


def _lacks_memory(recipe: Recipe, shape: Shape, compute: Compute, machine: Hardware, host: int) -> list[str]:
    room = room_bytes(compute, machine)
    needed = host if compute.device.type == "cpu" else memory_bytes(shape, recipe, compute)
    if not room or needed <= room:
        return []
    where = "memory are needed and this machine has" if compute.device.type == "cpu" else "GPU memory are needed and the GPU has"
    return [f"About {needed / 1e9:.1f} GB of {where} {room / 1e9:.1f} GB: lower batch_tokens (now {recipe.batch_tokens})."]


def _lacks_disk(shape: Shape, recipe: Recipe, machine: Hardware) -> list[str]:
    free, needed = machine.disk_free_bytes, disk_bytes(shape, recipe)
    if not free or needed - SMALL_FILES_BYTES <= free:
        return []
    return [
        f"About {needed / 1e6:.1f} MB of disk are needed and {free / 1e6:.1f} MB are free: it will not start. "
        f"Make space: homeroom jobs prune; or lower checkpoint.keep (now {recipe.checkpoint.keep})."
    ]


def _lacks_room_to_keep(machine: Hardware, disk: int, kept: int) -> list[str]:
    if not kept or not machine.disk_free_bytes or disk <= machine.disk_free_bytes:
        return []
    return [f"The disk has no room to keep what the frozen layers compute ({kept / 1e6:.0f} MB): later epochs take longer."]


def frozen_cache_bytes(
    shape: Shape, recipe: Recipe, data: tuple[Encoded, Encoded], steps: Sequence[Step], compute: Compute
) -> int:
    """Disk for the kept states of the layers without LoRA; 0 where none are kept."""
    if not recipe.lora.cache_frozen or shape.adapted_layers(recipe) == shape.layers:
        return 0
    training, validation = data
    batches = [batch for step in steps for batch in step.micro_batches]
    met = {i for batch in batches for i in batch} if recur(batches) else set()
    tokens = sum(training.sequences[i].input_length for i in met) + sum(s.input_length for s in validation.sequences)
    return frozen_bytes(tokens, shape.hidden, compute.dtype)


def _unseen(recipe: Recipe, seen: int, there: int) -> list[str]:
    """A budget of tokens that ends the run before it has seen every example."""
    if recipe.max_trained_tokens is None or seen >= there:
        return []
    return [
        f"Only {seen} of {there} examples are trained on: max_trained_tokens = {recipe.max_trained_tokens:,} ends the run. "
        "Raise it, or take a recipe without: --recipe recipes/course.yaml"
    ]


def _warnings(recipe: Recipe, data: tuple[Encoded, Encoded]) -> list[str]:
    training, validation = data
    found = []
    if not validation.sequences:
        found.append("There are no validation examples: the last step is kept, whether it is the best or not.")
    if len(training.sequences) < 20:
        found.append(f"{len(training.sequences)} training examples are few: expect the model to learn a manner, not a skill.")
    if training.too_long:
        found.append(f"{training.too_long} left out: longer than data.max_sequence_tokens = {recipe.data.max_sequence_tokens}.")
    return found
