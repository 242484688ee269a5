"""Freed memory is kept for the next batch, and given back above a limit."""

from __future__ import annotations

import sys

import pytest
import torch

from homeroom.tuning.huggingface.cores import keeping_freed_memory, resident_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
BLOCK = 32 * 2**20


def freed_blocks() -> int:
    """Memory held before some blocks with gaps between them are made and freed: what is left on top keeps the system from it."""
    before = resident_bytes()
    blocks = [torch.ones(BLOCK, dtype=torch.uint8) for _ in range(8)]
    small = [torch.ones(300_000, dtype=torch.uint8) for _ in range(2)]
    assert resident_bytes() > before + 7 * BLOCK
    del blocks
    assert len(small) == 2
    return before


def test_below_the_limit_freed_memory_is_kept_and_above_it_given_back() -> None:
    with keeping_freed_memory(2**50) as give_back:
        before = freed_blocks()
        give_back()
        assert resident_bytes() > before + 6 * BLOCK
    assert resident_bytes() < before + 3 * BLOCK  # nothing is kept beyond the run
    with keeping_freed_memory(resident_bytes() + BLOCK) as give_back:
        before = freed_blocks()
        assert resident_bytes() > before + 6 * BLOCK
        give_back()
        assert resident_bytes() < before + 3 * BLOCK
