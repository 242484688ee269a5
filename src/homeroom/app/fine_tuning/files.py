"""Files of the API: uploads and results. Their bytes are artifacts, so each is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from homeroom.app.fine_tuning.errors import FieldError, MissingError
from homeroom.app.fine_tuning.paging import Page, cut
from homeroom.app.fine_tuning.training_file import FileFacts, check_training_file
from homeroom.errors import ConflictError, HomeroomError, NotFoundError
from homeroom.storage import LOCAL, ArtifactStore, Database, Scope
from homeroom.storage.tables import FileRow, FineTuningJobRow, JobRow, new_id

Purpose = Literal["fine-tune", "fine-tune-results"]
CONTENT, ABOUT = "content", "about.json"
MAX_NAME = 255
MIN_LIFE_S, MAX_LIFE_S = 3600, 2_592_000
_ORPHAN_S = 3600.0
_TICK_S = 1e-3
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class FileTooLargeError(HomeroomError):
    """More bytes than one upload may have."""

    code = "file-too-large"
    status = 413

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"A file may have up to {max_bytes / 1e6:,.0f} MB. Send fewer examples, or raise max_upload_mb in the settings"
        )
        self.param = "file"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file's row. Times are Unix seconds."""

    id: str
    purpose: str
    filename: str
    size_bytes: int
    sha256: str
    artifact: str
    created_at: float
    expires_at: float | None = None

    def to_openai(self) -> dict[str, Any]:
        """OpenAI's object ``file``."""
        record: dict[str, Any] = {
            "id": self.id,
            "object": "file",
            "bytes": self.size_bytes,
            "created_at": int(self.created_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }
        return record if self.expires_at is None else {**record, "expires_at": int(self.expires_at)}


@dataclass(frozen=True, slots=True)
class UploadForm:
    """What came beside the bytes of an upload."""

    purpose: str | None
    filename: str | None
    expires_after_s: int | None = None


class Sink:
    """Takes the bytes of an upload to the disk, up to a size."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            FileTooLargeError: that makes more than is allowed.
        """
        self.size_bytes += len(piece)
        if self.size_bytes > self._max_bytes:
            raise FileTooLargeError(self._max_bytes)
        self._digest.update(piece)
        self._file.write(piece)

    def close(self) -> str:
        """End it; the SHA-256 of what came."""
        self._file.close()
        return self._digest.hexdigest()


Receive = Callable[[Sink], UploadForm]


class FileStore:
    """The files of one scope. Thread-safe.

    Args:
        database: Where their rows are.
        artifacts: Where their bytes are.
        scope: Whose they are.
        max_bytes: The largest upload.
    """

    def __init__(
        self, database: Database, artifacts: ArtifactStore, *, scope: Scope = LOCAL, max_bytes: int = 512_000_000
    ) -> None:
        self._database, self._artifacts, self._scope = database, artifacts, scope
        self.max_bytes = max_bytes

    def upload(self, receive: Receive) -> StoredFile:
        """Take a file in, check it, and keep it: on the disk when this returns, and nothing of it otherwise.

        Args:
            receive: Writes the bytes into the sink and returns what came beside them. When it raises, nothing is kept.

        Raises:
            FieldError: purpose, name or expiry is wrong; ``file-invalid``.
            FileTooLargeError: more than ``max_bytes``.
            StorageError: the disk or the database refused.
        """
        self._sweep()
        file_id = new_file_id()
        draft = self._artifacts.write("file")
        with draft:
            sink = Sink(draft / CONTENT, self.max_bytes)
            try:
                form = receive(sink)
            finally:
                sha256 = sink.close()
            name = _checked(form)
            facts = check_training_file(draft / CONTENT, name)
            _describe(draft.folder, file_id, facts)
        now = time.time()
        expires = None if form.expires_after_s is None else now + form.expires_after_s
        return self._insert(StoredFile(file_id, "fine-tune", name, sink.size_bytes, sha256, draft.id, now, expires))

    def add_result(self, file_id: str, filename: str, content: bytes) -> StoredFile:
        """Keep the result of a job under an id that its job has chosen: a second call with that id changes nothing."""
        with suppress(NotFoundError):
            return self.get(file_id)
        draft = self._artifacts.write("file")
        with draft:
            (draft / CONTENT).write_bytes(content)
            _describe(draft.folder, file_id, None)
        sha256 = hashlib.sha256(content).hexdigest()
        return self._insert(StoredFile(file_id, "fine-tune-results", filename, len(content), sha256, draft.id, time.time()))

    def get(self, file_id: str) -> StoredFile:
        """One file.

        Raises:
            MissingError: ``file-unknown``.
        """
        with self._database.read() as session:
            return _stored(self._find(session, file_id))

    def path(self, file: StoredFile) -> Path:
        """Where its bytes are; they never change."""
        return self._artifacts.path(file.artifact) / CONTENT

    def facts(self, file: StoredFile) -> FileFacts:
        """What a training file holds.

        Raises:
            FieldError: ``file-purpose``: it is the result of a job.
        """
        record = json.loads((self._artifacts.path(file.artifact) / ABOUT).read_text("utf-8"))["facts"]
        if record is None:
            raise FieldError(f"{file.id!r} has the purpose {file.purpose!r} and trains nothing. Upload a training file",
                             code="file-purpose")  # fmt: skip
        return FileFacts.from_dict(record)

    def list(
        self, *, purpose: str | None = None, after: str | None = None, limit: int = 10_000, newest_first: bool = True
    ) -> Page[StoredFile]:
        """A page of files.

        Raises:
            FieldError: there is no file ``after``.
        """
        order = (FileRow.created_at, FileRow.id)
        query = self._query().order_by(*(column.desc() for column in order) if newest_first else order).limit(limit + 1)
        if purpose is not None:
            query = query.filter_by(purpose=purpose)
        with self._database.read() as session:
            if after is not None:
                last = session.get(FileRow, after)
                if last is None or (last.workspace_id, last.owner_id) != (self._scope.workspace_id, self._scope.owner_id):
                    raise FieldError(f"There is no file {after!r} to go on after. List them without 'after'", param="after")
                place = (last.created_at, last.id)
                query = query.where(tuple_(*order) < place if newest_first else tuple_(*order) > place)
            return cut([_stored(row) for row in session.scalars(query)], limit)

    def delete(self, file_id: str) -> StoredFile:
        """Remove a file, unless a job that is not over needs it.

        Raises:
            MissingError: ``file-unknown``.
            ConflictError: ``file-in-use``.
        """
        with self._database.write() as session:
            row = self._find(session, file_id)
            if job := _needed_by(session, file_id):
                raise ConflictError(
                    f"The file {file_id!r} is needed by the job {job!r}, which is not over. Wait for it, or cancel it first",
                    code="file-in-use",
                )
            session.delete(row)
        with suppress(NotFoundError):
            self._artifacts.delete(row.artifact)
        return _stored(row)

    def missing(self, session: Session, file_ids: Iterable[str]) -> str | None:
        """The first of the files that is not there any more; asked within the transaction that begins to need them."""
        return next((file_id for file_id in file_ids if session.scalar(self._query().where(FileRow.id == file_id)) is None), None)

    def _insert(self, file: StoredFile) -> StoredFile:
        with self._database.write() as session:
            known = session.get(FileRow, file.id)
            if known is not None:  # the result of an attempt that was thought dead
                return _stored(known)
            newest = session.scalar(select(func.max(FileRow.created_at)).filter_by(**self._scope.columns())) or 0.0
            row = FileRow(
                id=file.id,
                purpose=file.purpose,
                filename=file.filename,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                artifact=file.artifact,
                created_at=max(file.created_at, newest + _TICK_S),
                expires_at=file.expires_at,
                **self._scope.columns(),
            )
            session.add(row)
            session.flush()
            return _stored(row)

    def _query(self) -> Select[FileRow]:
        alive = (FileRow.expires_at.is_(None)) | (FileRow.expires_at > time.time())
        return select(FileRow).filter_by(**self._scope.columns()).where(alive)

    def _find(self, session: Session, file_id: str) -> FileRow:
        row = session.scalar(self._query().where(FileRow.id == file_id))
        if row is None:
            raise MissingError(f"No such File object: {file_id}. List them: GET /v1/files", param="id", code="file-unknown")
        return row

    def _sweep(self) -> None:
        """Remove files that have expired, and bytes that no row ever named because their process died at the last moment."""
        now = time.time()
        expired: set[str] = set()
        with self._database.write() as session:
            for row in session.scalars(select(FileRow).where(FileRow.expires_at <= now)):
                if _needed_by(session, row.id) is None:
                    expired.add(row.artifact)
                    session.delete(row)
            session.flush()
            named = set(session.scalars(select(FileRow.artifact)))
        for artifact in self._artifacts.list("file"):
            if artifact not in named:
                with suppress(NotFoundError, FileNotFoundError):
                    if artifact in expired or now - self._artifacts.path(artifact).stat().st_mtime > _ORPHAN_S:
                        self._artifacts.delete(artifact)


def new_file_id() -> str:
    """A fresh id."""
    return new_id("file")


def _describe(folder: Path, file_id: str, facts: FileFacts | None) -> None:
    """The id makes the artifact this file's alone, so that it can be deleted with it."""
    record = {"file": file_id, "facts": None if facts is None else facts.to_dict()}
    (folder / ABOUT).write_text(json.dumps(record), encoding="utf-8")


def _checked(form: UploadForm) -> str:
    if form.purpose is None:
        raise FieldError("'purpose' is missing: send purpose=fine-tune", param="purpose")
    if form.purpose != "fine-tune":
        raise FieldError(
            f"'purpose' is {form.purpose[:40]!r}; this server keeps files for 'fine-tune' only", param="purpose",
            code="unsupported-purpose",
        )  # fmt: skip
    if form.filename is None:
        raise FieldError("'file' is missing: send the training file as a part of that name", param="file")
    if form.expires_after_s is not None and not MIN_LIFE_S <= form.expires_after_s <= MAX_LIFE_S:
        raise FieldError(
            f"'expires_after[seconds]' is {form.expires_after_s!r}; it goes from {MIN_LIFE_S} to {MAX_LIFE_S}",
            param="expires_after",
        )
    name = _CONTROLS.sub("", os.path.basename(form.filename.replace("\\", "/"))).strip()  # noqa: PTH119 - of any system
    return name[-MAX_NAME:] or "file.jsonl"


def _needed_by(session: Session, file_id: str) -> str | None:
    """The id of a job that is not over and trains or validates on the file."""
    query = (
        select(FineTuningJobRow.id)
        .join(JobRow, JobRow.id == FineTuningJobRow.job_id)
        .where(JobRow.state.in_(("queued", "running")))
        .where((FineTuningJobRow.training_file == file_id) | (FineTuningJobRow.validation_file == file_id))
    )
    return session.scalar(query.limit(1))


def _stored(row: FileRow) -> StoredFile:
    return StoredFile(row.id, row.purpose, row.filename, row.size_bytes, row.sha256, row.artifact, row.created_at, row.expires_at)
