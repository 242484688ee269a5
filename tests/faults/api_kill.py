"""Random kill -9 while programs fine-tune through the API: ``python tests/faults/api_kill.py --kills 100 --seed 1``.

Two programs upload, order, follow and cancel with the official SDK, and somebody chats, against a server that is started again
whenever it was killed. At the end every job is let finish, and the home is compared with what the programs were told.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

from tests.faults import api_client, api_oracle, client, oracle
from tests.faults.bed import Bed, eventually
from tests.faults.journal import Entry, Record
from tests.faults.kill import DRAIN_S, end, orphans
from tests.faults.killer import Killer, Strike
from tests.faults.report import Report

ROLES = ("supervisor", "web", "worker", "job", "engine", "launcher")
LONGEST_S = 4.0
RECOVERS = 0.7  # share of the deaths after which the server is let answer again, so that something is told in between
CALM_EVERY = 10  # kills; a job that is killed before each checkpoint is given up, and nothing would be known of those that end
CALM_S = 300.0  # a slow machine imports for a minute
NEEDED = ("file", "ftjob", "tuned by api", "reply")


def run(folder: Path, kills: int, seed: int, calm_every: int = CALM_EVERY) -> Report:
    """Kill ``kills`` times, every so often after a calm; what was found."""
    report = Report({"faults": "kill -9 with jobs of the API", "kills": kills, "seed": seed})
    bed = Bed(folder, env={"HOMEROOM_REQUESTS_PER_MINUTE": "0"})
    chance, started = random.Random(seed), time.monotonic()
    try:
        bed.make()
        bed.serve()
        bed.await_ready()
        clients = [api_client.start(number, bed.folder, bed.address, bed.env) for number in (1, 2)]
        clients.append(client.start("chat", 1, bed.folder, bed.address, bed.env))
        try:
            eventually(lambda: Record.read(bed.journals).told("ftjob"), what="no job is ordered; see clients.log")
            strikes = harass(bed, Killer(bed.processes, chance), chance, kills, calm_every, report)
            report.faults = dict(Counter(strike.role for strike in strikes))
        finally:
            bed.stop_file.touch()
            for one in clients:
                end(one, report)
        settle(bed, report)
        judge(bed, report)
    finally:
        bed.end_everything()
    report.facts["seconds"] = round(time.monotonic() - started)
    return report


def harass(bed: Bed, killer: Killer, chance: random.Random, kills: int, calm_every: int, report: Report) -> list[Strike]:
    """Kill at random moments; start the server again whenever it is gone."""
    while len(killer.strikes) < kills:
        if not bed.serves():
            bed.serve()
        if chance.random() < RECOVERS:
            bed.await_ready()
        if len(killer.strikes) % calm_every == calm_every - 1:
            calm(bed)
        time.sleep(chance.uniform(0.0, LONGEST_S))
        strike = next((hit for role in iter(killer.draw, "") if role in ROLES and (hit := killer.strike(role))), None)
        if strike is not None and strike.pid == bed.server.pid:
            bed.server.wait()
            orphans(strike, bed, report)
    return killer.strikes


def calm(bed: Bed) -> None:
    """Kill nothing until a model was tuned: whatever was killed before, the jobs after it come to their end."""
    before = len(_tuned(bed))
    eventually(lambda: time.sleep(0.5) or len(_tuned(bed)) > before, CALM_S, "no job ends though nothing is killed")


def _tuned(bed: Bed) -> list[Entry]:
    return Record.read(bed.journals).told("tuned by api")


def settle(bed: Bed, report: Report) -> None:
    """Let everything that was ordered come to its end without faults, and tell what each became."""
    if not bed.serves():
        bed.serve()
    bed.await_ready()

    def jobs() -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(bed.ok("jobs", "list", "--limit", "1000", "--json"))
        return found

    eventually(lambda: time.sleep(1) or all(job["state"] in api_client.OVER for job in jobs()), DRAIN_S, "the jobs did not end")
    report.facts["jobs"] = dict(Counter(str(job["state"]) for job in jobs()))
    report.facts["attempts of jobs"] = max((int(str(job["attempts"])) for job in jobs()), default=0)
    unexpected = [job for job in jobs() if job["state"] == "failed" and job["error_code"] != "job-process-died"]
    report.find([f"the job {job['id']} failed: {job['error']}" for job in unexpected])


def judge(bed: Bed, report: Report) -> None:
    """The home against the journals."""
    record = Record.read(bed.journals)
    report.count(record)
    report.find([f"no {what} was ever acknowledged: the run shows nothing" for what in NEEDED if not record.told(what)])
    bed.end_server()
    report.find([f"still runs after the server ended: {process.command[:120]}" for process in bed.processes()])
    bed.serve()  # one clean start and end: whatever dead processes left is cleared away
    bed.await_ready()
    bed.end_server()
    report.find(oracle.kept_promises(bed.home, record))
    report.find(oracle.whole(bed.home))
    report.find(oracle.leftovers(bed.home))
    report.find(api_oracle.kept_promises(bed.home, record))
    report.find(api_oracle.whole(bed.home))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="where it works; kept. A temporary one, removed when all is well, when omitted"
    )
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="homeroom-api-kill-"))
    report = run(folder, given.kills, given.seed)
    if report.findings or given.folder:
        print(f"kept: {folder}")
    else:
        Bed(folder).remove()
    report.end()


if __name__ == "__main__":
    main()
