"""The optimiser: AdamW on the LoRA weights, gradient clipping, and the learning rate of each step."""

from __future__ import annotations

import math

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom.tuning.huggingface.model import LoraModel
from homeroom.tuning.recipe import Optimiser


def learning_rate(step: int, total: int, recipe: Optimiser) -> float:
    """The rate of step ``step`` (from 0) of ``total``: a linear warm-up, then the schedule, just above 0 at the last step."""
    warmup = math.ceil(recipe.warmup_ratio * total)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - warmup) / max(1, total - warmup)
    return recipe.learning_rate * ((1 + math.cos(math.pi * done)) / 2 if recipe.schedule == "cosine" else 1 - done)


def make_optimiser(model: LoraModel, recipe: Optimiser) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) over the LoRA weights."""
    parameters = list(model.trainable().values())
    on_gpu = model.compute.device.type == "cuda"  # one kernel for all weights there; a few passes over all of them here
    way = {"fused": True} if on_gpu else {"foreach": True}
    return torch.optim.AdamW(parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay, **way)


def optimiser_step(optimiser: torch.optim.AdamW, model: LoraModel, rate: float, clip_norm: float) -> float:
    """Clip, step, clear. The gradient's length before clipping; where that is no number the weights stay as they are."""
    norm = torch.nn.utils.clip_grad_norm_(list(model.trainable().values()), clip_norm)
    length = float(norm)
    if math.isfinite(length):
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return length


def optimiser_tensors(optimiser: torch.optim.AdamW, model: LoraModel) -> dict[str, torch.Tensor]:
    """The optimiser's memory as named tensors: ``<weight>|exp_avg`` and so on. Empty before the first step."""
    return {
        f"{name}|{key}": value.detach().to("cpu", copy=True).contiguous()
        for name, parameter in model.trainable().items()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(optimiser: torch.optim.AdamW, model: LoraModel, tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `optimiser_tensors`."""
    weights = model.trainable()
    for name, tensor in tensors.items():
        weight, _, key = name.rpartition("|")
        parameter = weights[weight]
        # AdamW keeps its step counter on the CPU unless it is fused, its moments beside the weight.
        on_cpu = key == "step" and not optimiser.param_groups[0]["fused"]
        optimiser.state[parameter][key] = tensor.clone() if on_cpu else tensor.to(parameter.device, copy=True)
