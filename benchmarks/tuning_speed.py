"""Tokens per second and memory of our training loop against TRL's ``SFTTrainer``, in pairs that run one after the other.

    python benchmarks/tuning_sweep_trl.py        first: the settings that TRL is run with
    python benchmarks/tuning_speed.py            5 pairs for each comparison; goes on where it stopped
    python benchmarks/tuning_speed.py --ceiling bfloat16    the share of the matrix products' own speed, and where the rest goes

Comparisons: ``float32`` is our float32 against TRL's fastest float32 settings; ``chosen`` is the number type that we choose on
this machine against TRL's fastest settings of all. Each run is a process of its own, so that memory is its own. Pairs alternate
which side begins, and cycle through three seeds. Writes benchmarks/results/tuning_speed.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from machine import facts
from tuning_sweep_trl import RESULT as SWEEP
from tuning_sweep_trl import TYPES, best, run_child

RESULT = Path(__file__).parent / "results" / "tuning_speed.json"
COMMON = {"learning_rate": 1e-3, "step_examples": 4, "examples": 24, "held_out": 8, "threads": 0}
SEEDS = (0, 1, 2)
Record = dict[str, Any]  # JSON


def sides(comparison: str, seed: int, sweep: Record) -> tuple[Record, Record]:
    """Settings of both sides: ours, TRL's."""
    ours = {**COMMON, "engine": "homeroom", "dtype": "float32" if comparison == "float32" else "auto", "seed": seed}
    found = best(sweep, ("float32",) if comparison == "float32" else TYPES)
    return ours, {**found, **COMMON, "engine": "trl", "threads": found["threads"], "seed": seed}


def run_pair(comparison: str, number: int, sweep: Record) -> Record:
    """One pair; odd ones begin with TRL."""
    ours, trl = sides(comparison, SEEDS[number % len(SEEDS)], sweep)
    order = [("homeroom", ours), ("trl", trl)]
    found = {name: run_child(settings) for name, settings in (order if number % 2 == 0 else reversed(order))}
    return {"seed": ours["seed"], **found}


def summary(pairs: list[Record]) -> Record:
    """Ratios of the pairs: median and range."""
    whole = [p for p in pairs if "error" not in p["homeroom"] and "error" not in p["trl"]]
    if not whole:
        return {}

    def of(side: str, key: str) -> list[float]:
        return [p[side][key] for p in whole]

    speed = [a / b for a, b in zip(of("homeroom", "tokens_per_s"), of("trl", "tokens_per_s"), strict=True)]
    loss = [a - b for a, b in zip(of("homeroom", "held_out_loss"), of("trl", "held_out_loss"), strict=True)]
    return {
        "pairs": len(whole),
        "speed_ratio": {"median": statistics.median(speed), "min": min(speed), "max": max(speed)},
        "tokens_per_s": {side: statistics.median(of(side, "tokens_per_s")) for side in ("homeroom", "trl")},
        "peak_memory_gb": {side: max(of(side, "peak_memory_gb")) for side in ("homeroom", "trl")},
        "held_out_loss": {side: statistics.mean(of(side, "held_out_loss")) for side in ("homeroom", "trl")},
        "held_out_loss_difference": {"mean": statistics.mean(loss), "min": min(loss), "max": max(loss)},
    }


def main() -> int:
    """Run what is missing, saving after each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="of each comparison, in all")
    parser.add_argument("--runs", type=int, default=1000, help="stop after this many pairs; start again to go on")
    parser.add_argument("--comparison", choices=("chosen", "float32"), action="append")
    parser.add_argument("--ceiling", choices=("bfloat16", "float32"), action="append")
    options = parser.parse_args()
    record: Record = json.loads(RESULT.read_text()) if RESULT.exists() else {"machine": facts(), "settings": COMMON}
    if options.ceiling:
        from tuning_ceiling import measure

        for dtype in options.ceiling:
            record.setdefault("ceiling", {})[dtype] = measure(dtype)
            RESULT.write_text(json.dumps(record, indent=2) + "\n")
            print(dtype, json.dumps(record["ceiling"][dtype], indent=1), flush=True)
        return 0
    sweep = json.loads(SWEEP.read_text())
    left = options.runs
    for number in range(options.pairs):
        for comparison in options.comparison or ("chosen", "float32"):
            entry = record.setdefault(comparison, {"pairs": []})
            if len(entry["pairs"]) > number or not left:
                continue
            left -= 1
            entry["trl_settings"] = sides(comparison, 0, sweep)[1]
            entry["pairs"].append(run_pair(comparison, number, sweep))
            entry["summary"] = summary(entry["pairs"])
            RESULT.write_text(json.dumps(record, indent=2) + "\n")
            print(f"{comparison} pair {number + 1}: {json.dumps(entry['pairs'][-1])}", flush=True)
    for comparison in ("chosen", "float32"):
        print(comparison, json.dumps(record.get(comparison, {}).get("summary"), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
