"""Large things as folders of files: hashed, whole or absent, never changed.

    <root>/<kind>/<kind>-<hash12>/…        one artifact: its files and manifest.json
    <root>/tmp/…                           drafts; those whose writer is dead are swept when the store is opened

A draft is written in ``tmp``, hashed into a manifest, flushed to the disk and renamed. The id is the hash of the manifest, so the
same content has the same id and is kept once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from homeroom.errors import NotFoundError, StorageError
from homeroom.storage.errors import disk_errors, folder_errors
from homeroom.storage.files import PRIVATE_FILE, PRIVATE_FOLDER, make_private_folder, sync_file, sync_folder, write_atomically
from homeroom.storage.held import Held, hold

MANIFEST = "manifest.json"
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
_ID = re.compile(rf"({_KIND.pattern})-([0-9a-f]{{12}})")
_MARK = ".lock"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a manifest says: id, kind, and of each file its SHA-256 and size in bytes, by path in the folder."""

    id: str
    kind: str
    files: dict[str, tuple[str, int]]

    @property
    def size_bytes(self) -> int:
        """All files together, the manifest not counted."""
        return sum(size for _, size in self.files.values())


class Draft(os.PathLike[str]):
    """A folder being written; a context manager that turns it into an artifact at the end of the block.

        with store.write("model") as draft:
            (draft / "card.md").write_text("…")
        draft.id, draft.path

    When the block raises, the draft is removed and nothing has changed. The draft can be used as a path.
    """

    def __init__(self, store: ArtifactStore, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._store = store
        self._mark: Held | None = None
        self._id = ""

    @property
    def id(self) -> str:
        """The artifact's id, once the block has ended."""
        if not self._id:
            raise RuntimeError("an artifact has its id only after the `with` block that writes it")
        return self._id

    @property
    def path(self) -> Path:
        """The artifact's folder, once the block has ended."""
        return self._store.path(self.id)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __truediv__(self, name: str | Path) -> Path:
        return self.folder / name

    def __enter__(self) -> Draft:
        with folder_errors(self.folder), ExitStack() as undo:
            self._mark = undo.enter_context(_mark(self.folder))  # first: a folder without a mark is swept
            make_private_folder(self.folder)
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with disk_errors(self.folder):
                if error is not None:
                    raise error
                self._id = self._store.keep(self)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._mark is not None:
                self._mark.release()


class ArtifactStore:
    """The artifacts under ``root``. Opening it makes the folder and sweeps the drafts of processes that are dead.

    Raises:
        StorageError: code ``no-space`` or ``not-writable``, when the folder cannot be made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._drafts = root / "tmp"
        with folder_errors(root):
            make_private_folder(self._drafts)
        with suppress(OSError):  # no room for a mark, or a disk that may only be read: the next opening sweeps
            _sweep(self._drafts)

    def write(self, kind: str) -> Draft:
        """A new draft of that kind (lower-case letters, digits and hyphens); see `Draft`.

        Raises:
            StorageError: code ``no-space`` when the disk is full, also when the block's own writing finds out;
                ``artifact-not-plain`` when the folder holds links or special files.
        """
        if not _KIND.fullmatch(kind) or kind == self._drafts.name:
            raise ValueError(f"a kind of artifact is lower-case letters, digits and hyphens, not {kind!r}")
        return Draft(self, kind, self._drafts / f"{kind}-{secrets.token_hex(8)}")

    def path(self, artifact_id: str) -> Path:
        """The artifact's folder.

        Raises:
            NotFoundError: code ``artifact-not-found``.
        """
        match = _ID.fullmatch(artifact_id)
        if match and (folder := self.root / match.group(1) / artifact_id).is_dir():
            return folder
        raise NotFoundError(
            f"There is no artifact {artifact_id!r} in {str(self.root)!r}. See what is missing: homeroom doctor",
            code="artifact-not-found",
        )

    def list(self, kind: str) -> tuple[str, ...]:
        """Ids of that kind, sorted."""
        folder = self.root / kind
        return tuple(sorted(path.name for path in folder.iterdir() if _ID.fullmatch(path.name))) if folder.is_dir() else ()

    def verify(self, artifact_id: str) -> Artifact:
        """Read the whole artifact and compare it with its manifest.

        Raises:
            NotFoundError: code ``artifact-not-found``.
            StorageError: code ``artifact-damaged``; names every file that is missing, changed or not its own.
        """
        folder = self.path(artifact_id)
        artifact, problems = _compare(folder)
        if artifact is None or problems:
            raise StorageError(
                f"The artifact {artifact_id!r} in {str(folder)!r} is damaged: {'; '.join(problems)}. "
                "Remove what uses it and make it again, or restore a copy; see: homeroom doctor",
                code="artifact-damaged",
            )
        return artifact

    def delete(self, artifact_id: str) -> None:
        """Remove the artifact: at once for readers, then from the disk.

        Raises:
            NotFoundError: code ``artifact-not-found``.
        """
        folder = self.path(artifact_id)
        self._move_aside(folder)

    def keep(self, draft: Draft) -> str:
        """Turn the draft into an artifact and return its id. Called by `Draft` at the end of its block."""
        manifest = json.dumps({"kind": draft.kind, "files": _hash_files(draft.folder)}, indent=1, sort_keys=True).encode()
        artifact_id = f"{draft.kind}-{hashlib.sha256(manifest).hexdigest()[:12]}"
        write_atomically(draft.folder / MANIFEST, manifest)
        for folder in (draft.folder, *(path for path in draft.folder.rglob("*") if path.is_dir())):
            folder.chmod(PRIVATE_FOLDER)
            sync_folder(folder)
        target = make_private_folder(self.root / draft.kind) / artifact_id
        sync_folder(self.root)
        if target.exists():
            _, problems = _compare(target)
            if not problems:
                return artifact_id
            self._move_aside(target)
        try:
            draft.folder.rename(target)
        except OSError:
            if not target.is_dir():  # another process kept the same content a moment ago
                raise
        sync_folder(target.parent)
        return artifact_id

    def _move_aside(self, folder: Path) -> None:
        rubbish = self._drafts / f"deleted-{secrets.token_hex(8)}"
        try:
            folder.rename(rubbish)
        except FileNotFoundError:
            return
        sync_folder(folder.parent)
        shutil.rmtree(rubbish, ignore_errors=True)


def _mark(folder: Path) -> Held:
    """Mark a draft as being written by this process."""
    while (mark := hold(folder.with_name(folder.name + _MARK))) is None:
        continue  # it is being swept: the next try finds it gone
    return mark


def _sweep(drafts: Path) -> None:
    """Remove every draft whose writer is dead, and what was being deleted when its process died."""
    for name in {path.name.removesuffix(_MARK) for path in drafts.iterdir()}:
        mark = hold(drafts / (name + _MARK))
        if mark is not None:
            with mark:
                shutil.rmtree(drafts / name, ignore_errors=True)


def _plain_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise StorageError(
                f"{str(path)!r} is a link or a special file; an artifact holds plain files only. Copy the file itself there",
                code="artifact-not-plain",
            )
        if path != folder / MANIFEST:
            yield path


def _hash_files(folder: Path) -> dict[str, dict[str, str | int]]:
    found: dict[str, dict[str, str | int]] = {}
    for path in _plain_files(folder):
        path.chmod(PRIVATE_FILE)
        sync_file(path)
        sha256, size = _hash(path)
        found[path.relative_to(folder).as_posix()] = {"sha256": sha256, "size": size}
    return found


def _hash(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _compare(folder: Path) -> tuple[Artifact | None, list[str]]:
    """The manifest as an `Artifact`, and what in the folder differs from it."""
    try:
        content = (folder / MANIFEST).read_bytes()
        record = json.loads(content)
        files = {name: (str(entry["sha256"]), int(entry["size"])) for name, entry in record["files"].items()}
        artifact = Artifact(folder.name, str(record["kind"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, [f"{MANIFEST} cannot be read ({type(error).__name__})"]
    problems = []
    if folder.name != f"{artifact.kind}-{hashlib.sha256(content).hexdigest()[:12]}":
        problems.append(f"{MANIFEST} was changed")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    problems += [f"{name} does not belong to it" for name in sorted(present - files.keys() - {MANIFEST})]
    for name, expected in sorted(files.items()):
        if name not in present:
            problems.append(f"{name} is missing")
        elif (folder / name).is_symlink() or _hash(folder / name) != expected:
            problems.append(f"{name} was changed")
    return artifact, problems
