"""Power cuts while clients work: ``python tests/faults/power.py --cuts 20 --seed 1``. Needs root, loop devices and ext4.

The home lies on a file system of its own; the clients' journals lie outside. At random moments every process stands still, the
journals are read and the disk's image is copied; then all goes on. The copy is mounted, as after a power cut, and compared with
what the clients had been told until that moment.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

import httpx

from tests.faults import client, oracle
from tests.faults.bed import Bed, processes_of
from tests.faults.disk import PowerCutDisk, Unsupported, after_the_cut
from tests.faults.journal import Record
from tests.faults.kill import CLIENTS, end
from tests.faults.report import Report

SHORTEST_S, LONGEST_S = 0.2, 3.0
USED_EVERY = 5  # a server is started on every so many copies


def run(folder: Path, cuts: int, seed: int, limit_s: float = math.inf) -> Report:
    """Cut the power ``cuts`` times, or as often as ``limit_s`` allows; what was found.

    Raises:
        Unsupported: this machine does not allow it.
    """
    report = Report({"faults": "power cut", "cuts": cuts, "seed": seed})
    chance = random.Random(seed)
    started = time.monotonic()
    with PowerCutDisk(folder / "disk.img", folder / "disk") as disk:
        bed = Bed(folder, disk.folder / "home")
        try:
            bed.make()
            bed.ok("data", "split", bed.folder / "base-data.jsonl", "--seed", "0")
            bed.serve()
            bed.await_ready()
            clients = [client.start(kind, number, bed.folder, bed.address, bed.env) for kind, number in CLIENTS]
            try:
                for number in range(cuts):
                    if time.monotonic() > started + limit_s:
                        break
                    time.sleep(chance.uniform(SHORTEST_S, LONGEST_S))
                    cut(bed, disk, number, report)
            finally:
                bed.stop_file.touch()
                for one in clients:
                    end(one, report)
            report.count(Record.read(bed.journals))
        finally:
            bed.end_everything()
    report.facts["seconds"] = round(time.monotonic() - started)
    return report


def cut(bed: Bed, disk: PowerCutDisk, number: int, report: Report) -> None:
    """One cut, and what was left after it."""
    copy = bed.folder / "cut.img"
    with standing_still(bed.home):
        record = Record.read(bed.journals)
        for _ in range(5):
            still = disk.cut(copy)
            if still:
                break
    report.faults["power cuts"] = report.faults.get("power cuts", 0) + 1
    if not still:
        report.facts["copies that moved"] = report.facts.get("copies that moved", 0) + 1
    with after_the_cut(copy, bed.folder / "after") as mounted:
        home = mounted / "home"
        try:
            findings = [*oracle.kept_promises(home, record), *oracle.whole(home)]
        except OSError as error:
            findings = [f"the home cannot be read: {error}"]
        findings += in_use(bed, home, serve=number % USED_EVERY == 0)
        when = f"cut {number} after {len(record.entries)} entries"
        report.find(findings, when)
        print(when, "; ".join(findings) or "all there", file=sys.stderr, flush=True)
    copy.unlink()


def in_use(bed: Bed, home: Path, *, serve: bool) -> list[str]:
    """Whether the home can be used: by a command, and by a server."""
    after = Bed(bed.folder / "after-use", home, env={"HOMEROOM_CACHE": str(bed.cache)})
    listed = after.run("models", "list", "--json")
    if listed.returncode != 0:
        return [f"models list: {listed.stdout}{listed.stderr}"]
    if not serve:
        return []
    try:
        after.serve()
        after.await_ready()
        body = {"model": "tiny", "messages": [{"role": "user", "content": "Half of 14 is 8."}], "max_tokens": 4}
        answer = httpx.post(f"{after.address}/v1/chat/completions", json=body, timeout=60, trust_env=False)
        after.end_server()
        return [] if answer.status_code == 200 else [f"the chat answers {answer.status_code}: {answer.text[:200]}"]
    finally:
        after.end_everything()


@contextmanager
def standing_still(home: Path) -> Iterator[None]:
    """Every process of the home stopped where it is, clients too."""
    stopped: set[int] = set()
    while new := [process.pid for process in processes_of(home) if process.pid not in stopped]:  # one may start another meanwhile
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            stopped.add(pid)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no cut later than this")
    parser.add_argument("--json", type=Path, help="write the report here")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # nothing stays mounted
    with tempfile.TemporaryDirectory(prefix="homeroom-power-", ignore_cleanup_errors=True) as folder:
        try:
            report = run(Path(folder), given.cuts, given.seed, given.seconds)
        except Unsupported as reason:
            sys.exit(f"not possible here: {reason}")
    if given.json:
        given.json.write_text(report.to_json())
    report.end()


if __name__ == "__main__":
    main()
