"""Forty random kills; the command that the module names makes as many as wanted."""

from __future__ import annotations

from pathlib import Path

from tests.faults import kill


def test_nothing_acknowledged_is_lost_or_done_twice(tmp_path: Path) -> None:
    report = kill.run(tmp_path, kills=40, seed=40)
    print(report.text())
    assert sum(report.faults.values()) == 40
    assert report.findings == []
