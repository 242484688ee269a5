"""Facts about the machine that belong beside every figure, and how fast it is right now."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any


def facts() -> dict[str, Any]:
    """Cores, memory, processor flags that matter, and versions."""
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9, 1),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "flags": [f for f in wanted if f in flags],
        "load_average": os.getloadavg()[0],
    }


def matmul_gflops(seconds: float = 1.0) -> float:
    """float32 matrix speed now: the control for every absolute time (judge those only on a quiet machine)."""
    import torch

    a = torch.randn(512, 576)
    b = torch.randn(576, 1536)
    best, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        best = max(best, 10 * 2 * 512 * 576 * 1536 / (time.perf_counter() - start) / 1e9)
    return round(best, 1)
