"""The runner, a good adapter and a good base to make hostile ones from, and a home."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.models import prepared, tiny
from homeroom.models.lora_gguf import adapter_to_gguf
from homeroom.storage.database import Database
from tests.app import material
from tests.hostile.bench import Runner


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.close()


@pytest.fixture(scope="session")
def hostile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.tiny_cache(tmp_path_factory)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory, hostile_cache: Path) -> Path:
    """A folder with a good ``adapter``, ``adapter.gguf`` and ``base``."""
    folder = tmp_path_factory.mktemp("good")
    base = prepared.find(tiny.NAME, hostile_cache)
    assert base is not None
    tiny.build(folder / "base")
    adapter_to_gguf(material.random_adapter(base, folder / "adapter"), base, folder / "adapter.gguf")
    return folder


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with empty tables."""
    home = tmp_path_factory.mktemp("home") / "home"
    database = Database.for_home(home)
    database.migrate()
    database.close()
    return home


@pytest.fixture
def home(empty_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(empty_home, tmp_path / "home"))
