"""Sharing the machine with whatever else runs on it, and not giving memory back only to ask for it again."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = "20000"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 2**30
_DEFAULT = 128 * 1024


def yield_cores_soon() -> None:
    """Have PyTorch's threads give up their core soon after they find nothing to do. Works only before PyTorch is first imported.

    By default a thread that waits for another one spins for milliseconds. Beside a busy process the other one is not even
    running, and both cores are spent on waiting: matrix products ran at half of the speed they have with this setting, and
    below that of a single thread.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Inside, this process keeps what it frees for its next allocation (glibc; elsewhere this does nothing).

    A training step frees all its activations and asks for as much again. By default the system takes those pages back and hands
    out zeroed ones, page by page, while one thread works and the others wait.
    """
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST - 1)
    library.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    try:
        yield
    finally:
        library.mallopt(_M_TRIM_THRESHOLD, _DEFAULT)
        library.mallopt(_M_MMAP_THRESHOLD, _DEFAULT)
        library.malloc_trim(0)
