"""Measuring this machine for a few seconds: how long one and three layers of a base's shape take, with weights of chance.

A machine's speed changes within a second: its clock rises and falls, and other programs come and go. So nothing is timed alone.
Each measured piece of work lies between two plain matrix products, and counts as the operations that these would have done in its
time. A plan turns them back into seconds at the speed that a product has then.

Kept in a file by everything that decides it (machine, number type, threads, PyTorch, code, shape), so it is done once.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this package is torch's leaf: only a run imports it

from homeroom import __version__
from homeroom.runtime.hardware import Hardware
from homeroom.schema.models import BaseFiles
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically
from homeroom.tuning.huggingface.device import Compute
from homeroom.tuning.huggingface.encode import TokenSequence
from homeroom.tuning.huggingface.forecast import FORMAT, BatchShape, Calibration, Pass
from homeroom.tuning.huggingface.loss import Batch, backward, collate, measure
from homeroom.tuning.huggingface.model import LoraModel, attach_lora
from homeroom.tuning.huggingface.schedule import make_optimiser, optimiser_step
from homeroom.tuning.recipe import Lora, Optimiser

LAYERS = (1, 3)
# Rows, their length, and the share of the last tokens that carry loss: short and long, one row and several.
POINTS = ((1, 64, 0.5), (4, 64, 0.2), (1, 320, 0.3), (2, 256, 0.6), (4, 224, 0.3))
REPEATS = 4
PROBE_S = 0.6
BETWEEN_S = 0.04
"""Of the products before and after each piece of work that is timed."""
SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "model_type")


def calibration(base: BaseFiles, compute: Compute, machine: Hardware, folder: Path | None) -> Calibration:
    """What is known of ``base``'s shape on this machine; measured now, within seconds, when nothing is.

    Args:
        base: Whose shape counts, not its weights.
        compute: Device, number type and threads.
        machine: Facts of this machine.
        folder: Where it is kept; None keeps nothing.

    Raises:
        StorageError: ``no-space``, ``not-writable``.
    """
    facts = facts_of(base, compute, machine)
    path = None
    if folder is not None:
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        path = folder / f"{name}.json"
        if (kept := _read(path)) is not None and dict(kept.facts) == facts:
            return kept
    found = _measured(base, compute, facts)
    if path is not None:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, (json.dumps(found.to_dict(), indent=1) + "\n").encode())
    return found


def facts_of(base: BaseFiles, compute: Compute, machine: Hardware) -> dict[str, Any]:  # JSON
    """Everything that a calibration depends on."""
    config = json.loads((base.weights / "config.json").read_text(encoding="utf-8"))
    return {
        "format": FORMAT,
        "code": __version__,
        "torch": torch.__version__,
        "compute": compute.name + (", recomputing" if compute.recompute else ""),
        "threads": compute.threads,
        "cores": machine.cores,
        "memory_gb": round(machine.memory_bytes / 1e9),
        "gpu": machine.gpu,
        "amx": machine.amx_bf16,
        "platform": machine.platform,
        "shape": {name: config.get(name) for name in SIZES},
    }


def probe_flops(base: BaseFiles, compute: Compute, seconds: float = PROBE_S) -> float:
    """Operations a second of products of the base's shape, over all of ``seconds``: other programs take from it."""
    return _product(base, compute)(seconds)


def _product(base: BaseFiles, compute: Compute) -> Callable[[float], float]:
    """Multiplies for so many seconds, and tells the operations of each."""
    config = json.loads((base.weights / "config.json").read_text(encoding="utf-8"))
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    x = torch.randn(512, hidden).to(compute.device, compute.dtype)
    w = torch.randn(inner, hidden).to(compute.device, compute.dtype)
    (x @ w.T).sum().item()
    work = 4 * 2 * 512 * hidden * inner

    def speed(seconds: float) -> float:
        rounds, begin = 0, time.perf_counter()
        while (spent := time.perf_counter() - begin) < seconds or not rounds:
            for _ in range(4):
                y = x @ w.T
            y.sum().item()  # waits for a GPU
            rounds += 1
        return rounds * work / spent

    return speed


