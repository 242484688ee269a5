"""What a run needs of memory and disk, from the shapes of its base; and what to change where that is not there."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.errors import ConfigError, StorageError
from homeroom.runtime.hardware import Hardware, hardware
from homeroom.schema.models import BaseFiles
from homeroom.tuning.huggingface.attention import WHOLE_LIMIT
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.loss import HEAD_CHUNK
from homeroom.tuning.huggingface.model import parameter_count
from homeroom.tuning.huggingface.quantised import BYTES
from homeroom.tuning.recipe import Recipe

PROCESS_BYTES = 600_000_000
"""Python, PyTorch and transformers before any model."""
SMALL_FILES_BYTES = 2_000_000
"""Recipe, history, previews, manifest."""
AUTO_SHARE = 0.8
"""Of the free memory, for ``batch_tokens: auto``: the forecast errs by less."""
AUTO_STEP, AUTO_MOST = 64, 4_000_000


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
        """How many layers are trained."""
        return self.layers if recipe.weights == "full" else min(self.layers, recipe.lora.last_layers or self.layers)

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

    def trained_parameters(self, recipe: Recipe) -> int:
        """Weights that are trained, whatever they are."""
        return self.parameters if recipe.weights == "full" else self.lora_parameters(recipe)

    def layer_flops(self, recipe: Recipe) -> float:
        """Operations of one trained token in an adapted layer: forward and back, of the frozen weights without their gradient."""
        body = (self.parameters - self.embedding) / self.layers
        if recipe.weights == "full":
            return 6 * body
        return 4 * body + 6 * self.lora_parameters(recipe) / self.adapted_layers(recipe)


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


def require_memory(shape: Shape, recipe: Recipe, compute: Compute, machine: Hardware) -> None:
    """Refuse to train every weight of a model that is too large for it. Other runs are begun: they can go on with less at a time.

    Raises:
        ConfigError: ``full-too-large``.
    """
    room, needed = room_bytes(compute, machine), memory_bytes(shape, recipe, compute)
    if recipe.weights != "full" or not room or needed <= room:
        return
    raise ConfigError(
        f"weights = 'full' trains all {shape.parameters / 1e6:,.0f} M weights, which needs about {needed / 1e9:.1f} GB of "
        f"memory, and there are {room / 1e9:.1f} GB. Train an adapter (weights: lora), or a smaller base: homeroom models list "
        "--bases",
        code="full-too-large",
    )


def advice(shape: Shape, recipe: Recipe, compute: Compute, machine: Hardware) -> list[str]:
    """What to change in the recipe so that the run fits the memory, each with what it would then need."""
    room = room_bytes(compute, machine)
    if not room:
        return []
    found = []

    def tried(text: str, changed: dict[str, Any], where: Compute = compute) -> bool:
        needed = memory_bytes(shape, recipe.model_copy(update=changed), where)
        if needed <= room:
            found.append(f"{text}: about {needed / 1e9:.1f} GB")
        return needed <= room

    if recipe.weights == "full":
        tried("weights: lora (an adapter in place of every weight)", {"weights": "lora"})
    if not recipe.gradient_checkpointing:
        tried("gradient_checkpointing: true (about a third more time)", {"gradient_checkpointing": True})
    on_gpu = compute.device.type == "cuda" and recipe.weights == "lora"
    for form in ("8bit", "nf4")[("none", "8bit", "nf4").index(recipe.quantise) :] if on_gpu else ():
        tried(f"quantise: {form}", {"quantise": form}, replace(compute, quantise=form))
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
    if recipe.weights == "lora":
        tried(f"lora.last_layers: {half}", {"lora": recipe.lora.model_copy(update={"last_layers": half})})
    if compute.dtype == torch.float32 and recipe.weights == "lora":
        tried("dtype: bfloat16 (slow on a processor without matrix hardware)", {}, replace(compute, dtype=torch.bfloat16))
    if on_gpu and not found:  # nothing does it alone
        longest, least = recipe.data.max_sequence_tokens, {"quantise": "nf4", "gradient_checkpointing": True}
        where, text = replace(compute, quantise="nf4"), "quantise: nf4, gradient_checkpointing: true"
        _ = tried(text, least, where) or tried(f"{text}, batch_tokens: {longest}", {**least, "batch_tokens": longest}, where)
    found.append("a smaller base: homeroom models list --bases, then --base NAME")
    return found


def room_bytes(compute: Compute, machine: Hardware) -> int:
    """Memory of the device that trains; 0 where it is not known."""
    if compute.absent_gpu_bytes is not None:
        return compute.absent_gpu_bytes
    if compute.device.type == "cuda":
        return int(torch.cuda.get_device_properties(compute.device).total_memory)
    return machine.memory_bytes


def weights_bytes(shape: Shape, compute: Compute) -> int:
    """The model itself where it computes: layers in the form that they are kept in, embeddings in the run's number type."""
    if compute.quantise == "none":
        return shape.parameters * int(compute.dtype.itemsize)
    body = shape.parameters - shape.embedding
    return round(shape.embedding * int(compute.dtype.itemsize) + body * BYTES[compute.quantise])


