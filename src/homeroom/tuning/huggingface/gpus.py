"""Which GPU would hold a run, where none is here: each way of keeping the weights beside the memory that GPUs are sold with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from homeroom.schema.tuning import Plan
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.needs import AUTO_SHARE, Shape, memory_bytes, with_batch_tokens
from homeroom.tuning.recipe import Recipe

SIZES_GB = (8, 12, 16, 24, 40, 80)
Holds = Literal["yes", "tight", "no"]


def holds(needed: int, memory: float) -> Holds:
    """Whether a GPU of ``memory`` bytes holds a run that needs so many: ``tight`` is a fit that leaves it less than a fifth."""
    return "yes" if needed <= memory * AUTO_SHARE else "tight" if needed <= memory else "no"


def for_absent(plan: Plan, shape: Shape, recipe: Recipe, compute: Compute) -> Plan:
    """``plan``, made for a GPU that is not here, with the table of those that would do, and with what it cannot know.

    Args:
        plan: Of the run on that GPU, by its memory alone.
        shape: Of the base.
        recipe: The run's, ``batch_tokens: auto`` as it was written.
        compute: Of the GPU.
    """
    memory = compute.absent_gpu_bytes or 0
    auto = with_batch_tokens(recipe.model_copy(update={"batch_tokens": 0}), shape, compute, memory)
    told = {
        "memory_bytes": memory or None,
        "holds": holds(plan.gpu_memory_bytes, memory) if memory else None,
        "auto_batch_tokens": auto.batch_tokens if memory_bytes(shape, auto, compute) <= memory else None,
        "options": list(options(shape, recipe, compute)),
    }
    details = {**plan.details, "gpu": told}
    return replace(
        plan, details=details, fits=plan.fits and memory > 0, warnings=(*plan.warnings, *_warnings(plan, recipe, memory))
    )


def options(shape: Shape, recipe: Recipe, compute: Compute) -> Iterator[dict[str, Any]]:  # JSON
    """What the run would need for each way of keeping the weights and activations, and which GPUs hold that.

    Micro-batches are the recipe's; of ``auto`` the smallest, with one sequence of the greatest length.
    """
    batch = recipe.batch_tokens or recipe.data.max_sequence_tokens
    sizes = sorted({size * 10**9 for size in SIZES_GB} | ({compute.absent_gpu_bytes} if compute.absent_gpu_bytes else set()))
    for form in ("none",) if recipe.weights == "full" else ("none", "8bit", "nf4"):
        for again in (False, True):
            changed = {"quantise": form, "gradient_checkpointing": again, "batch_tokens": batch}
            needed = memory_bytes(shape, recipe.model_copy(update=changed), replace(compute, quantise=form))
            fits = [{"memory_bytes": size, "holds": holds(needed, size)} for size in sizes]
            yield {**changed, "gpu_memory_bytes": needed, "fits_on": fits}


def _warnings(plan: Plan, recipe: Recipe, memory: int) -> Iterator[str]:
    if not memory:
        yield (
            "The recipe needs a GPU, and PyTorch finds no CUDA device here: a run is refused. Plan for one that you could have: "
            "homeroom tune plan --recipe FILE --gpu 24GB"
        )
    elif recipe.device == "cpu":
        yield "The recipe says device: cpu, so its runs leave a GPU alone. Write device: auto."
    elif holds(plan.gpu_memory_bytes, memory) == "tight":
        yield "That is a tight fit: memory for a GPU is worked out from shapes, and CUDA itself takes some of it."
    yield "The time is not forecast: no such GPU was measured here."
