"""Five or forty random kills; the command that the module names makes as many as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import kill


@pytest.mark.parametrize("kills", [pytest.param(5, marks=pytest.mark.sample), 40])
def test_nothing_acknowledged_is_lost_or_done_twice(tmp_path: Path, kills: int) -> None:
    report = kill.run(tmp_path, kills=kills, seed=kills)
    print(report.text())
    assert sum(report.faults.values()) == kills
    assert report.findings == []
