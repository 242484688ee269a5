"""A migrated database and an artifact store in a home of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.storage import ArtifactStore, Database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = Database.for_home(home)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def artifacts(home: Path) -> ArtifactStore:
    return ArtifactStore(home / "artifacts")
