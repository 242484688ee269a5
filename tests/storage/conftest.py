"""A migrated database and an artifact store in a home of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.storage import ArtifactStore, Database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh database file: copying it is faster than migrating for each test."""
    home = tmp_path_factory.mktemp("migrated")
    database = Database.for_home(home)
    database.migrate()
    database.close()
    return home / "homeroom.db"


@pytest.fixture
def database(home: Path, migrated: Path) -> Iterator[Database]:
    home.mkdir(exist_ok=True)
    shutil.copy(migrated, home / migrated.name)
    database = Database.for_home(home)
    yield database
    database.close()


@pytest.fixture
def artifacts(home: Path) -> ArtifactStore:
    return ArtifactStore(home / "artifacts")
