"""Random kill -9 while clients work: ``python tests/faults/kill.py --kills 200 --seed 1``.

Chat, feedback, datasets, imports, promotions and tuning runs go on all the time, against a server that is started again whenever
it was killed. At the end everything is let finish, the server is started and ended once more, and the home is compared with what
the clients were told. Exits 1 when anything was lost, done twice, left running or left over.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "src")]

import httpx

from tests.faults import client, oracle
from tests.faults.bed import Bed, descendants, eventually
from tests.faults.journal import Record
from tests.faults.killer import Killer, Strike
from tests.faults.report import Report

CLIENTS = (("chat", 1), ("chat", 2), ("data", 1), ("import", 1), ("tune", 1))
SHORTEST_S, LONGEST_S = 0.05, 2.0
ABSENT_S = 5.0  # how long a role is waited for that does not run now
ORPHAN_S = 10.0
DRAIN_S = 240.0


def run(folder: Path, kills: int, seed: int) -> Report:
    """Kill ``kills`` times; what was found."""
    report = Report({"faults": "kill -9", "kills": kills, "seed": seed})
    bed = Bed(folder)
    chance = random.Random(seed)
    started = time.monotonic()
    try:
        bed.make()
        bed.ok("data", "split", bed.folder / "base-data.jsonl", "--seed", "0")
        bed.serve()
        bed.await_ready()
        clients = [client.start(kind, number, bed.folder, bed.address, bed.env) for kind, number in CLIENTS]
        try:
            at_work(bed)
            strikes = harass(bed, Killer(bed.processes, chance), chance, kills, report)
            report.faults = dict(Counter(strike.role for strike in strikes))
            report.facts["seconds of killing"] = round(time.monotonic() - started)
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


def at_work(bed: Bed) -> None:
    """Wait until every kind of client was told something, so that every death has something to lose."""
    kinds = {kind for kind, _ in CLIENTS}

    def told() -> set[str]:
        return {entry.client.partition("-")[0] for entry in Record.read(bed.journals).entries if entry.did == "told"}

    eventually(lambda: told() >= kinds, what="the clients do not get to work; see clients.log")


def harass(bed: Bed, killer: Killer, chance: random.Random, kills: int, report: Report) -> list[Strike]:
    """Kill at random moments; start the server again whenever it is gone."""
    while len(killer.strikes) < kills:
        role = killer.draw()
        # Mostly soon after the last one, now and then after a quiet while: jobs must get somewhere too.
        time.sleep(min(LONGEST_S, SHORTEST_S + chance.expovariate(1.6)))
        deadline = time.monotonic() + ABSENT_S
        while (strike := killer.strike(role)) is None and time.monotonic() < deadline:
            if not bed.serves():  # it ended by itself, for example because the home was still locked
                bed.serve()
            time.sleep(0.02)
        if strike is not None and strike.pid == bed.server.pid:
            bed.server.wait()
            orphans(strike, bed, report)
            bed.serve()
    return killer.strikes


def orphans(strike: Strike, bed: Bed, report: Report) -> None:
    """After the server died: nothing that it had started, or that they had, may outlive it."""
    children = descendants(bed.server.pid, strike.others)
    try:
        eventually(lambda: not any(process.alive for process in children), ORPHAN_S)
    except AssertionError:
        left = [f"{process.pid} {process.command[:100]}" for process in children if process.alive]
        report.find([f"outlived the server by {ORPHAN_S:.0f} s: {one}" for one in left])


def end(one: subprocess.Popen[bytes], report: Report) -> None:
    """Wait for a client; one that broke is a finding."""
    try:
        code = one.wait(150)
    except subprocess.TimeoutExpired:
        one.kill()
        code = one.wait()
    if code != 0:
        report.find([f"a client ended with {code}; see clients.log"])


def settle(bed: Bed, report: Report) -> None:
    """Let everything that was submitted finish, without faults; what failed for its deaths is asked for again."""
    if not bed.serves():
        bed.serve()
    bed.await_ready()
    submitted = {entry["seed"] for entry in Record.read(bed.journals).meant("job")}
    for seed in sorted(submitted):
        path = bed.folder / "inputs" / f"seed-{seed}.json"
        bed.ok("tune", "run", "--dataset", "base-data", "--recipe", path, "--no-wait", "--json")

    def over() -> bool:
        jobs = json.loads(bed.ok("jobs", "list", "--limit", "1000", "--json"))
        return all(job["state"] in ("succeeded", "failed", "cancelled") for job in jobs)

    eventually(over, DRAIN_S, "the submitted jobs did not end")
    jobs = json.loads(bed.ok("jobs", "list", "--limit", "1000", "--json"))
    report.facts["jobs"] = len(jobs)
    report.facts["attempts of jobs"] = max((job["attempts"] for job in jobs), default=0)
    report.find([f"the job {job['id']} {job['state']}: {job['error']}" for job in jobs if job["state"] != "succeeded"])


def judge(bed: Bed, report: Report) -> None:
    """The home against the journals, and its use."""
    record = Record.read(bed.journals)
    report.count(record)
    for what in ("turn", "reply", "thumb", "dataset", "model", "job"):
        if not record.told(what):
            report.find([f"no {what} was ever acknowledged: the run shows nothing"])
    answer = httpx.post(
        f"{bed.address}/v1/chat/completions",
        json={"model": "tiny", "messages": [{"role": "user", "content": "Half of 14 is 8."}], "max_tokens": 6},
        timeout=60,
        trust_env=False,
    )
    report.find([] if answer.status_code == 200 else [f"the chat answers {answer.status_code}: {answer.text[:200]}"])
    doctor = bed.run("doctor", "--json")
    report.find([] if doctor.returncode == 0 else [f"doctor: {doctor.stdout}"])
    bed.end_server()
    report.find([f"still runs after the server ended: {process.command[:120]}" for process in bed.processes()])
    bed.serve()  # one clean start and end: whatever dead processes left is cleared away
    bed.await_ready()
    bed.end_server()
    report.find(oracle.kept_promises(bed.home, record))
    report.find(oracle.whole(bed.home))
    report.find(oracle.leftovers(bed.home))
    report.facts["artifacts that nothing names"] = len(oracle.unnamed(bed.home))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="where it works; kept. A temporary one, removed when all is well, when omitted"
    )
    parser.add_argument("--json", type=Path, help="write the report here")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="homeroom-kill-"))
    report = run(folder, given.kills, given.seed)
    if given.json:
        given.json.write_text(report.to_json())
    if report.findings or given.folder:
        print(f"kept: {folder}")
    else:
        Bed(folder).remove()
    report.end()


if __name__ == "__main__":
    main()
