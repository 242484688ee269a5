"""What this machine has, within the limits of the container it may be in."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from homeroom.errors import ConfigError

_UNITS = {"": 10**9, "gb": 10**9, "gib": 2**30, "mb": 10**6, "mib": 2**20}
_LEAST_BYTES, _MOST_BYTES = 10**9, 10**13


@dataclass(frozen=True, slots=True)
class Hardware:
    """Facts that decide what can run here. Sizes in bytes; 0 where it could not be found out.

    Attributes:
        cores: Cores this process may use, at least 1.
        memory_bytes: Memory this process may use.
        disk_free_bytes: Free space where the state is kept.
        gpu: Name of the first NVIDIA GPU; None without one.
        avx512: Whether the processor has AVX-512.
        amx_bf16: Whether it multiplies bfloat16 matrices in hardware (AMX). Without it or ``avx512_bf16`` bfloat16 is slow.
        avx512_bf16: Whether it has bfloat16 vector instructions.
        platform: System and machine, e.g. ``Linux-x86_64``.
        python: Version, e.g. ``3.11.9``.
    """

    cores: int
    memory_bytes: int
    disk_free_bytes: int
    gpu: str | None
    avx512: bool
    amx_bf16: bool
    avx512_bf16: bool
    platform: str
    python: str


def hardware(disk: Path | None = None, *, root: Path = Path("/")) -> Hardware:
    """Look at the machine.

    Args:
        disk: Folder whose disk is asked for free space; it need not exist yet. The current folder when omitted.
        root: Where the system's ``proc`` and ``sys`` lie.
    """
    flags = _processor_flags(root / "proc/cpuinfo")
    return Hardware(
        cores=_cores(root),
        memory_bytes=_memory(root),
        disk_free_bytes=_disk_free(disk or Path()),
        gpu=_gpu(root),
        avx512="avx512f" in flags,
        amx_bf16="amx_bf16" in flags,
        avx512_bf16="avx512_bf16" in flags,
        platform=f"{platform.system()}-{platform.machine()}",
        python=platform.python_version(),
    )


def parse_memory(text: str) -> int:
    """Bytes of ``24GB``, ``24 GiB``, ``24576 MiB`` or ``24``, which is in GB. A GB is 10^9 bytes.

    Raises:
        ConfigError: ``memory-size``: it is no size between 1 GB and 10,000 GB.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]*)", text.strip().lower(), flags=re.ASCII)
    unit = _UNITS.get(found[2]) if found else None
    size = round(float(found[1]) * unit) if found and unit else 0
    if not _LEAST_BYTES <= size <= _MOST_BYTES:
        raise ConfigError(
            f"{text[:40]!r} is no size of a memory between 1 GB and 10,000 GB. Write it like this: homeroom tune plan --gpu 24GB",
            code="memory-size",
        )
    return size


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _processor_flags(cpuinfo: Path) -> frozenset[str]:
    line = next((line for line in _read(cpuinfo).splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def _cores(root: Path) -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(limit) == 2 and limit[0].isdigit() and limit[1].isdigit() and int(limit[1]):
        usable = min(usable, -(-int(limit[0]) // int(limit[1])))  # a share of a core still runs one thread
    return max(1, usable)


def _memory(root: Path) -> int:
    line = next((line for line in _read(root / "proc/meminfo").splitlines() if line.startswith("MemTotal:")), "")
    words = line.split()
    total = int(words[1]) * 1024 if len(words) == 3 and words[1].isdigit() else _memory_by_sysconf()
    limits = [_read(root / "sys/fs/cgroup" / name).strip() for name in ("memory.max", "memory/memory.limit_in_bytes")]
    return min([total, *(int(limit) for limit in limits if limit.isdigit())])


def _memory_by_sysconf() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _disk_free(folder: Path) -> int:
    folder = folder.absolute()
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    return shutil.disk_usage(existing).free if existing else 0


def _gpu(root: Path) -> str | None:
    for information in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        for line in _read(information).splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return _gpu_by_tool() if root == Path("/") else None


def _gpu_by_tool() -> str | None:
    """As the driver's tool names it: some containers hide the driver's folder under ``/proc``."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(answer.stdout.splitlines()), "").strip() or None
