"""A few power cuts; the command that the module names makes as many as wanted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import power
from tests.faults.disk import PowerCutDisk, Unsupported, after_the_cut


def test_the_disk_loses_what_was_not_flushed_and_nothing_else(tmp_path: Path) -> None:
    """Otherwise the test below would show nothing."""
    try:
        with PowerCutDisk(tmp_path / "disk.img", tmp_path / "disk") as disk:
            (disk.folder / "flushed").write_text("kept")
            with (disk.folder / "flushed").open() as file:
                os.fsync(file.fileno())
            (disk.folder / "unflushed").write_text("lost")
            assert disk.cut(tmp_path / "cut.img")
            with after_the_cut(tmp_path / "cut.img", tmp_path / "after") as mounted:
                assert (mounted / "flushed").read_text() == "kept"
                assert not (mounted / "unflushed").exists() or (mounted / "unflushed").read_text() == ""
    except Unsupported as reason:
        pytest.skip(f"not possible here: {reason}")


def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    try:
        report = power.run(tmp_path, cuts=8, seed=8)
    except Unsupported as reason:
        pytest.skip(f"not possible here: {reason}")
    print(report.text())
    assert report.faults["power cuts"] == 8
    assert report.acknowledged["turn"][1] > 0 and report.acknowledged["dataset"][1] > 0
    assert report.findings == []
