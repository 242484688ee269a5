"""A run of faults that is itself killed leaves nothing running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults import kill
from tests.faults.bed import ROOT, Bed, eventually, processes_of


def test_a_killed_run_leaves_no_process(tmp_path: Path) -> None:
    """Server, clients and the commands that they give at that moment."""
    folder = tmp_path / "run"
    command = [sys.executable, str(Path(kill.__file__)), "--kills", "1000", "--folder", str(folder)]
    with (tmp_path / "out").open("wb") as out:
        run = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
    try:
        eventually(lambda: len(list(folder.glob("journals/*.jsonl"))) == len(kill.CLIENTS))
    finally:
        run.kill()
        run.wait()
    try:
        eventually(lambda: not processes_of(folder / "home"), 10, "something still runs")
    finally:
        Bed(folder).end_everything()