def _read(path: Path) -> Calibration | None:
    try:
        return Calibration.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _measured(base: BaseFiles, compute: Compute, facts: dict[str, Any]) -> Calibration:
    speed = _product(base, compute)
    usual = speed(PROBE_S)  # the scale of what is kept; it cancels out at each plan
    lora, rows_train, rows_forward, update = Lora(), [], [], 0.0
    for layers in LAYERS:
        model = _some_layers(base, layers, lora, compute)
        vocabulary = model.head.shape[0]
        for rows, length, share in POINTS:
            sequences = [_sequence(length, share, vocabulary, seed) for seed in range(rows)]
            batch = collate(sequences, compute.device, packed=model.packs)
            shape = BatchShape.of([s.input_length for s in sequences], len(batch.labels), packed=batch.packed is not None)
            rows_train.append((layers, shape, _operations(_training(model, batch), speed) / usual))
            rows_forward.append((layers, shape, _operations(lambda m=model, b=batch: measure(m, b), speed) / usual))  # type: ignore[misc]
        if layers == LAYERS[-1]:
            update = _update_operations(model, speed) / usual
    train, label, once, error = _fit(rows_train)
    forward, label_forward, _, _ = _fit(rows_forward)
    return Calibration(train, forward, label, label_forward, once, update, lora.rank, usual, error, facts)


def _some_layers(base: BaseFiles, layers: int, lora: Lora, compute: Compute) -> LoraModel:
    """The base's architecture with few layers and weights of chance, LoRA on all of them."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base.weights, local_files_only=True)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    model = AutoModelForCausalLM.from_config(config, dtype=compute.dtype, attn_implementation="sdpa")
    model.requires_grad_(False)
    return attach_lora(model.to(compute.device).eval(), lora, base, compute)


def _sequence(length: int, share: float, vocabulary: int, seed: int) -> TokenSequence:
    """``length`` inputs, of which the last ``share`` have a next token with loss."""
    ids = tuple((31 * t + 7 * seed) % vocabulary for t in range(length + 1))
    first = length + 1 - max(1, round(length * share))
    return TokenSequence(ids, tuple(int(t >= first) for t in range(length + 1)))


def _training(model: LoraModel, batch: Batch) -> Callable[[], object]:
    def once() -> None:
        backward(model, batch, len(batch.labels))
        for weight in model.trainable().values():
            weight.grad = None

    return once


def _operations(work: Callable[[], object], speed: Callable[[float], float]) -> float:
    """Those that plain products would have done while ``work`` runs: the median of a few runs, after one that is not counted."""
    work()
    found, before = [], speed(BETWEEN_S)
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        after = speed(BETWEEN_S)
        found.append(seconds * (before + after) / 2)
        before = after
    return statistics.median(found)


def _update_operations(model: LoraModel, speed: Callable[[float], float]) -> float:
    """Of one optimiser step, for each LoRA weight."""
    recipe = Optimiser()
    optimiser = make_optimiser(model, recipe)
    weights = list(model.trainable().values())

    def once() -> None:
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimiser_step(optimiser, model, 1e-9, recipe.clip_norm)

    return float(_operations(once, speed) / sum(weight.numel() for weight in weights))


def _fit(rows: Sequence[tuple[int, BatchShape, float]]) -> tuple[Pass, float, float, float]:
    """Coefficients, none below 0, that fit the measured seconds best in relative terms; and the median relative error."""
    columns = [[k * s.positions, k * s.squares, k, s.labels, 1.0] for k, s, _ in rows]
    seconds = [t for *_, t in rows]
    kept = list(range(5))
    values = [0.0] * 5
    while kept:
        a = torch.tensor([[row[c] / t for c in kept] for row, t in zip(columns, seconds, strict=True)], dtype=torch.float64)
        scale = a.abs().amax(0).clamp_min(1e-30)
        found = (
            torch.linalg.lstsq(a / scale, torch.ones(len(rows), 1, dtype=torch.float64), driver="gelsd").solution[:, 0] / scale
        )
        if bool((found >= 0).all()):
            values = [0.0] * 5
            for place, value in zip(kept, found.tolist(), strict=True):
                values[place] = value
            break
        kept.pop(int((found * scale).argmin()))  # the term that is furthest below 0, in relative terms
    guesses = [sum(v * x for v, x in zip(values, row, strict=True)) for row in columns]
    error = statistics.median(abs(g - t) / t for g, t in zip(guesses, seconds, strict=True))
    return Pass(*values[:3]), values[3], values[4], error
