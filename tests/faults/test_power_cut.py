"""A few power cuts; the command that the module names makes as many as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import power
from tests.faults.disk import Unsupported


def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    try:
        report = power.run(tmp_path, cuts=8, seed=8)
    except Unsupported as reason:
        pytest.skip(f"not possible here: {reason}")
    print(report.text())
    assert report.faults["power cuts"] == 8
    assert report.acknowledged["turn"][1] > 0 and report.acknowledged["dataset"][1] > 0
    assert report.findings == []
