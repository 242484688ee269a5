"""Fetching what made each tuned model: the job with its hyperparameters, events, checkpoints, files and result tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.app.migration.folder import MigrationFolder
from homeroom.app.migration.inventory import Inventory
from homeroom.errors import AuthError, ProviderError
from homeroom.models.openai_account import OpenAIAccount

Json = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a run fetched, what was there already, and what the account does not have any more."""

    fetched: int
    kept: int
    gone: tuple[str, ...]


def download(account: OpenAIAccount, folder: MigrationFolder, inventory: Inventory, tell: Tell = lambda text: None) -> Downloaded:
    """Fetch everything that is not here yet; a file that is gone is recorded and passed over.

    Raises:
        ProviderError: the account refused or broke off; run it again.
        StorageError: the disk refused.
    """
    fetched, kept, gone = 0, 0, list[str]()
    for job in inventory.jobs:
        _job(account, folder, job)
        for file_id, suffix in files_of(job):
            outcome = _file(account, folder, file_id, suffix)
            if outcome == "gone":
                gone.append(f"{file_id} of {job['id']}")
                tell(f"{file_id} of {job['id']} is gone from the account")
            elif outcome == "kept":
                kept += 1
            else:
                fetched += 1
                tell(f"{file_id}: {outcome}")
    return Downloaded(fetched, kept, tuple(gone))


def files_of(job: Json) -> Iterator[tuple[str, str]]:
    """The ids of a job's files, with the suffix of each."""
    for key in ("training_file", "validation_file"):
        if job.get(key):
            yield str(job[key]), ".jsonl"
    for result in job.get("result_files") or ():
        yield str(result), ".csv"


def _job(account: OpenAIAccount, folder: MigrationFolder, job: Json) -> None:
    """Job, events and checkpoints; asked again while the job is not at its end."""
    target = folder.job(str(job["id"]))
    finished = job.get("status") in ("succeeded", "failed", "cancelled")
    if finished and all((target / name).is_file() for name in ("job.json", "events.json", "checkpoints.json")):
        return
    folder.write(target / "events.json", account.events(str(job["id"])))
    folder.write(target / "checkpoints.json", account.checkpoints(str(job["id"])))
    folder.write(target / "job.json", job)


def _file(account: OpenAIAccount, folder: MigrationFolder, file_id: str, suffix: str) -> str:
    path = folder.file(file_id, suffix)
    about = path.with_suffix(".json")
    if path.is_file() and about.is_file():
        record = folder.read(about)
        if record.get("gone") is None and _sha256(path) == record.get("sha256"):
            return "kept"
    try:
        told = account.file(file_id)
        size, digest = account.download(file_id, path, told.get("bytes") if isinstance(told.get("bytes"), int) else None)
    except AuthError:
        raise
    except ProviderError as error:
        if error.status != 404:
            raise
        folder.write(about, {"id": file_id, "gone": True})
        return "gone"
    folder.write(about, {"id": file_id, "filename": told.get("filename"), "bytes": size, "sha256": digest})
    return f"{size:,} bytes"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