def memory_bytes(shape: Shape, recipe: Recipe, compute: Compute) -> int:
    """Peak memory: weights, gradients, moments and best copy of what is trained, one micro-batch, one chunk of logits."""
    size = compute.dtype.itemsize
    process = PROCESS_BYTES if compute.device.type == "cpu" else 0
    trained = shape.trained_parameters(recipe) * 4 * (5 if recipe.weights == "full" else 7)
    logits = HEAD_CHUNK * shape.vocabulary * 4 * 4
    # The largest group of a layer that is made whole, and the float32 that 8 bits pass through.
    dense = 2 * shape.intermediate * shape.hidden * (size + 4) if compute.quantise != "none" else 0
    activations = recipe.batch_tokens * token_bytes(shape, recipe, compute)
    return int(process + weights_bytes(shape, compute) + trained + activations + logits + dense)


def token_bytes(shape: Shape, recipe: Recipe, compute: Compute) -> int:
    """What backward needs of each position of a micro-batch."""
    size = int(compute.dtype.itemsize)
    # Numbers that backward needs, a token and layer: `decoder.py`, the probabilities of `causal_attention` last: not on a GPU.
    whole = size == 2 and compute.device.type == "cpu"
    looks = min(recipe.data.max_sequence_tokens, WHOLE_LIMIT) * shape.heads if whole else 0
    kept = 6 * shape.hidden + 4 * shape.intermediate + 2 * shape.kv_width + looks
    if recipe.weights == "full":  # transformers' forward keeps what ours computes again, and repeats keys and values
        kept = 14 * shape.hidden + 5 * shape.intermediate
    layers = shape.adapted_layers(recipe)
    return (kept + layers * shape.hidden if recipe.gradient_checkpointing else kept * layers) * size


def with_batch_tokens(recipe: Recipe, shape: Shape, compute: Compute, free_bytes: int) -> Recipe:
    """The recipe with a number for ``batch_tokens: auto``: the most that `memory_bytes` lets into `AUTO_SHARE` of what is free.

    Never less than the longest sequence, which must fit, and never more than a whole step.

    Args:
        recipe: The run's.
        shape: Of the base.
        compute: Where it computes.
        free_bytes: Memory there; 0 when it is not known.
    """
    if recipe.batch_tokens:
        return recipe
    longest, want = recipe.data.max_sequence_tokens, recipe.accumulation
    step = want.tokens or (want.examples or 1) * longest
    fixed = memory_bytes(shape, recipe, compute)  # of no positions at all
    fits = int((free_bytes * AUTO_SHARE - fixed) / token_bytes(shape, recipe, compute)) if free_bytes else 4 * longest
    tokens = max(longest, min(step, fits) // AUTO_STEP * AUTO_STEP)
    return recipe.model_copy(update={"batch_tokens": min(tokens, AUTO_MOST)})


def free_bytes(compute: Compute, machine: Hardware) -> int:
    """Memory that the device has left; of a processor what the process may use in all. 0 where it is not known.

    A GPU that is not here is taken to be empty.
    """
    if compute.absent_gpu_bytes is not None:
        return compute.absent_gpu_bytes
    if compute.device.type == "cuda":
        return int(torch.cuda.mem_get_info(compute.device)[0])
    return machine.memory_bytes


def disk_bytes(shape: Shape, recipe: Recipe) -> int:
    """Checkpoints (weights, two moments, best; one more while it is written) and the artifact (safetensors and GGUF)."""
    return shape.trained_parameters(recipe) * 4 * (4 * (recipe.checkpoint.keep + 1) + 2) + SMALL_FILES_BYTES
