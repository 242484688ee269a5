"""How soon a job goes on after a kill -9: ``python tests/faults/recovery.py --rounds 3``.

While one training runs under a server, its own process, the worker, the web process and the supervisor (which is started again at
once) are killed in turns. Of each kill: the seconds until the job is leased again, the seconds until its next step, and the seconds
that its new process spent importing, measured in that process. What was killed is witnessed from outside: the database is read with
SQLite, every 20 ms.

    --base NAME --cache FOLDER     a real base model instead of the tiny one
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.app import material
from tests.faults.bed import ROOT, Bed, eventually
from tests.faults.killer import role_of
from tests.faults.report import Report

ROLES = ("job", "worker", "web", "supervisor")
INJECT = ROOT / "tests" / "faults" / "inject"
TARGET_S = 10.0
TINY = {**material.LONG, "epochs": 1000, "checkpoint": {"every_steps": 20}}
REAL = {"epochs": 1000, "max_trained_tokens": None, "checkpoint": {"every_steps": 2}}


@dataclass(frozen=True)
class Gap:
    """One kill. Seconds from it.

    Attributes:
        role: What was killed.
        leased_s: Until the job was claimed again; None where its claim outlived the kill.
        step_s: Until its next training step was told.
        import_s: What the process that made that step spent importing before it; 0 where it was running all the time.
    """

    role: str
    leased_s: float | None
    step_s: float
    import_s: float

    @property
    def met(self) -> bool:
        """Leased again within the target, and a step within the target and the import time."""
        return (self.leased_s or 0.0) <= TARGET_S and self.step_s <= self.import_s + TARGET_S


def run(folder: Path, rounds: int, recipe: Mapping[str, Any] = TINY, env: Mapping[str, str] | None = None) -> Report:
    """Kill each role ``rounds`` times; the gaps are among the facts."""
    imports = folder / "imports"
    imports.mkdir(parents=True)
    report = Report({"faults": "recovery", "rounds": rounds, "base": str(recipe.get("base") or "the default one")})
    path = os.pathsep.join(map(str, (INJECT, ROOT / "src", ROOT)))
    bed = Bed(folder, env={**(env or {}), "PYTHONPATH": path, "FAULTS_IMPORTS": str(imports)})
    gaps: list[Gap] = []
    try:
        bed.make()
        bed.ok("data", "split", bed.folder / "base-data.jsonl")
        bed.serve()
        bed.await_ready()
        bed.ok("tune", "run", "--dataset", "base-data", "--recipe", bed.recipe(recipe, "long"), "--no-wait")
        for number in range(rounds * len(ROLES)):
            _await_progress(bed)
            gaps.append(_kill(bed, ROLES[number % len(ROLES)], imports))
            print(gaps[-1], file=sys.stderr, flush=True)
    finally:
        bed.end_everything()
    report.faults = dict.fromkeys(ROLES, rounds)
    report.facts = {role: _told([gap for gap in gaps if gap.role == role]) for role in ROLES}
    report.facts["gaps"] = [asdict(gap) for gap in gaps]
    report.find([f"later than meant: {asdict(gap)}" for gap in gaps if not gap.met])
    return report


def _told(gaps: list[Gap]) -> str:
    leased = [gap.leased_s for gap in gaps if gap.leased_s is not None]
    again = f"leased again after {min(leased):.1f} to {max(leased):.1f} s" if leased else "its claim went on"
    steps, rest = [gap.step_s for gap in gaps], [gap.step_s - gap.import_s for gap in gaps]
    return f"{again}; next step after {min(steps):.1f} to {max(steps):.1f} s, less the import time {min(rest):.1f} to {max(rest):.1f} s"


def _await_progress(bed: Bed) -> None:
    """Wait until a checkpoint was saved since the last claim, so that there is something to go on from."""

    def saved() -> bool:
        job = _job(bed)
        return job["state"] == "running" and job["deaths"] == 0 and job["kept"] != "{}"

    eventually(saved, 300.0, "no checkpoint is saved")
    before = _last_step(bed)
    eventually(lambda: _last_step(bed) > before, 300.0, "no step is told")


def _kill(bed: Bed, role: str, imports: Path) -> Gap:
    before = _job(bed)
    victim = next(process for process in bed.processes() if role_of(process) == role)
    killed = time.time()
    victim.kill()
    if role == "supervisor":
        bed.server.wait()
        bed.serve()
    leased_s = None
    if role != "web":
        eventually(lambda: _claimed_after(bed, int(before["token"])), 120.0, "nobody leased the job again")
        leased_s = time.time() - killed
    step = eventually(lambda: _first_step_after(bed, killed + (leased_s or 0.0)), 300.0, "no step was made")
    return Gap(role, leased_s, step - killed, _import_s(bed, imports) if role != "web" else 0.0)


def _import_s(bed: Bed, imports: Path) -> float:
    """Of the job's process that runs now."""
    job = next(process for process in bed.processes() if role_of(process) == "job")
    return sum(map(float, (imports / str(job.pid)).read_text().split()))


def _claimed_after(bed: Bed, token: int) -> bool:
    job = _job(bed)
    return job["state"] == "running" and int(job["token"]) > token


def _job(bed: Bed) -> Mapping[str, Any]:
    return _rows(bed, "SELECT state, token, attempts, deaths, kept FROM jobs")[0]


def _last_step(bed: Bed) -> float:
    rows = _rows(bed, "SELECT created_at FROM job_events WHERE type = 'metrics' ORDER BY seq DESC LIMIT 1")
    return float(rows[0]["created_at"]) if rows else 0.0


def _first_step_after(bed: Bed, moment: float) -> float:
    """When the first training step after a moment was told; 0 when there was none. A validation is no step."""
    rows = _rows(bed, "SELECT created_at, data FROM job_events WHERE type = 'metrics' AND created_at > ? ORDER BY seq", moment)
    return next((float(row["created_at"]) for row in rows if json.loads(row["data"]).get("valid_loss") is None), 0.0)


def _rows(bed: Bed, query: str, *values: object) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(f"file:{bed.home / 'homeroom.db'}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query, values).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="kills of each role")
    parser.add_argument("--base", default="", help="a base model of the catalogue; the tiny one when omitted")
    parser.add_argument("--cache", default=os.environ.get("HOMEROOM_CACHE", ""), help="where the base model is")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="homeroom-recovery-"))
    recipe, env = TINY, {}
    if given.base:
        recipe = {**REAL, "base": given.base}
        env = {
            "HOMEROOM_CACHE": given.cache,
            "HOMEROOM_DEFAULT_BASE": given.base,
            "HOMEROOM_THREADS": "0",
            "OMP_NUM_THREADS": "2",
        }
    report = run(folder, given.rounds, recipe, env)
    Bed(folder).remove()
    report.end()


if __name__ == "__main__":
    main()
