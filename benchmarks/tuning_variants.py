"""What was tried to make a training step faster on a processor, each against the loop as it is, in turns in one process.

    python benchmarks/tuning_variants.py [--dtype float32] [--batches 12]

- ``library``: transformers' layers with PEFT's, loss as ours
- ``packed``: sequences behind each other in one row, attended one by one, in place of padded rows
- ``other attention``: PyTorch's fused kernel where we keep the probabilities (bfloat16), and the other way round (float32)
- ``memory given back``: the allocator's defaults
- ``prepacked``: frozen weights in oneDNN's own layout; of the matrix products alone, forward and input gradient of one layer

Writes benchmarks/results/tuning_variants.json: time relative to ours, median and range over micro-batches (above 1 is slower).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from machine import facts
from tuning_child import data, matmul_gflops

from homeroom.tuning.huggingface import decoder, device, model
from homeroom.tuning.huggingface.batches import schedule
from homeroom.tuning.huggingface.cores import keeping_freed_memory
from homeroom.tuning.huggingface.loss import backward, collate

RESULT = Path(__file__).parent / "results" / "tuning_variants.json"
Record = dict[str, Any]  # JSON


def compare(dtype: str, count: int, threads: int) -> Record:
    """Relative times of whole steps."""
    settings = {"learning_rate": 1e-3, "step_examples": 4, "examples": 4 * count, "held_out": 0, "seed": 0, "threads": threads}
    base, recipe, sequences, _ = data({**settings, "dtype": dtype})
    compute = device.choose(recipe)
    batches = [b for step in schedule([s.input_length for s in sequences], recipe) for b in step.micro_batches]
    times: dict[str, list[float]] = {}
    before = matmul_gflops()
    chosen = decoder.kept_whole_pays
    with device.computing(compute, 0):
        lora = model.attach_lora(model.load_base(base, compute), recipe.lora, base, compute)
        lora.peft.train()
        library = replace(lora, decoder=decoder.LibraryDecoder(lora.peft.get_base_model().get_decoder()))

        def step(made: Any, indexes: tuple[int, ...], *, packed: bool = False, whole: bool | None = None) -> None:
            decoder.kept_whole_pays = chosen if whole is None else lambda x: whole
            backward(made, collate([sequences[i] for i in indexes], compute.device, packed=packed), 100)
            decoder.kept_whole_pays = chosen

        variants: dict[str, Callable[[tuple[int, ...]], None]] = {
            "ours": lambda b: step(lora, b),
            "library": lambda b: step(library, b),
            "packed": lambda b: step(lora, b, packed=True),
            "other attention": lambda b: step(lora, b, whole=dtype == "float32"),
        }
        for turn, indexes in enumerate([batches[0], *batches[:count]]):
            with keeping_freed_memory():
                step(lora, indexes)  # takes the memory that the next ones use again
                found = {name: timed(run, indexes) for name, run in variants.items()}
            found["memory given back"] = timed(variants["ours"], indexes)
            for name, seconds in found.items() if turn else ():
                times.setdefault(name, []).append(seconds)
        products = prepacked(compute.dtype)
    ratios = {name: [b / a for a, b in zip(times["ours"], found, strict=True)] for name, found in times.items()}
    return {
        "compute": compute.name,
        "matmul_gflops": {"before": before, "after": matmul_gflops()},
        "relative_time": {
            n: {"median": round(statistics.median(r), 3), "range": [round(min(r), 3), round(max(r), 3)]}
            for n, r in ratios.items()
        },
        "prepacked_products_relative_time": products,
    }


def timed(run: Callable[[tuple[int, ...]], None], indexes: tuple[int, ...]) -> float:
    """Seconds."""
    start = time.perf_counter()
    run(indexes)
    return time.perf_counter() - start


def prepacked(dtype: torch.dtype, rows: int = 768) -> float:
    """Time of a layer's products with prepacked weights over that with plain ones."""
    shapes = [(960, 576), (576, 576), (3072, 576), (576, 1536)]
    sets = [(torch.randn(rows, i).to(dtype), torch.randn(rows, o).to(dtype), torch.randn(o, i).to(dtype)) for o, i in shapes]
    reorder, product = torch.ops.mkldnn._reorder_linear_weight, torch.ops.mkldnn._linear_pointwise
    packed = [(reorder(w, rows), reorder(w.T.contiguous(), rows)) for _, _, w in sets]

    def plain() -> None:
        for x, g, w in sets:
            x @ w.T
            g @ w

    def ready() -> None:
        for (x, g, _), (forward, back) in zip(sets, packed, strict=True):
            product(x, forward, None, "none", [], "")
            product(g, back, None, "none", [], "")

    best = {plain: 1e9, ready: 1e9}
    for _ in range(30):
        for run, shortest in best.items():
            start = time.perf_counter()
            run()
            best[run] = min(shortest, time.perf_counter() - start)
    return round(best[ready] / best[plain], 3)


def main() -> int:
    """Both number types unless one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), action="append")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    record: Record = json.loads(RESULT.read_text()) if RESULT.exists() else {"machine": facts()}
    for dtype in options.dtype or ("bfloat16", "float32"):
        record[dtype] = compare(dtype, options.batches, options.threads)
        RESULT.write_text(json.dumps(record, indent=2) + "\n")
        print(dtype, json.dumps(record[dtype], indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
