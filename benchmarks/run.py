"""Every benchmark, one after the other: `make bench`. Name some to run only those."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TUNING = ("tuning_sweep_trl", "tuning_speed", "tuning_variants", "gpu_tuning")  # by name only: the extra `bench`, an hour, a GPU
BENCHMARKS = (
    "validate_metrics",
    "data_speed",
    "demo_time",
    "start",
    "api_latency",
    "chat_latency",
    "chat_threads",
    "chat_quantisation",
)


def main() -> int:
    """Run them; 1 when one fails."""
    wanted = sys.argv[1:] or BENCHMARKS
    unknown = [name for name in wanted if name not in (*BENCHMARKS, *TUNING)]
    if unknown:
        print(f"error: there is no benchmark {unknown[0]!r}; there are: {', '.join((*BENCHMARKS, *TUNING))}", file=sys.stderr)
        return 2
    codes = []
    for name in wanted:
        print(f"== {name}", flush=True)
        codes.append(subprocess.run([sys.executable, str(HERE / f"{name}.py")], cwd=HERE, check=False).returncode)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
