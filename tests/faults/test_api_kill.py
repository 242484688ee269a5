"""Four or twenty random kills under jobs of the API; the command that the module names makes as many as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import api_kill


@pytest.mark.parametrize(("kills", "calm_every"), [pytest.param(4, 4, marks=pytest.mark.sample), (20, api_kill.CALM_EVERY)])
def test_nothing_that_a_program_was_told_is_lost_or_done_twice(tmp_path: Path, kills: int, calm_every: int) -> None:
    report = api_kill.run(tmp_path, kills=kills, seed=kills, calm_every=calm_every)
    print(report.text())
    assert sum(report.faults.values()) == kills
    assert report.findings == []
