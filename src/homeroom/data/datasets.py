"""Immutable, content-addressed dataset versions.

A version is a folder in the artifact store (``examples.jsonl``, ``splits.json``, ``dataset.json``) and a row in the database. Its
id is the hash of its name, its examples and their splits: the same examples, split the same way, are the same version.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from homeroom.data.bundled import PROGRAM_DATA
from homeroom.data.card import data_card
from homeroom.data.diff import difference
from homeroom.data.held_out import set_aside_examples
from homeroom.data.merge import consent_problem
from homeroom.data.split import DEFAULT_RATIOS, assign
from homeroom.errors import DataError, NotFoundError, Problem
from homeroom.schema.examples import SPLITS, Example, Json, Split
from homeroom.storage.artifacts import ArtifactStore
from homeroom.storage.database import Database
from homeroom.storage.scope import LOCAL, Scope
from homeroom.storage.tables import DatasetRow

FORMAT_VERSION = 1
CARD = "card.md"


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A version's row: its identity and what it counts. ``counts`` maps split and task to a number of examples."""

    id: str
    name: str
    version: int
    parent: str
    artifact: str
    counts: Json
    created_at: float


@dataclass(frozen=True, slots=True)
class Dataset:
    """A version with its examples and their splits.

    Attributes:
        set_aside: Ids of examples that a probe was judged on: they belong to no part any more.
    """

    info: DatasetInfo
    examples: tuple[Example, ...]
    splits: Mapping[str, Split]
    set_aside: frozenset[str] = frozenset()

    def part(self, split: Split, task: str | None = None) -> list[Example]:
        """The examples of one split, of one task or of all, without those that were set aside."""
        kept = (e for e in self.examples if e.id not in self.set_aside)
        return [e for e in kept if self.splits[e.id] == split and task in (None, e.task)]

    @property
    def tasks(self) -> list[str]:
        """The tasks that occur, sorted."""
        return sorted({e.task for e in self.examples})


class DatasetStore:
    """Creates and reads dataset versions of one workspace."""

    def __init__(self, database: Database, artifacts: ArtifactStore, *, scope: Scope = LOCAL) -> None:
        self._database, self._artifacts, self._scope = database, artifacts, scope

    def create(
        self,
        name: str,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        ratios: Mapping[Split, float] = DEFAULT_RATIOS,
        parent: str | None = None,
        assigned: Mapping[str, Split] | None = None,
        note: str = "",
    ) -> Dataset:
        """Split ``examples`` and store them as the next version of ``name``; the same content gives the stored version.

        Exact duplicates are stored once.

        Args:
            name: Of the dataset.
            examples: All of them.
            seed: Of the split.
            ratios: Wanted share of each split.
            parent: Version whose split is inherited.
            assigned: Example id to split, where the examples come split already (a training and a validation file); then
                nothing is split here.
            note: One sentence for the data card.

        Raises:
            DataError: no examples, words of a learner without consent (``consent``), too few topics to split, or leakage against
                the parent version.
        """
        unique = tuple({e.id: e for e in examples}.values())
        if not unique:
            raise DataError(f"Dataset {name!r} would be empty. Name a file with examples.", code="empty-file")
        _check_consent(name, unique)
        before = self.get(parent) if parent else None
        inherited = before.splits if before else None
        if assigned is not None:
            splits: Mapping[str, Split] = {example.id: assigned[example.id] for example in unique}
        else:
            splits = assign(unique, seed=seed, ratios=ratios, inherited=inherited)
        dataset_id = _content_id(name, unique, splits)
        existing = self._row(dataset_id)
        if existing is not None:
            return self.get(dataset_id)
        with self._artifacts.write("dataset") as pending:
            changes = difference(before.examples, unique, before.splits, splits).counts if before else {}
            _write(pending.folder, name, dataset_id, unique, splits)
            card = data_card(name, unique, splits, parent=_name(before.info) if before else "", changes=changes, note=note)
            (pending.folder / CARD).write_text(card, "utf-8")
        counts = _counts(unique, splits)
        counts |= {"changes": changes} if before else {}
        counts |= {"note": note} if note else {}
        info = self._insert(name, dataset_id, pending.id, parent or "", counts)
        return Dataset(info, unique, splits, self._aside())

    def get(self, reference: str) -> Dataset:
        """By id, by a unique beginning of it (8 or more digits), by ``name`` (newest version) or ``name@version``.

        Raises:
            NotFoundError: nothing matches (``dataset-not-found``).
        """
        info = self.info(reference)
        folder = self._artifacts.path(info.artifact)
        lines = (folder / "examples.jsonl").read_text("utf-8").split("\n")
        examples = tuple(Example.from_dict(json.loads(line)) for line in lines if line)
        splits: dict[str, Split] = json.loads((folder / "splits.json").read_text("utf-8"))
        return Dataset(info, examples, splits, self._aside())

    def card(self, reference: str) -> str:
        """The version's data card, in Markdown; made now for a version that is older than cards are."""
        path = self._artifacts.path(self.info(reference).artifact) / CARD
        if path.exists():
            return path.read_text("utf-8")
        dataset = self.get(reference)
        return data_card(dataset.info.name, dataset.examples, dataset.splits, parent=dataset.info.parent)

    def info(self, reference: str) -> DatasetInfo:
        """As `get`, without reading the examples."""
        rows = self.list()
        name, _, version = reference.partition("@")
        for info in rows:
            if info.id == reference or (len(reference) >= 8 and info.id.startswith(reference)):
                return info
        named = [info for info in rows if info.name == name and version in ("", str(info.version))]
        if named:  # by number: the clock may have been set back between two versions
            return max(named, key=lambda info: info.version)
        known = ", ".join(f"{i.name}@{i.version}" for i in rows[:5])
        hint = (
            f"known: {known}; all of them: homeroom data versions" if known else "there is none yet. Make it: homeroom data split"
        )
        if reference in PROGRAM_DATA.values():
            hint = f"it comes with Homeroom. Make it: homeroom data split {reference}"
        raise NotFoundError(f"There is no dataset {reference!r}: {hint}", code="dataset-not-found")

    def list(self) -> list[DatasetInfo]:
        """All versions, newest first."""
        query = (
            select(DatasetRow)
            .filter_by(**self._scope.columns())
            .order_by(DatasetRow.created_at.desc(), DatasetRow.version.desc())
        )
        with self._database.read() as session:
            return [_info(row) for row in session.scalars(query)]

    def _aside(self) -> frozenset[str]:
        with self._database.read() as session:
            return set_aside_examples(session, self._scope)

    def _row(self, dataset_id: str) -> DatasetInfo | None:
        return next((i for i in self.list() if i.id == dataset_id), None)

    def _insert(self, name: str, dataset_id: str, artifact: str, parent: str, counts: Json) -> DatasetInfo:
        with self._database.write() as session:
            newest = session.scalars(
                select(DatasetRow.version).filter_by(**self._scope.columns(), name=name).order_by(DatasetRow.version.desc())
            ).first()
            row = session.get(DatasetRow, (self._scope.workspace_id, self._scope.owner_id, dataset_id))
            if row is None:
                row = DatasetRow(
                    id=dataset_id,
                    **self._scope.columns(),
                    name=name,
                    version=(newest or 0) + 1,
                    parent=parent,
                    artifact=artifact,
                    counts=counts,
                    created_at=time.time(),
                )
                session.add(row)
            return _info(row)


