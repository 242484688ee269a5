"""Sharing the cores with whatever else runs on the machine."""

from __future__ import annotations

import os

SPINS = "20000"


def yield_cores_soon() -> None:
    """Have PyTorch's threads give up their core soon after they find nothing to do. Works only before PyTorch is first imported.

    By default a thread that waits for another one spins for milliseconds. Beside a busy process the other one is not even
    running, and both cores are spent on waiting: matrix products ran at half of the speed they have with this setting, and
    below that of a single thread.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
