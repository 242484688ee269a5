"""A job goes on after each kind of kill; the command that the module names measures how soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import recovery


@pytest.mark.sample
def test_a_job_goes_on_whatever_is_killed(tmp_path: Path) -> None:
    report = recovery.run(tmp_path, rounds=1)
    print(report.text())
    gaps = {gap["role"]: gap for gap in report.facts["gaps"]}
    assert set(gaps) == set(recovery.ROLES)
    assert [role for role, gap in gaps.items() if gap["leased_s"] is None] == ["web"]
    assert all(gap["import_s"] > 0 for role, gap in gaps.items() if role != "web")