def _check_consent(name: str, examples: Sequence[Example]) -> None:
    """A version may be tuned on, so nothing gets in whose speaker did not agree."""
    refused = [(example, why) for example in examples if (why := consent_problem(example))]
    if refused:
        problems = [Problem(name, 0, "consent-missing", f"example {e.id}: {why}") for e, why in refused]
        raise DataError(
            f"{len(refused)} of {len(examples)} examples may not train a model: {refused[0][1]} (example {refused[0][0].id}). "
            "Take them out, or record that consent was granted.",
            problems,
            code="consent",
        )


def _name(info: DatasetInfo) -> str:
    return f"{info.name}@{info.version}"


def _info(row: DatasetRow) -> DatasetInfo:
    return DatasetInfo(row.id, row.name, row.version, row.parent or "", row.artifact, dict(row.counts or {}), row.created_at)


def _content_id(name: str, examples: Sequence[Example], splits: Mapping[str, Split]) -> str:
    digest = hashlib.sha256(f"v{FORMAT_VERSION} {name}\n".encode())
    for example in sorted(examples, key=lambda e: e.id):
        digest.update(f"{example.id} {splits[example.id]}\n".encode())
    return digest.hexdigest()[:32]


def _counts(examples: Sequence[Example], splits: Mapping[str, Split]) -> Json:
    by = Counter((splits[e.id], e.task) for e in examples)
    return {
        "examples": len(examples),
        "splits": {s: sum(n for (split, _), n in by.items() if split == s) for s in SPLITS},
        "tasks": {f"{s}/{t}": n for (s, t), n in sorted(by.items())},
    }


def _write(folder: Path, name: str, dataset_id: str, examples: Sequence[Example], splits: Mapping[str, Split]) -> None:
    lines = (json.dumps(e.to_dict(), ensure_ascii=False) for e in examples)
    (folder / "examples.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "splits.json").write_text(json.dumps(splits, indent=0, sort_keys=True), "utf-8")
    about = {"format_version": FORMAT_VERSION, "name": name, "id": dataset_id, "counts": _counts(examples, splits)}
    (folder / "dataset.json").write_text(json.dumps(about, indent=2), "utf-8")
