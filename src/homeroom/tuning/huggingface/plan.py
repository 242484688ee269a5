"""What a run will need: exact in steps and tokens, estimated in time and memory."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.runtime.hardware import Hardware
from homeroom.schema.models import BaseFiles
from homeroom.schema.tuning import Plan
from homeroom.tuning.huggingface.attention import WHOLE_LIMIT
from homeroom.tuning.huggingface.batches import Step, padding_share
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.encode import Encoded
from homeroom.tuning.huggingface.frozen import frozen_bytes, recur
from homeroom.tuning.huggingface.loss import HEAD_CHUNK
from homeroom.tuning.huggingface.model import parameter_count
from homeroom.tuning.recipe import Recipe

# Share of the probed matrix speed that training reaches; the rest is memory traffic. Measured with a model of SmolLM2-135M's
# shape on two cores with AMX. An estimate, until the first five steps of the run have been timed.
EFFICIENCY = {torch.float32: 0.55, torch.bfloat16: 0.22}
FORWARD_SHARE = 0.4
START_S = 8.0
PROCESS_BYTES = 600_000_000
"""Python, PyTorch and transformers before any model."""


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

    def flops_per_token(self, recipe: Recipe, label_share: float, lower_share: float = 1.0) -> float:
        """Floating-point operations of one trained token: forward, back where adapted, the head at labels.

        ``lower_share`` of the tokens go through the layers below the adapted ones; the others' states are kept.
        """
        body = self.parameters - self.embedding
        adapted = self.adapted_layers(recipe) / self.layers
        return 2 * body * (2 * adapted + (1 - adapted) * lower_share) + 4 * self.hidden * self.vocabulary * label_share


def make_plan(
    base: BaseFiles,
    recipe: Recipe,
    data: tuple[Encoded, Encoded],
    steps: Sequence[Step],
    compute: Compute,
    machine: Hardware,
    tokens_per_s: float | None,
    *,
    lengths: Sequence[int],
) -> Plan:
    """The plan of a run over encoded training and validation data; without a measured speed this machine is probed.

    ``lengths`` are the tokens that each training item runs through the model: of preferences those of both replies.
    """
    training, validation = data
    shape = Shape.of(base)
    used = [i for step in steps for i in step.indexes]
    tokens = sum(lengths[i] for i in used)
    labels = sum(training.sequences[i].labels for i in used)
    measured = tokens_per_s is not None
    kept = frozen_cache_bytes(shape, recipe, data, steps, compute)
    lower_share = sum(lengths[i] for i in set(used)) / max(1, tokens) if kept else 1.0
    speed = tokens_per_s or _estimated_speed(shape, recipe, (labels / max(1, tokens), lower_share), compute)
    checks = 2 + (len(steps) - 1) // recipe.validation.every_steps
    valid_tokens = sum(s.input_length for s in validation.sequences)
    time_s = START_S + (tokens + checks * valid_tokens * FORWARD_SHARE) / speed
    memory = memory_bytes(shape, recipe, compute)
    disk = disk_bytes(shape, recipe) + kept
    details: dict[str, Any] = {  # JSON
        "base": base.name,
        "device": compute.name,
        "tokens_per_s": round(speed, 1),
        "tokens_per_s_measured": measured,
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
        memory_bytes=memory,
        disk_bytes=disk,
        warnings=tuple(_warnings(recipe, data, machine, compute, memory, disk)),
        details=details,
    )


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
    return shape.lora_parameters(recipe) * 4 * (4 * (recipe.checkpoint.keep + 1) + 2) + 2_000_000


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


def matmul_flops_per_s(shape: Shape, compute: Compute, seconds: float = 0.3) -> float:
    """Speed of this machine at the model's largest layer: a probe of about ``seconds``."""
    x = torch.randn(512, shape.hidden).to(compute.device, compute.dtype)
    w = torch.randn(shape.intermediate, shape.hidden).to(compute.device, compute.dtype)
    best = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        for _ in range(8):
            y = x @ w.T
        y.sum().item()  # waits for a GPU
        best = max(best, 8 * 2 * 512 * shape.hidden * shape.intermediate / (time.perf_counter() - start))
    return best


def _estimated_speed(shape: Shape, recipe: Recipe, shares: tuple[float, float], compute: Compute) -> float:
    reached = matmul_flops_per_s(shape, compute) * EFFICIENCY.get(compute.dtype, 0.3)
    return max(0.1, reached / shape.flops_per_token(recipe, *shares))


def _warnings(
    recipe: Recipe, data: tuple[Encoded, Encoded], machine: Hardware, compute: Compute, memory: int, disk: int
) -> list[str]:
    training, validation = data
    found = []
    if not validation.sequences:
        found.append("There are no validation examples: the last step is kept, whether it is the best or not.")
    if len(training.sequences) < 20:
        found.append(f"{len(training.sequences)} training examples are few: expect the model to learn a manner, not a skill.")
    if compute.device.type == "cpu" and machine.memory_bytes and memory > machine.memory_bytes:
        found.append(
            f"About {memory / 1e9:.1f} GB of memory are needed and this machine has {machine.memory_bytes / 1e9:.1f} GB: "
            f"lower batch_tokens (now {recipe.batch_tokens})."
        )
    if machine.disk_free_bytes and disk > machine.disk_free_bytes:
        found.append(f"About {disk / 1e6:.0f} MB of disk are needed and {machine.disk_free_bytes / 1e6:.0f} MB are free.")
    if training.too_long:
        found.append(f"{training.too_long} left out: longer than data.max_sequence_tokens = {recipe.data.max_sequence_tokens}.")
    return found
