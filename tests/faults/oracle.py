"""Compares a home with the journals of its clients. Each finding is one line; none means that the home kept its promises.

It reads the database with SQLite and hashes files itself: of the code under test it uses nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.faults.journal import Record

Row = dict[str, Any]


def kept_promises(home: Path, record: Record) -> list[str]:
    """What was acknowledged and is lost, and what was done twice."""
    rows = Tables(home)
    return [
        *_turns(rows, record),
        *_feedback(rows, record),
        *_datasets(home, rows, record),
        *_models(home, rows, record),
        *_jobs(home, rows, record),
    ]


def whole(home: Path) -> list[str]:
    """What of the home is damaged or half there: the database, its references, the artifacts."""
    findings = []
    with closing(sqlite3.connect(home / "homeroom.db")) as database:
        for pragma, well in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            said = database.execute(f"PRAGMA {pragma}").fetchall()
            findings += [f"{pragma}: {said[:3]}"] if said != well else []
    for folder in sorted((home / "artifacts").glob("*/*-*")):
        if folder.parent.name != "tmp":
            findings += artifact_problems(folder)
    rows = Tables(home)
    named = {row["artifact"] for row in (*rows["models"], *rows["datasets"])} | {r["report_artifact"] for r in rows["scorecards"]}
    for artifact in sorted(named - {""}):
        if not (home / "artifacts" / artifact.rpartition("-")[0] / artifact).is_dir():
            findings.append(f"the artifact {artifact} is named and not there")
    for table, keys in (("models", ("job_id", "task")), ("turns", ("id",)), ("feedback", ("turn_id",))):
        counts = Counter(tuple(row[key] for key in keys) for row in rows[table])
        twice = [found for found, count in counts.items() if all(found) and count > 1]
        findings += [f"{table}: {len(twice)} of {keys} occur twice, e.g. {twice[0]!r}"] if twice else []
    return findings


def unnamed(home: Path) -> list[str]:
    """Artifacts that no row names: whole, but made by a process that died before it could register them."""
    rows = Tables(home)
    named = {row["artifact"] for row in (*rows["models"], *rows["datasets"])} | {r["report_artifact"] for r in rows["scorecards"]}
    kept = {path.name for path in (home / "artifacts").glob("*/*-*") if path.parent.name != "tmp"}
    return sorted(kept - named)


def leftovers(home: Path) -> list[str]:
    """Temporary files and folders of processes that are gone. Asked after a clean start and end."""
    patterns = (
        "artifacts/tmp/*",
        "**/.writing-*",
        "**/.replaced-*",
        "**/.making-*",
        "**/.*.????????",
        "**/.*.json-*",
        "**/*.part",
    )
    found = {path for pattern in patterns for path in home.glob(pattern)}
    run = home / "run"
    found |= {path for path in run.rglob("*") if path.is_file() and path.name != "lock" and path.suffix != ".log"}
    found -= set((run / "use").glob("*"))
    found |= set(home.glob("jobs/*/running.lock"))
    found |= {path for path in home.glob("jobs/*/work/checkpoints") if _state(home, path.parts[-3]) == "succeeded"}
    return [f"left over: {path.relative_to(home)}" for path in sorted(found)]


def artifact_problems(folder: Path) -> list[str]:
    """What in an artifact differs from its manifest."""
    try:
        content = (folder / "manifest.json").read_bytes()
        files = json.loads(content)["files"]
    except (OSError, ValueError) as error:
        return [f"{folder.name}: the manifest cannot be read: {error}"]
    findings = [] if folder.name.endswith(hashlib.sha256(content).hexdigest()[:12]) else [f"{folder.name}: manifest changed"]
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    findings += [f"{folder.name}: {name} does not belong to it" for name in present.keys() - files.keys() - {"manifest.json"}]
    for name, told in files.items():
        if name not in present or hashlib.sha256(present[name].read_bytes()).hexdigest() != told["sha256"]:
            findings.append(f"{folder.name}: {name} is missing or changed")
    return findings


class Tables:
    """The rows of the home's database, read once each."""

    def __init__(self, home: Path) -> None:
        self._path = home / "homeroom.db"
        self._read: dict[str, list[Row]] = {}

    def __getitem__(self, table: str) -> list[Row]:
        if table not in self._read:
            with closing(sqlite3.connect(self._path)) as database:
                database.row_factory = sqlite3.Row
                self._read[table] = [dict(row) for row in database.execute(f"SELECT * FROM {table}")]
        return self._read[table]


