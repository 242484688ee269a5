"""A registry in a home of its own."""

from __future__ import annotations

import pytest

from homeroom.registry import ModelRegistry
from homeroom.storage import ArtifactStore, Database


@pytest.fixture
def registry(database: Database, artifacts: ArtifactStore) -> ModelRegistry:
    return ModelRegistry(database, artifacts)
