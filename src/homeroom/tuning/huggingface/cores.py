"""Sharing the machine with whatever else runs on it, and not giving memory back only to ask for it again."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SPINS = "20000"
KERNELS = "256"
"""That oneDNN keeps, each made for one shape: several batches' worth. Of a thousand, its own number, a run of many lengths held
half a gigabyte more."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 2**30
_DEFAULT = 128 * 1024


def yield_cores_soon() -> None:
    """Have PyTorch's threads give up their core soon after they find nothing to do. Works only before PyTorch is first imported.

    By default a thread that waits for another one spins for milliseconds. Beside a busy process the other one is not even
    running, and both cores are spent on waiting: matrix products ran at half of the speed they have with this setting, and
    below that of a single thread.

    Kernels for shapes that do not come again are not kept either (`KERNELS`).
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS)


@contextmanager
def keeping_freed_memory(limit_bytes: int) -> Iterator[Callable[[], None]]:
    """Inside, this process keeps what it frees for its next allocation (glibc; elsewhere this does nothing).

    A training step frees all its activations and asks for as much again. By default the system takes those pages back and hands
    out zeroed ones, page by page, while one thread works and the others wait.

    But batches of many shapes leave holes that the next one does not fit into: a run of some 90 steps held three times what any
    step needs. So whoever trains calls what this gives after each batch, when nothing of it is held any more: a process above
    ``limit_bytes`` then gives all that is free back at once.
    """
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if library is None or not hasattr(library, "mallopt"):
        yield _nothing
        return

    def give_back() -> None:
        if resident_bytes() > limit_bytes:
            library.malloc_trim(0)

    library.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST - 1)
    library.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    try:
        yield give_back
    finally:
        library.mallopt(_M_TRIM_THRESHOLD, _DEFAULT)
        library.mallopt(_M_MMAP_THRESHOLD, _DEFAULT)
        library.malloc_trim(0)


def resident_bytes() -> int:
    """Memory that this process holds at the moment; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _nothing() -> None:
    """Nothing is kept, so there is nothing to give back."""
