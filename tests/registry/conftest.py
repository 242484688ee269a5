"""A registry in a home of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.registry import ModelRegistry
from homeroom.storage import ArtifactStore, Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.for_home(tmp_path)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def registry(database: Database, artifacts: ArtifactStore) -> ModelRegistry:
    return ModelRegistry(database, artifacts)
