"""A registry in a home of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.registry import ModelRegistry
from homeroom.storage import ArtifactStore, Database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh database file: copying it is faster than migrating for each test."""
    home = tmp_path_factory.mktemp("migrated")
    database = Database.for_home(home)
    database.migrate()
    database.close()
    return home / "homeroom.db"


@pytest.fixture
def database(tmp_path: Path, migrated: Path) -> Iterator[Database]:
    tmp_path.mkdir(exist_ok=True)
    shutil.copy(migrated, tmp_path / migrated.name)
    database = Database.for_home(tmp_path)
    yield database
    database.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def registry(database: Database, artifacts: ArtifactStore) -> ModelRegistry:
    return ModelRegistry(database, artifacts)
