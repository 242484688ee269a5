"""How far forecasts of tuning runs are off: time and memory of recipes that were not used to calibrate, and of the intervals.

    HOMEROOM_CACHE=... python benchmarks/plan_error.py --runs 8

The machine is calibrated once, with layers of chance weights (`homeroom.tuning.huggingface.calibrate`). Then each recipe below is
planned and run in a process of its own, on the bundled course, with the real 135M model. Reported are the relative errors of the
forecast, |forecast - actual| / actual: median, p90, and the share of runs inside their interval; without a record of earlier runs
(what a new machine has), and with the runs before each as its record (what a used one has). A matrix product before and after
each run tells how steady the machine was. Writes benchmarks/results/plan_error.json, or ``--output``, after each run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from machine import facts, matmul_gflops

RESULT = Path(__file__).parent / "results" / "plan_error.json"
BASE = "smollm2-135m-instruct"
Record = dict[str, Any]  # JSON

# What recipes change: lengths, batches, steps, rank, modules, layers, epochs, validation. No calibration has seen any of them.
RECIPES: tuple[Record, ...] = (
    {"data": {"max_sequence_tokens": 256, "max_examples": 32}, "batch_tokens": 512, "accumulation": {"examples": 4}},
    {"data": {"max_sequence_tokens": 320, "max_examples": 48}, "batch_tokens": 1024, "lora": {"rank": 8}},
    {"data": {"max_sequence_tokens": 192, "max_examples": 40}, "batch_tokens": 192, "lora": {"rank": 32}, "epochs": 2},
    {"data": {"max_sequence_tokens": 320, "max_examples": 40}, "lora": {"last_layers": 10}, "epochs": 3},
    {"data": {"max_sequence_tokens": 320, "max_examples": 32}, "lora": {"rank": 4, "target_modules": ["q_proj", "v_proj"]}},
    {"data": {"max_sequence_tokens": 256, "max_examples": 64}, "batch_tokens": 2048, "accumulation": {"tokens": 1500}},
    {"data": {"max_sequence_tokens": 128, "max_examples": 48}, "batch_tokens": 256, "validation": {"every_steps": 1}},
    {"data": {"max_sequence_tokens": 320, "max_examples": 48}, "lora": {"last_layers": 4, "cache_frozen": False}},
    {"task": "learner", "data": {"max_sequence_tokens": 320, "max_examples": 32}, "batch_tokens": 640},
    {"task": "learner", "data": {"max_sequence_tokens": 256, "max_examples": 40}, "lora": {"rank": 64}, "batch_tokens": 512},
    {"data": {"max_sequence_tokens": 320, "max_examples": 80}, "epochs": 1, "validation": {"max_examples": 8}},
    {"data": {"max_sequence_tokens": 192, "max_examples": 96}, "batch_tokens": 768, "lora": {"dropout": 0.1}},
)  # fmt: skip
COMMON: Record = {
    "name": "plan-error",
    "task": "tutor",
    "base": BASE,
    "epochs": 1,
    "batch_tokens": 1024,
    "accumulation": {"examples": 4},
    "checkpoint": {"every_steps": 1_000_000},
    "validation": {"every_steps": 1_000_000, "patience": 0, "max_examples": 2},
}


def merged(recipe: Record) -> Record:
    """A recipe with what all have in common."""
    return {**COMMON, **recipe, "validation": {**COMMON["validation"], **recipe.get("validation", {})}}


def child() -> int:
    """Plan and run the recipe on standard input; its figures on standard output."""
    settings = json.load(sys.stdin)
    from homeroom.app.home import Homeroom
    from homeroom.app.local_runs import engine_renderer
    from homeroom.data.course import load_course
    from homeroom.data.split import assign
    from homeroom.models import pull
    from homeroom.schema.jobs import NullReporter
    from homeroom.schema.tuning import TrainingData
    from homeroom.settings import load_settings
    from homeroom.storage.artifacts import ArtifactStore
    from homeroom.tuning.huggingface.forecast import Past
    from homeroom.tuning.huggingface.tuner import HuggingFaceTuner
    from homeroom.tuning.recipe import Recipe

    recipe = Recipe.model_validate(merged(settings["recipe"]))
    examples = load_course()
    placed = assign(examples)
    data = TrainingData("course", *([e for e in examples if placed[e.id] == part] for part in ("train", "validation")))
    before = matmul_gflops(0.5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOMEROOM_HOME"] = str(folder / "home")
        base = pull.require(BASE, load_settings().cache)
        tuner = HuggingFaceTuner(
            base,
            folder / "work",
            ArtifactStore(folder / "artifacts"),
            renderer=engine_renderer(Homeroom.open(), base),
            calibrations=Path(settings["calibrations"]),
            record=[Past(**past) for past in settings["record"]],
        )
        metrics = tuner.run(data, recipe, NullReporter()).metrics
    kept = ("seconds", "train_seconds", "peak_memory_bytes", "peak_gpu_memory_bytes", "tokens", "steps", "compute", "forecast")
    print(json.dumps({**{key: metrics[key] for key in kept}, "gflops": [before, matmul_gflops(0.5)]}))
    return 0


def run(recipe: Record, calibrations: Path, record: list[Record]) -> Record:
    """One recipe in a process of its own."""
    wanted = json.dumps({"recipe": recipe, "calibrations": str(calibrations), "record": record})
    done = subprocess.run(
        [sys.executable, __file__, "--child"], input=wanted, capture_output=True, text=True, env=os.environ, check=False
    )
    if done.returncode:
        return {"recipe": recipe, "error": done.stderr[-2000:]}
    return {"recipe": recipe, **json.loads(done.stdout.splitlines()[-1])}


def summary(runs: list[Record]) -> Record:
    """Errors of the forecasts as they were made for a new machine, and with the runs before each as a record."""
    from homeroom.tuning.huggingface.forecast import Past, accuracy, corrected

    fresh, used, raw_past = [], [], []
    for one in (r for r in runs if "error" not in r):
        forecast = one["forecast"]
        for found, record in ((fresh, []), (used, raw_past)):
            expected, low, high = corrected(forecast["train_raw_s"], record)
            found.append(Past(expected, one["seconds"], forecast["memory_raw_bytes"], one["peak_memory_bytes"], low, high))
        raw_past.append(raw_of(one))
    training = [Past(p.forecast_s, p.actual_s) for p in raw_past]
    kinds = {"new machine": fresh, "with the runs before as record": used, "training alone, new machine": training}
    return {name: asdict(found) for name, past in kinds.items() if (found := accuracy(past)) is not None}


def raw_of(one: Record) -> Any:
    """A run as the record of a later one."""
    from homeroom.tuning.huggingface.forecast import Past

    forecast = one["forecast"]
    return Past(
        forecast["train_raw_s"],
        one["train_seconds"],
        forecast["memory_raw_bytes"],
        one["peak_memory_bytes"],
        overhead_s=one["seconds"] - one["train_seconds"],
    )


def main() -> int:
    """Run what is missing, saving after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=len(RECIPES), help="stop after this many; start again to go on")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=RESULT, help="where the figures go: a file for each machine")
    options = parser.parse_args()
    if options.child:
        return child()
    output: Path = options.output
    record: Record = json.loads(output.read_text()) if output.exists() else {"machine": facts(), "runs": []}
    calibrations = Path(tempfile.gettempdir()) / f"homeroom-plan-error-{os.getuid()}"  # measured once, for all runs
    for recipe in RECIPES[len(record["runs"]) :][: options.runs]:
        record["runs"].append(run(recipe, calibrations, []))
        record["summary"] = summary(record["runs"])
        output.write_text(json.dumps(record, indent=1) + "\n")
        one = record["runs"][-1]
        told = one.get("error") or f"forecast {one['forecast']['time_s']} s, took {one['seconds']} s"
        print(f"{len(record['runs'])}: {told}", flush=True)
    print(json.dumps(record.get("summary"), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
