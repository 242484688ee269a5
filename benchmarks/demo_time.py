"""How long the demo takes, and how much memory: first run and repeated training, in a fresh home.

    python benchmarks/demo_time.py

Writes benchmarks/results/demo_time.json. The model files are taken from HOMEROOM_CACHE; what fetching them takes is not in here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from machine import facts, matmul_gflops

RESULTS = Path(__file__).parent / "results"


def tree_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and all it started, shared pages counted once where the system says so (PSS)."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            info = member.memory_full_info()
            total += getattr(info, "pss", info.rss)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def run_once(home: Path, *arguments: str) -> dict[str, object]:
    """One demo without the server: wall time, peak memory, and what it said."""
    environment = {**os.environ, "HOMEROOM_HOME": str(home)}
    before = matmul_gflops()
    started = time.monotonic()
    command = [sys.executable, "-m", "homeroom", "demo", "--json", "--no-serve", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(watched))
        time.sleep(0.5)
    output = process.stdout.read() if process.stdout else ""
    return {
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_gb": round(peak / 1e9, 2),
        "exit": process.returncode,
        "matmul_gflops": [before, matmul_gflops()],
        "result": json.loads(output) if output.strip() else None,
    }


def main() -> int:
    """First run, then one that repeats the training."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        runs = {"first": run_once(home), "again": run_once(home, "--again")}
    record = {"machine": facts(), **runs}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "demo_time.json").write_text(json.dumps(record, indent=2) + "\n")
    for name, run in runs.items():
        print(
            f"{name}: {run['seconds']} s, {run['peak_memory_gb']} GB, matmul {run['matmul_gflops']} GFLOP/s, exit {run['exit']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
