"""How near a training step comes to the speed of its matrix products, and where the rest of the time goes.

The ceiling is the time of the products that LoRA cannot do without, alone, at this model's own shapes: the frozen layers forward
and the gradient of their inputs, LoRA's own products, the head at the labels forward and back. The step is our loss and its
gradient on one micro-batch of the course. Both are taken in turns; the share is a ratio of two minima of the same minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from tuning_child import data

from homeroom.tuning.huggingface import device, model
from homeroom.tuning.huggingface.batches import schedule
from homeroom.tuning.huggingface.cores import keeping_freed_memory
from homeroom.tuning.huggingface.loss import backward, collate

TURNS = 5
CLASSES = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_"),
    "attention": ("aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_scaled_dot"),
    "activation": ("aten::silu",),
    "moving and converting": ("aten::copy_", "aten::cat", "aten::fill_", "aten::zero_", "aten::index", "aten::repeat"),
    "elementwise": (
        "aten::mul",
        "aten::add",
        "aten::addcmul_",
        "aten::sub",
        "aten::div",
        "aten::exp",
        "aten::rsqrt",
        "aten::square",
    ),
    "reductions": ("aten::mean", "aten::sum", "aten::linalg", "aten::max", "aten::log", "aten::gather", "aten::scatter"),
}


def measure(dtype: str, threads: int = 0) -> dict[str, Any]:
    """Share of the ceiling, its parts in ms, and a profile of the step by class of operation."""
    settings = {
        "learning_rate": 1e-3,
        "step_examples": 4,
        "examples": 16,
        "held_out": 0,
        "seed": 0,
        "threads": threads,
        "dtype": dtype,
    }
    base, recipe, sequences, _ = data(settings)
    compute = device.choose(recipe)
    with device.computing(compute, 0), keeping_freed_memory():
        lora = model.attach_lora(model.load_base(base, compute), recipe.lora, base, compute)
        step = schedule([s.input_length for s in sequences], recipe)[0]
        batch = collate([sequences[i] for i in step.micro_batches[0]], compute.device)
        labels, rows = len(batch.labels), batch.inputs.numel()
        products = needed(lora, rows, labels, compute.dtype)
        times: dict[str, float] = {}
        for _ in range(TURNS):
            for name, run in {"step": lambda: backward(lora, batch, labels), **products}.items():
                times[name] = min(times.get(name, 1e9), timed(run))
        shares = profile(lambda: backward(lora, batch, labels))
    ceiling = sum(times[name] for name in products) * 1e3
    return {
        "compute": compute.name,
        "tokens": batch.tokens,
        "rows_with_padding": rows,
        "labels": labels,
        "step_ms": round(times["step"] * 1e3, 1),
        "ceiling_ms": round(ceiling, 1),
        "share_of_ceiling": round(ceiling / times["step"] / 1e3, 3),
        "tokens_per_s": round(batch.tokens / times["step"], 1),
        "products_ms": {name: round(times[name] * 1e3, 1) for name in products},
        "time_by_class": shares,
    }


def needed(lora: Any, rows: int, labels: int, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """The products of one micro-batch, by name; all layers have the same shapes."""
    config = lora.peft.get_base_model().config
    h, f, rank = config.hidden_size, config.intermediate_size, 16
    kv = h // config.num_attention_heads * config.num_key_value_heads
    groups = [(h, h + 2 * kv, 3), (h, h, 1), (h, 2 * f, 2), (f, h, 1)]  # in, out, layers
    sets = [
        (
            torch.randn(rows, i).to(dtype),
            torch.randn(rows, o).to(dtype),
            torch.randn(o, i).to(dtype),
            *lora_of(i, o, n * rank, dtype),
        )
        for i, o, n in groups
    ]
    layers = range(config.num_hidden_layers)
    states, head, grad = torch.randn(labels, h).to(dtype), lora.head, torch.randn(labels, config.vocab_size).to(dtype)
    return {
        "frozen forward": lambda: [x @ w.T for _ in layers for x, _, w, _, _ in sets],
        "frozen input gradient": lambda: [g @ w for _ in layers for _, g, w, _, _ in sets],
        "lora": lambda: [lora_products(x, g, a, b) for _ in layers for x, g, _, a, b in sets],
        "head": lambda: (states @ head.T, grad @ head),
    }


def lora_of(i: int, o: int, rank: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B of a group."""
    return torch.randn(rank, i).to(dtype), torch.randn(o, rank).to(dtype)


def lora_products(x: torch.Tensor, g: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Forward, and the gradients of A, B and x."""
    low, back = x @ a.T, g @ b
    low @ b.T
    g.T @ low
    back.T @ x
    back @ a


def timed(run: Callable[[], Any]) -> float:
    """Seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def profile(run: Callable[[], Any]) -> dict[str, float]:
    """Share of the step's own time by class of operation."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with profiled(activities=[ProfilerActivity.CPU]) as found:
        run()
    total = sum(event.self_cpu_time_total for event in found.key_averages())
    shares = dict.fromkeys([*CLASSES, "other"], 0.0)
    for event in found.key_averages():
        name = next((c for c, prefixes in CLASSES.items() if event.key.startswith(prefixes)), "other")
        shares[name] += event.self_cpu_time_total / total
    return {name: round(share, 3) for name, share in shares.items()}


if __name__ == "__main__":
    for number_type in ("bfloat16", "float32"):
        print(measure(number_type))
