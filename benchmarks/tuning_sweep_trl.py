"""Which settings make TRL's ``SFTTrainer`` fastest on this processor: the control of `tuning_speed.py` is then run with those.

    python benchmarks/tuning_sweep_trl.py            goes on where it stopped

Needs the extra `bench`. In turns of all settings, so that a slow minute of the machine hits none of them alone; each setting
counts with its best turn. Writes benchmarks/results/tuning_sweep_trl.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import facts

HERE = Path(__file__).parent
RESULT = HERE / "results" / "tuning_sweep_trl.json"
COMMON = {"engine": "trl", "seed": 0, "learning_rate": 1e-3, "step_examples": 4, "examples": 8, "held_out": 0}
TYPES = ("float32", "float32-autocast", "bfloat16", "bfloat16-autocast")


def settings_swept() -> list[dict[str, Any]]:
    """Every number type; around float32 and the fastest 16-bit one also batch size, grouping, padding-free rows and threads."""
    plain = {"batch": 4, "grouped": True, "padding_free": False, "threads": 0}
    around = [{"batch": 2}, {"batch": 1}, {"grouped": False}, {"padding_free": True}, {"threads": 1}]
    rows = [{"dtype": dtype, **plain} for dtype in TYPES]
    rows += [{"dtype": dtype, **plain, **change} for dtype in ("float32", "bfloat16-autocast") for change in around]
    return [{**COMMON, **row} for row in rows]


def label(settings: dict[str, Any]) -> str:
    """What differs between settings."""
    return ", ".join(f"{key} {settings[key]}" for key in ("dtype", "batch", "grouped", "padding_free", "threads"))


def run_child(settings: dict[str, Any]) -> dict[str, Any]:
    """One run in its own process."""
    done = subprocess.run(
        [sys.executable, str(HERE / "tuning_child.py")], input=json.dumps(settings), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else f"exit {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def best(record: dict[str, Any], types: tuple[str, ...] = TYPES) -> dict[str, Any]:
    """The fastest settings of the given number types."""
    rows = [row for row in record["settings"] if row["settings"]["dtype"] in types and row["tokens_per_s"]]
    return max(rows, key=lambda row: max(row["tokens_per_s"]))["settings"]


def main() -> int:
    """Sweep, saving after each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1000, help="stop after this many runs; start again to go on")
    options = parser.parse_args()
    record: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {"machine": facts(), "settings": []}
    rows = {label(row["settings"]): row for row in record["settings"]}
    left = options.runs
    for turn in range(options.turns):
        for settings in settings_swept():
            row = rows.setdefault(label(settings), {"settings": settings, "tokens_per_s": [], "peak_memory_gb": [], "errors": []})
            if len(row["tokens_per_s"]) + len(row["errors"]) > turn or not left:
                continue
            left -= 1
            result = run_child(settings)
            if "error" in result:
                row["errors"].append(result["error"])
            else:
                row["tokens_per_s"].append(result["tokens_per_s"])
                row["peak_memory_gb"].append(result["peak_memory_gb"])
            record["settings"] = list(rows.values())
            record["best"] = {
                dtype: best(record, (dtype,))
                for dtype in TYPES
                if any(r["tokens_per_s"] and r["settings"]["dtype"] == dtype for r in rows.values())
            }
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text(json.dumps(record, indent=2) + "\n")
            print(f"turn {turn + 1}: {label(settings)}: {result.get('tokens_per_s', result.get('error'))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
