"""Beds for single faults: a home on the tiny model, real commands, and nothing left running at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.bed import Bed
from tests.faults.disk import SmallDisk, Unsupported

LIMIT_S = 600  # of each test; the processes of a test that runs into it are ended by its fixture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[Callable[..., Bed]]:
    """Makes beds; ends whatever runs on them."""
    beds: list[Bed] = []

    def make(name: str = "bed", **settings: Any) -> Bed:
        bed = Bed(tmp_path / name, **settings)
        beds.append(bed)
        bed.make()
        return bed

    yield make
    for bed in beds:
        bed.end_everything()


@pytest.fixture
def bed(make_bed: Callable[..., Bed]) -> Bed:
    """A home with a dataset, ``base-data``."""
    bed = make_bed()
    bed.ok("data", "split", bed.folder / "base-data.jsonl")
    return bed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 16 MB."""
    try:
        with SmallDisk(tmp_path / "small", 16) as disk:
            yield disk
    except Unsupported as reason:
        pytest.skip(f"not possible here: {reason}")
