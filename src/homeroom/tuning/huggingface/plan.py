"""What a run will need: exact in steps and tokens, forecast in time and memory, with intervals."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import StorageError
from homeroom.runtime.hardware import Hardware, hardware
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import Plan
from homeroom.tuning.huggingface.attention import WHOLE_LIMIT
from homeroom.tuning.huggingface.batches import Step, length_batches, padding_share
from homeroom.tuning.huggingface.calibrate import calibration, facts_of, probe_flops
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.encode import Encoded, TokenSequence
from homeroom.tuning.huggingface.forecast import RECORD, BatchShape, Calibration, Past, Work, corrected, train_seconds
from homeroom.tuning.huggingface.frozen import frozen_bytes, recur
from homeroom.tuning.huggingface.loss import HEAD_CHUNK
from homeroom.tuning.huggingface.model import parameter_count
from homeroom.tuning.recipe import Lora, Recipe

PROCESS_BYTES = 600_000_000
"""Python, PyTorch and transformers before any model."""
SMALL_FILES_BYTES = 2_000_000
"""Recipe, history, previews, manifest."""
MEMORY_HIGH = 1.25
"""Of the expected memory: what it should stay below, until runs here have shown it."""
FORWARD_SHARE = 0.4
"""Of a token's training: its validation, where a plain speed is given."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of this machine beyond its facts.

    Attributes:
        folder: Where calibrations are kept; None measures and forgets.
        record: Runs that this machine made, the oldest first: their raw forecast of the training, and what it took.
        tokens_per_s: A speed to plan with in place of all that.
    """

    folder: Path | None = None
    record: Sequence[Past] = ()
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a base model, from its ``config.json`` and the headers of its weights."""

    parameters: int
    embedding: int
    layers: int
    hidden: int
    intermediate: int
    kv_width: int
    vocabulary: int
    heads: int

    @classmethod
    def of(cls, base: BaseFiles) -> Shape:
        """Read the sizes."""
        config = json.loads((base.weights / "config.json").read_text(encoding="utf-8"))
        heads = int(config["num_attention_heads"])
        head = int(config.get("head_dim") or config["hidden_size"] // heads)
        parameters, embedding = parameter_count(base)
        return cls(
            parameters=parameters,
            embedding=embedding,
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            kv_width=head * int(config.get("num_key_value_heads") or heads),
            vocabulary=int(config["vocab_size"]),
            heads=heads,
        )

    def adapted_layers(self, recipe: Recipe) -> int:
        """How many layers get LoRA."""
        return min(self.layers, recipe.lora.last_layers or self.layers)

    def lora_parameters(self, recipe: Recipe) -> int:
        """Weights that are trained."""
        h, f, kv = self.hidden, self.intermediate, self.kv_width
        sides = {
            "q_proj": h + h,
            "k_proj": h + kv,
            "v_proj": h + kv,
            "o_proj": h + h,
            "gate_proj": h + f,
            "up_proj": h + f,
            "down_proj": f + h,
        }
        return recipe.lora.rank * self.adapted_layers(recipe) * sum(sides[name] for name in recipe.lora.target_modules)

    def layer_flops(self, recipe: Recipe) -> float:
        """Operations of one trained token in an adapted layer: forward and back, of the frozen weights without their gradient."""
        body = (self.parameters - self.embedding) / self.layers
        return 4 * body + 6 * self.lora_parameters(recipe) / self.adapted_layers(recipe)


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
    training, validation = data
    shape = Shape.of(base)
    used = [i for step in steps for i in step.indexes]
    tokens, labels = sum(lengths[i] for i in used), sum(training.sequences[i].labels for i in used)
    kept = frozen_cache_bytes(shape, recipe, data, steps, compute)
    raw, found = _raw_seconds(base, shape, recipe, data, steps, compute, machine, known, lengths=lengths, cached=bool(kept))
    time_s, low, high = corrected(raw, known.record)
    host, gpu = expected_memory(shape, recipe, compute, known.record)
    disk = disk_bytes(shape, recipe) + kept
    lacks = [*_lacks_memory(recipe, shape, compute, machine, host), *_lacks_disk(shape, recipe, machine)]
    slower = _lacks_room_to_keep(machine, disk, kept) if not lacks else []
    details: dict[str, Any] = {  # JSON
        "base": base.name,
        "device": compute.name,
        "machine": machine_key(base, compute, machine),
        "tokens_per_s": round(tokens / raw, 1) if raw else 0.0,
        "tokens_per_s_measured": known.tokens_per_s is not None,
        "train_raw_s": round(raw, 2),
        "memory_raw_bytes": memory_bytes(shape, recipe, compute),
        "calibration_error": None if found is None else round(found.error, 4),
        "runs_before": len(known.record),
        "epochs": round(len(used) / max(1, len(lengths)), 2),
        "label_tokens": labels,
        "validation_examples": len(validation.sequences),
        "lora_parameters": shape.lora_parameters(recipe),
        "padding_share": round(padding_share(lengths, steps), 4),
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
        warnings=(*_warnings(recipe, data), *slower, *lacks),
        fits=not lacks,
        advice=tuple(advice(shape, recipe, compute, machine)) if lacks else (),
        details=details,
    )


def machine_key(base: BaseFiles, compute: Compute, machine: Hardware) -> str:
    """What runs must share for one to tell of the other: machine, number type and code, whatever the base's shape."""
    facts = {k: v for k, v in facts_of(base, compute, machine).items() if k != "shape"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def require_disk(shape: Shape, recipe: Recipe, folder: Path) -> None:
    """Refuse to begin what the disk has no room to finish: checkpoints and the result.

    What frozen layers keep is not counted: a run does without it.

    Raises:
        StorageError: ``no-space``.
    """
    free, needed = hardware(folder).disk_free_bytes, disk_bytes(shape, recipe) - SMALL_FILES_BYTES
    if free and needed > free:
        raise StorageError(
            f"The run would need about {needed / 1e6:.1f} MB for checkpoints and its result, and the disk of {str(folder)!r} has "
            f"{free / 1e6:.1f} MB free. Nothing was begun. Make space: homeroom jobs prune; or lower checkpoint.keep (now "
            f"{recipe.checkpoint.keep}) or lora.rank (now {recipe.lora.rank}) in the recipe",
            code="no-space",
        )


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
        lora_parameters=shape.lora_parameters(recipe),
        layer_share=shape.layer_flops(recipe) / shape.layer_flops(recipe.model_copy(update={"lora": Lora(rank=found.rank)})),
    )
    return train_seconds(found, work, probe_flops(base, compute)[1]), found


def checks(recipe: Recipe, steps: Sequence[Step]) -> int:
    """How often a run that is not stopped early is validated: before the first step, every so many, after the last."""
    return 2 + (len(steps) - 1) // recipe.validation.every_steps


def expected_memory(shape: Shape, recipe: Recipe, compute: Compute, record: Sequence[Past]) -> tuple[int, int]:
    """Peak of the host's memory and of the GPU's; the host's moved by what runs here took, once there are three."""
    computed = memory_bytes(shape, recipe, compute)
    if compute.device.type != "cpu":
        return PROCESS_BYTES + shape.parameters * compute.dtype.itemsize, computed
    past = [one.actual_bytes / one.forecast_bytes for one in record[-RECORD:] if one.actual_bytes and one.forecast_bytes]
    return round(computed * (statistics.median(past) if len(past) >= 3 else 1.0)), 0


def advice(shape: Shape, recipe: Recipe, compute: Compute, machine: Hardware) -> list[str]:
    """What to change in the recipe so that the run fits the memory, each with what it would then need."""
    room = _room(compute, machine)
    if not room:
        return []
    found = []

    def tried(text: str, changed: dict[str, Any], where: Compute = compute) -> bool:
        needed = memory_bytes(shape, recipe.model_copy(update=changed), where)
        if needed <= room:
            found.append(f"{text}: about {needed / 1e9:.1f} GB")
        return needed <= room

    batch = recipe.batch_tokens // 2
    while batch >= recipe.data.max_sequence_tokens:
        if tried(f"batch_tokens: {batch} (steps see as many examples as before, in more micro-batches)", {"batch_tokens": batch}):
            break
        batch //= 2
    length = recipe.data.max_sequence_tokens // 2
    while length >= 64:
        shorter = recipe.data.model_copy(update={"max_sequence_tokens": length})
        if tried(f"data.max_sequence_tokens and batch_tokens: {length}", {"data": shorter, "batch_tokens": length}):
            break
        length //= 2
    half = max(1, shape.adapted_layers(recipe) // 2)
    tried(f"lora.last_layers: {half}", {"lora": recipe.lora.model_copy(update={"last_layers": half})})
    if compute.dtype == torch.float32:
        tried("dtype: bfloat16 (slow on a processor without matrix hardware)", {}, replace(compute, dtype=torch.bfloat16))
    found.append("a smaller base: homeroom models list --bases, then --base NAME")
    return found


def _room(compute: Compute, machine: Hardware) -> int:
    """Memory of the device that trains; 0 where it is not known."""
    if compute.device.type == "cuda":
        return int(torch.cuda.get_device_properties(compute.device).total_memory)
    return machine.memory_bytes


def _lacks_memory(recipe: Recipe, shape: Shape, compute: Compute, machine: Hardware, host: int) -> list[str]:
    room = _room(compute, machine)
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


def memory_bytes(shape: Shape, recipe: Recipe, compute: Compute) -> int:
    """Peak memory: weights, LoRA with gradients, moments and best copy, one micro-batch, one chunk of logits."""
    size = compute.dtype.itemsize
    # Numbers that backward needs, a token and layer: `decoder.py`, the probabilities of `causal_attention` last.
    looks = min(recipe.data.max_sequence_tokens, WHOLE_LIMIT) * shape.heads if size == 2 else 0
    kept = 6 * shape.hidden + 4 * shape.intermediate + 2 * shape.kv_width + looks
    activations = recipe.batch_tokens * kept * shape.adapted_layers(recipe) * size
    logits = HEAD_CHUNK * shape.vocabulary * 4 * 4
    process = PROCESS_BYTES if compute.device.type == "cpu" else 0
    return int(process + shape.parameters * size + shape.lora_parameters(recipe) * 4 * 7 + activations + logits)


def disk_bytes(shape: Shape, recipe: Recipe) -> int:
    """Checkpoints (weights, two moments, best; one more while it is written) and the artifact (safetensors and GGUF)."""
    return shape.lora_parameters(recipe) * 4 * (4 * (recipe.checkpoint.keep + 1) + 2) + SMALL_FILES_BYTES


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
