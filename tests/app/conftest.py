"""A home on the tiny model, opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from homeroom.schema.models import BaseFiles
from tests.app import material


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.tiny_cache(tmp_path_factory)


@pytest.fixture(autouse=True)
def _tiny(_hermetic: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    material.use_tiny(monkeypatch, cache)


@pytest.fixture
def home() -> Iterator[Homeroom]:
    with Homeroom.open() as home:
        yield home


@pytest.fixture
def base(home: Homeroom) -> BaseFiles:
    return home.base_files()