def _turns(rows: Tables, record: Record) -> Iterator[str]:
    """Every message once, in its conversation; every reply once, word for word."""
    users = [row for row in rows["turns"] if row["role"] == "user"]
    by_id = {row["id"]: row for row in rows["turns"]}
    for entry in record.meant("turn"):
        stored = [row for row in users if row["content"].endswith(" " + entry["marker"])]
        if len(stored) > 1:
            yield f"the message {entry['marker']} is stored {len(stored)} times"
    for entry in record.told("turn"):
        row = by_id.get(entry["id"])
        if row is None or not row["content"].endswith(" " + entry["marker"]) or row["conversation_id"] != entry["conversation"]:
            yield f"the message {entry['marker']} was acknowledged and is lost"
    for entry in record.told("reply"):
        row = by_id.get(entry["id"])
        if row is None:
            yield f"the reply to {entry['marker']} was acknowledged and is lost"
        elif row["content"] != entry["text"] or row["variant"] != 0:
            yield f"the reply to {entry['marker']} is not what was shown: {row['content'][:60]!r}"


def _feedback(rows: Tables, record: Record) -> Iterator[str]:
    """The last thing said of a reply, or something meant after it."""
    stored = {row["turn_id"]: row for row in rows["feedback"]}
    full = {entry["turn"]: entry for entry in record.told("feedback")}
    for entry in record.told("thumb"):
        row = stored.get(entry["turn"])
        if row is None or row["rating"] != entry["thumb"]:
            yield f"the thumb for {entry['turn']} was acknowledged and is lost"
        elif entry["turn"] in full:
            given = full[entry["turn"]]
            if any(row[name] != given[name] for name in ("reason", "better_answer", "consent")):
                yield f"the better answer for {entry['turn']} was acknowledged and is lost"


def _datasets(home: Path, rows: Tables, record: Record) -> Iterator[str]:
    versions = Counter(row["name"] for row in rows["datasets"])
    by_id = {row["id"]: row for row in rows["datasets"]}
    for entry in record.meant("dataset"):
        if versions[entry["name"]] > 1:
            yield f"the dataset {entry['name']} has {versions[entry['name']]} versions"
    for entry in record.told("dataset"):
        row = by_id.get(entry["id"])
        if row is None or row["version"] != entry["version"]:
            yield f"the dataset {entry['name']} was acknowledged and is lost"
            continue
        path = home / "artifacts" / "dataset" / row["artifact"] / "examples.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        if len(lines) != entry["examples"] or not all(entry["name"] in line for line in lines):
            yield f"the dataset {entry['name']} has not the examples that were given"


def _models(home: Path, rows: Tables, record: Record) -> Iterator[str]:
    names = {row["name"]: row for row in rows["models"]}
    suffixes = Counter(row["suffix"] for row in rows["models"])
    for entry in record.meant("model"):
        if suffixes[entry["suffix"]] > 1:
            yield f"the model {entry['suffix']} is registered {suffixes[entry['suffix']]} times"
    for entry in record.told("model"):
        if entry["name"] not in names:
            yield f"the model {entry['name']} was acknowledged and is lost"
    told = record.told("route")
    if told:
        later = {entry["name"] for entry in record.meant("route") if entry.at >= told[-1].at}
        routed = {row["model_name"] for row in rows["routes"] if row["task"] == told[-1]["task"]}
        if not routed & {told[-1]["name"], *later}:
            yield f"the route to {told[-1]['name']} was acknowledged and is lost; it is {routed}"


def _jobs(home: Path, rows: Tables, record: Record) -> Iterator[str]:
    """Every run that was asked for is one job; every job that was told to be done is one model."""
    # Those of the API name a file in place of a recipe: `tests.faults.api_oracle` judges them.
    jobs = {row["id"]: row for row in rows["jobs"] if row["kind"] == "tune" and "recipe" in json.loads(row["payload"])}
    seeds = Counter(json.loads(row["payload"])["recipe"]["seed"] for row in jobs.values())
    models = Counter(row["job_id"] for row in rows["models"])
    for seed in {entry["seed"] for entry in record.meant("job")}:
        if seeds[seed] > 1:
            yield f"the run with seed {seed} is {seeds[seed]} jobs"
    for entry in record.told("job"):
        if entry["id"] not in jobs:
            yield f"the job {entry['id']} was acknowledged and is lost"
    for entry in record.told("tuned"):
        if jobs.get(entry["job"], {}).get("state") != "succeeded":
            yield f"the job {entry['job']} was told to be done and is {jobs.get(entry['job'], {}).get('state')!r}"
        if [row["name"] for row in rows["models"] if row["job_id"] == entry["job"]] != [entry["name"]]:
            yield f"the job {entry['job']} was told to give {entry['name']} and the registry says otherwise"
    for job in jobs.values():
        if models[job["id"]] != (1 if job["state"] == "succeeded" else models[job["id"]]) or models[job["id"]] > 1:
            yield f"the job {job['id']} is {job['state']} and gave {models[job['id']]} models"


def _state(home: Path, job: str) -> str:
    with closing(sqlite3.connect(home / "homeroom.db")) as database:
        found = database.execute("SELECT state FROM jobs WHERE id = ?", (job,)).fetchone()
    return str(found[0]) if found else ""
