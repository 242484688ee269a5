"""Compares a home with what programs were told through the API. As `tests.faults.oracle`, it uses nothing of the code under test."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.journal import Record
from tests.faults.oracle import Row, Tables, artifact_problems


def kept_promises(home: Path, record: Record) -> list[str]:
    """What was acknowledged and is lost, and what was done twice."""
    rows = Tables(home)
    return [*_files(home, rows, record), *_jobs(rows, record), *_outcomes(home, rows, record)]


def whole(home: Path) -> list[str]:
    """What the API's rows name and is not there, or not as it was."""
    rows, findings = Tables(home), []
    for table in ("files", "checkpoints"):
        for row in rows[table]:
            folder = _folder(home, row["artifact"])
            problems = artifact_problems(folder) if folder.is_dir() else ["it is not there"]
            findings += [f"{table} {row['id']}: {problem}" for problem in problems]
    for job, steps in _steps(rows).items():
        findings += [f"{job}: step {step} has {count} checkpoints" for step, count in steps.items() if count > 1]
    return findings


def _folder(home: Path, artifact: str) -> Path:
    return home / "artifacts" / artifact.rpartition("-")[0] / artifact


def _steps(rows: Tables) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {}
    for row in rows["checkpoints"]:
        found.setdefault(row["job_id"], Counter())[row["step"]] += 1
    return found


def _files(home: Path, rows: Tables, record: Record) -> Iterator[str]:
    """Every upload that was told is there, byte for byte; none is there twice."""
    by_id, names = {row["id"]: row for row in rows["files"]}, Counter(row["filename"] for row in rows["files"])
    for entry in record.meant("file"):
        if names[entry["name"]] > 1:
            yield f"the file {entry['name']} is there {names[entry['name']]} times"
    for entry in record.told("file"):
        row = by_id.get(entry["id"])
        if row is None:
            yield f"the file {entry['name']} was acknowledged and is lost"
        elif entry["sha256"] not in _digests(_folder(home, row["artifact"])):
            yield f"the file {entry['name']} has not the bytes that were sent"


def _digests(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "manifest.json"}


def _jobs(rows: Tables, record: Record) -> Iterator[str]:
    """One order is one job of the API and one of the queue."""
    orders = rows["fine_tuning_jobs"]
    tags = Counter(_tag(row) for row in orders)
    queue = {row["id"] for row in rows["jobs"]}
    for tag in {entry["tag"] for entry in record.meant("ftjob")}:
        if tags[tag] > 1:
            yield f"the order {tag} is {tags[tag]} jobs"
    for entry in record.told("ftjob"):
        row = next((row for row in orders if row["id"] == entry["id"]), None)
        if row is None or _tag(row) != entry["tag"] or row["training_file"] != entry["file"]:
            yield f"the order {entry['tag']} was acknowledged and is lost"
        elif row["job_id"] not in queue:
            yield f"the order {entry['tag']} has no job in the queue"


def _tag(row: Row) -> str:
    return str((json.loads(row["request"])["asked"].get("metadata") or {}).get("tag", ""))


def _outcomes(home: Path, rows: Tables, record: Record) -> Iterator[str]:
    """A job that succeeded gave one model, another gave none; nothing that was told to be over changed."""
    queue = {row["id"]: row for row in rows["jobs"]}
    order = {row["id"]: row["job_id"] for row in rows["fine_tuning_jobs"]}
    models = Counter(row["job_id"] for row in rows["models"])
    for ftjob, job in order.items():
        state = queue.get(job, {}).get("state")
        if models[job] != (1 if state == "succeeded" else 0):
            yield f"{ftjob} is {state} and gave {models[job]} models"
    for entry in record.told("cancelled"):
        state = queue.get(order.get(entry["id"], ""), {}).get("state")
        if state != "cancelled":
            yield f"{entry['id']} was told to be cancelled and is {state}"
    files = {digest for row in rows["files"] for digest in _digests(_folder(home, row["artifact"]))}
    for entry in record.told("tuned by api"):
        job = order.get(entry["id"], "")
        if [row["name"] for row in rows["models"] if row["job_id"] == job] != [entry["name"]]:
            yield f"{entry['id']} was told to give {entry['name']} and the registry says otherwise"
        if not set(entry["steps"]) <= set(_steps(rows).get(entry["id"], _steps(rows).get(job, {}))):
            yield f"{entry['id']} was told to have checkpoints at {entry['steps']} and has not"
        if not set(entry["results"]) <= files:
            yield f"the results of {entry['id']} are not what was read"
