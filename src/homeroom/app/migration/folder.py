"""The folder of a migration: where things lie in it, and writing them so that a stop at any point loses nothing.

migration.json            the account that it is about
inventory.json            tuned models, jobs, and the days they have left
jobs/<id>/                job.json  events.json  checkpoints.json
files/<id>.<suffix>       training, validation and result files, with <id>.json beside each: name, bytes, SHA-256
prompts/<model>.json      the items that old and new model answer
answers/<model>.jsonl     one answer a line, appended and synced before it counts
spent.jsonl               what was asked and what it cost
reports/<models>/         the comparisons
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeroom.errors import ConfigError, ConflictError
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import write_atomically

Json = dict[str, Any]
FORMAT = 1


@dataclass(frozen=True, slots=True)
class MigrationFolder:
    """Paths and records of one migration.

    Attributes:
        root: The folder.
        account: Endpoint and address of the account, for a folder that the first `write` begins; None where it is begun.
    """

    root: Path
    account: tuple[str, str] | None = None

    @classmethod
    def open(cls, root: Path, endpoint: str, base_url: str) -> MigrationFolder:
        """The folder of the account at ``base_url``.

        A new one is made by the first `write`, so that nothing is left of a command that the account did not answer.

        Raises:
            ConflictError: ``migration-other``: it holds the migration of another account.
            ConfigError: ``migration-folder``: it is a file, or holds something else.
        """
        folder = cls(root)
        if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not folder.about.is_file())):
            raise ConfigError(
                f"{str(root)!r} holds something else. Name a new or empty folder: homeroom migrate openai inventory my-migration",
                code="migration-folder",
            )
        if not folder.about.is_file():
            return cls(root, (endpoint, base_url))
        folder._make()
        about = folder.read(folder.about)
        if about.get("base_url") != base_url:
            raise ConflictError(
                f"{str(root)!r} holds the migration of {about.get('base_url')!r}, not of {base_url!r}. Name another folder, or "
                f"--endpoint {about.get('endpoint')}",
                code="migration-other",
            )
        return folder

    def _make(self) -> None:
        with disk_errors(self.root):
            for name in ("jobs", "files", "prompts", "answers"):
                (self.root / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def about(self) -> Path:
        """The account that the folder is about."""
        return self.root / "migration.json"

    @property
    def inventory(self) -> Path:
        """Models and jobs."""
        return self.root / "inventory.json"

    @property
    def spent(self) -> Path:
        """What was asked and what it cost, one line each."""
        return self.root / "spent.jsonl"

    def job(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.root / "jobs" / safe_name(job_id)

    def file(self, file_id: str, suffix: str) -> Path:
        """A downloaded file."""
        return self.root / "files" / f"{safe_name(file_id)}{suffix}"

    def prompts(self, model: str) -> Path:
        """The items that a model is asked."""
        return self.root / "prompts" / f"{safe_name(model)}.json"

    def answers(self, model: str) -> Path:
        """The answers of a model."""
        return self.root / "answers" / f"{safe_name(model)}.jsonl"

    def read(self, path: Path) -> Json:
        """A JSON object.

        Raises:
            ConfigError: ``migration-damaged``.
        """
        try:
            record = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{str(path)!r} cannot be read. Remove it and run the same command again: it is fetched anew",
                code="migration-damaged",
            ) from error
        if not isinstance(record, dict):
            raise ConfigError(f"{str(path)!r} holds no JSON object. Remove it and run again.", code="migration-damaged")
        return record

    def write(self, path: Path, record: Mapping[str, Any] | list[Any]) -> None:
        """JSON, whole or not at all; the first of a new folder makes that.

        Raises:
            StorageError: it cannot be written.
        """
        if self.account is not None and not self.about.is_file():
            with disk_errors(self.root):
                self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            endpoint, base_url = self.account
            MigrationFolder(self.root).write(self.about, {"format": FORMAT, "endpoint": endpoint, "base_url": base_url})
            self._make()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())


def safe_name(text: str) -> str:
    """``text`` as a file's name: what an account calls its things must not choose where they are written."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".")[:120] or "_"


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add a line and sync it: when this returns, it is kept.

    A line that a stop cut off is ended first, so that it spoils no other.
    """
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    with disk_errors(path), path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def lines(path: Path) -> Iterator[Json]:
    """The records of a file that `append` wrote; a line that a stop cut off is passed over."""
    if not path.is_file():
        return
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
