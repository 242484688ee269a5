"""How long things take to begin, and what each process of a server holds in memory.

`python -c pass` runs in turns with what is timed, because the speed of a machine drifts: each figure has its control beside it.

    python start.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import engine_bench as bench
import machine
from chat_latency import Server

from homeroom.models.engine_chat import loopback_client

ROUNDS = 15
STARTS = 5
HOMEROOM = (sys.executable, "-m", "homeroom")
CONTROL = (sys.executable, "-c", "pass")
TIMED = {
    "homeroom --help": (*HOMEROOM, "--help"),
    "homeroom serve --help": (*HOMEROOM, "serve", "--help"),
    "homeroom --version": (*HOMEROOM, "--version"),
    "import homeroom": (sys.executable, "-c", "import homeroom"),
}


def seconds(command: Sequence[str]) -> float:
    """Wall time of a command that succeeds."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def commands() -> dict[str, Any]:
    """Every command in turns with the control."""
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in TIMED}
    for number in range(ROUNDS + 1):
        for name, command in TIMED.items():
            control = seconds(CONTROL)
            took = seconds(command)
            if number:  # the first fills the caches
                rows[name].append((took, control))
    return {
        name: {
            "ms": bench.spread([1000 * took for took, _ in pairs], 0),
            "python_ms": bench.spread([1000 * control for _, control in pairs], 0),
            "modules": modules(TIMED[name]),
        }
        for name, pairs in rows.items()
    }


def modules(command: Sequence[str]) -> int:
    """How many modules the command imports, by Python's own account."""
    told = subprocess.run([command[0], "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True)
    return sum(line.startswith("import time:") for line in told.stderr.splitlines()) - 1


def server() -> dict[str, Any]:
    """`homeroom serve` on a new home and on one that has been used, to its line and to the first whole answer."""
    fresh, used, answers = [], [], []
    memory: dict[str, Any] = {}
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            for times in (fresh, used):
                started = time.perf_counter()
                running = Server(home)
                times.append(time.perf_counter() - started)
                if times is used:
                    with loopback_client() as client:
                        client.timeout = 120
                        answers.append(running.ours().ask(client, 0, 16).first_s)
                    memory = memory or processes(home)
                running.stop()
    return {
        "ready_on_a_new_home_s": bench.spread(fresh, 2),
        "ready_on_a_used_home_s": bench.spread(used, 2),
        "first_token_of_the_first_question_s": bench.spread(answers, 2),
        "memory": memory,
    }


def processes(home: Path) -> dict[str, Any]:
    """PSS of every process that was started for ``home``, launchers together."""
    kinds = {"homeroom.server": "web", "engine_child": "engine", "run_worker": "worker", " serve ": "supervisor"}
    mark = f"HOMEROOM_HOME={home}".encode()
    found: dict[str, dict[str, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if mark not in (folder / "environ").read_bytes().split(b"\0") and str(home) not in line:
                continue
            kind = "launchers" if "launcher.py" in line else next((k for mark_, k in kinds.items() if mark_ in line), "other")
            row = found.setdefault(kind, {"processes": 0, "pss": 0, "anonymous": 0})
            row["processes"] += 1
            for key, value in bench.memory_bytes(int(folder.name)).items():
                row[key] += value
    found["all"] = {key: sum(row[key] for row in found.values()) for key in ("processes", "pss", "anonymous")}
    return found


def main() -> int:
    os.environ.setdefault("HOMEROOM_CACHE", str(bench.cache_of(bench.real_base())))
    before = machine.matmul_gflops()
    record = {"commands": commands(), "server": server(), "machine": machine.facts()}
    record["matmul_gflops"] = [before, machine.matmul_gflops()]
    bench.save("start", record)
    for name, row in record["commands"].items():
        print(f"{name:24} {row['ms']['median']:.0f} ms (python alone {row['python_ms']['median']:.0f}), {row['modules']} modules")
    served = record["server"]
    print("serve to ready:", served["ready_on_a_new_home_s"], "new;", served["ready_on_a_used_home_s"], "used")
    for kind, row in served["memory"].items():
        print(f"{kind:12} {row['processes']} processes, {row['pss'] / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
