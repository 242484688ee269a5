"""Twenty random kills under jobs of the API; the command that the module names makes as many as wanted."""

from __future__ import annotations

from pathlib import Path

from tests.faults import api_kill


def test_nothing_that_a_program_was_told_is_lost_or_done_twice(tmp_path: Path) -> None:
    report = api_kill.run(tmp_path, kills=20, seed=20)
    print(report.text())
    assert sum(report.faults.values()) == 20
    assert report.findings == []
