"""LoRA on the last k layers: what it saves and what it costs, for k = all, 15 and 8, on the learner of the bundled course.

    HOMEROOM_HOME=FOLDER homeroom data split --name homeroom-course      the bundled course as a dataset, once
    python benchmarks/tuning_layers.py --home FOLDER                     goes on where it stopped

1. ``speed``: a training step of each k, first as in the first epoch and then with the states of the frozen layers read from disk,
   in turns in one process; ratios to k = all.
2. ``sweep``: one epoch at several learning rates for each k; the best one is used below.
3. ``equal tokens``: two epochs of each. ``equal time``: as many epochs as take as long as two of k = all by the measured ratios.
   Each of these models is judged by ``homeroom eval run``.

Every run is the demo's recipe for the learner's part alone, without its token budget.
Writes benchmarks/results/tuning_layers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import facts

RESULT = Path(__file__).parent / "results" / "tuning_layers.json"
DEPTHS: tuple[int | None, ...] = (None, 15, 8)
RATES = (0.001, 0.002, 0.004)
EPOCHS = 2
LAYERS = 30
Record = dict[str, Any]  # JSON


def name_of(depth: int | None) -> str:
    """``all``, ``15``."""
    return "all" if depth is None else str(depth)


def measure_speed() -> Record:
    """Median over micro-batches of the time of a step, as a ratio to k = all in the same turn."""
    from tuning_child import data

    from homeroom.schema.jobs import NullReporter
    from homeroom.tuning.huggingface import device, model
    from homeroom.tuning.huggingface.batches import schedule
    from homeroom.tuning.huggingface.cores import keeping_freed_memory
    from homeroom.tuning.huggingface.frozen import FrozenStates
    from homeroom.tuning.huggingface.loss import backward, collate

    settings = {
        "learning_rate": 1e-3,
        "step_examples": 4,
        "examples": 40,
        "held_out": 0,
        "seed": 0,
        "threads": 0,
        "dtype": "auto",
    }
    base, recipe, sequences, _ = data(settings)
    compute = device.choose(recipe)
    batches = [b for step in schedule([s.input_length for s in sequences], recipe) for b in step.micro_batches]
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, device.computing(compute, 0), keeping_freed_memory():
        variants: dict[str, tuple[Any, FrozenStates | None]] = {}
        for depth in DEPTHS:
            lora = recipe.lora.model_copy(update={"last_layers": depth})
            made = model.attach_lora(model.load_base(base, compute), lora, base, compute)
            variants[name_of(depth)] = (made, None)
            if depth is not None:
                kept = FrozenStates(made, sequences, batches, Path(folder) / name_of(depth), NullReporter())
                variants[f"{depth}, kept"] = (made, kept)
        for turn, indexes in enumerate([batches[0], *batches]):
            for name, (made, kept) in variants.items():
                batch = collate([sequences[i] for i in indexes], compute.device)
                if kept is not None:
                    kept.into(batch, indexes)  # the first epoch: written
                start = time.perf_counter()
                backward(made, batch if kept is None else kept.into(batch, indexes), 100)
                if turn:
                    times.setdefault(name, []).append(time.perf_counter() - start)
    ratios = {name: [a / b for a, b in zip(times["all"], found, strict=True)] for name, found in times.items()}
    return {
        "compute": compute.name,
        "micro_batches": len(batches),
        "speed_ratio": {
            name: {"median": round(statistics.median(r), 2), "min": round(min(r), 2), "max": round(max(r), 2)}
            for name, r in ratios.items()
        },
    }


def homeroom(home: Path, *arguments: str) -> Any:
    """A command's JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "homeroom", *arguments, "--json"],
        env={**os.environ, "HOMEROOM_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr.strip()[-500:])
    return json.loads(done.stdout)


def tune(home: Path, dataset: str, depth: int | None, rate: float, epochs: int) -> Record:
    """One run of the learner: its validation loss and its model."""
    import yaml

    from homeroom.tuning.recipe_file import load_recipes

    recipe = load_recipes(Path("demo.yaml"))[0].to_dict()
    recipe |= {"task": "learner", "generation": recipe["roles"]["learner"]["generation"], "roles": {}}
    name = f"learner-{name_of(depth)}-{round(rate * 1e4)}-{epochs}"
    recipe |= {"name": name, "max_trained_tokens": None, "epochs": epochs}
    recipe["lora"] |= {"last_layers": depth}
    recipe["optimiser"] |= {"learning_rate": rate}
    recipe["validation"] |= {"every_steps": 1000, "max_examples": 24}
    file = home / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    found = homeroom(home, "tune", "run", "--recipe", str(file), "--dataset", dataset)
    result = found[0]["result"]  # of the one job
    metrics = result["metrics"]
    return {
        "k": name_of(depth),
        "learning_rate": rate,
        "epochs": epochs,
        "tokens": metrics["tokens"],
        "valid_loss": metrics["valid_loss"],
        "base_valid_loss": metrics["base_valid_loss"],
        "train_seconds": metrics["train_seconds"],
        "peak_memory_gb": round(metrics["peak_memory_bytes"] / 1e9, 2),
        "model": result["model"],
    }


def main() -> int:
    """Do what is missing, saving after each piece."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="state of these runs; keep it between calls")
    parser.add_argument("--dataset", default="homeroom-course")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin nothing more after this time; start again to go on")
    options = parser.parse_args()
    options.home.mkdir(parents=True, exist_ok=True)
    record: Record = json.loads(RESULT.read_text()) if RESULT.exists() else {"machine": facts()}
    end = time.monotonic() + options.seconds

    def once(part: str, key: str, make: Any) -> Record | None:
        """The stored result, or a new one while there is time."""
        rows = record.setdefault(part, {})
        if key not in rows and time.monotonic() < end:
            rows[key] = make()
            RESULT.write_text(json.dumps(record, indent=2) + "\n")
            print(part, key, json.dumps(rows[key])[:400], flush=True)
        found: Record | None = rows.get(key)
        return found

    speed = once("speed", "steps", measure_speed)
    sweep = {
        depth: [
            once("sweep", f"{name_of(depth)}, {rate}", lambda d=depth, r=rate: tune(options.home, options.dataset, d, r, 1))
            for rate in RATES
        ]
        for depth in DEPTHS
    }
    if speed is None or any(row is None for rows in sweep.values() for row in rows):
        return 0
    for depth, rows in sweep.items():
        rate = min(rows, key=lambda row: row["valid_loss"])["learning_rate"]  # type: ignore[index]
        for part, epochs in (("equal tokens", EPOCHS), ("equal time", epochs_in_time(depth, speed))):
            if part == "equal time" and depth is None:
                continue
            row = once(part, name_of(depth), lambda d=depth, r=rate, e=epochs: tune(options.home, options.dataset, d, r, e))
            if row is not None:
                once(
                    f"{part}: scorecard",
                    name_of(depth),
                    lambda m=row["model"]: homeroom(options.home, "eval", "run", "--model", m),
                )
    return 0


def epochs_in_time(depth: int | None, speed: Record) -> int:
    """Epochs that take about as long as `EPOCHS` of k = all: the first computes the frozen layers, the others read them."""
    if depth is None:
        return EPOCHS
    first, later = (1 / speed["speed_ratio"][name]["median"] for name in (str(depth), f"{depth}, kept"))
    return 1 + max(1, round((EPOCHS - first) / later))


if __name__ == "__main__":
    sys.exit(main())
