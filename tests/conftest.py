"""Every test runs hermetically: a home of its own, no keys, and no socket outside loopback."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from homeroom.storage import ArtifactStore, Database

# A runner that was started in the background ignores SIGINT, and so would every command that a test starts and stops with Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on the speed of the machine, and neither do those whose examples are drawn. They draw the same ones each time, so
# that a failure is the change's own; `make test ARGS=--hypothesis-profile=explore` looks for new ones.
hypothesis.settings.register_profile(
    "homeroom", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("explore", hypothesis.settings.get_profile("homeroom"), derandomize=False)
hypothesis.settings.load_profile("homeroom")

# Several tests run at once, on models so small that a second thread only waits for the first: one thread each, here and in what they
# start. Whoever is about threads asks for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_REAL_CONNECT = socket.socket.connect
_LOOPBACK = ("127.", "::1", "localhost")


def _guarded_connect(sock, address):
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(_LOOPBACK):
        raise AssertionError(f"a test tried to reach {address!r}: tests stay on loopback")
    return _REAL_CONNECT(sock, address)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A group's tests run in one process, which makes what they share once; see `_group`."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The groups of many files first: they take longest, and the other processes have something to do meanwhile."""
    files = [item.nodeid.partition("::")[0] for item in items]
    items[:] = [item for _, item in sorted(zip(files, items, strict=True), key=lambda pair: _group(pair[0]) == pair[0])]


@cache
def _group(file: str) -> str:
    """The tests of a file belong together; so do all that look at the stories of tests/cli, and all of the API's one server."""
    if file.startswith("tests/openai_api/"):
        return "openai_api"
    # Whether a test asks for a fixture that tests/cli/stories.py is played for; only names are known here.
    text = Path(__file__).parent.parent.joinpath(file).read_text("utf-8") if file.startswith("tests/cli/") else ""
    found = re.search(r"^def test_\w+\([^)]*\b(?:tuned|demo|stopped_demo|tuning|server)\b", text, re.MULTILINE)
    return "stories" if found else file


@pytest.fixture(autouse=True)
def _hermetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(socket.socket, "connect", _guarded_connect)
    for name in [n for n in os.environ if n.startswith("HOMEROOM_") or n.endswith("_API_KEY")]:
        if name in ("HOMEROOM_SHARED_DATA", "HOMEROOM_TEST_CACHE"):
            continue
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOMEROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOMEROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The test's home: a folder that need not exist yet."""
    return tmp_path / "home"


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh database file: copying it is faster than migrating for each test."""
    folder = tmp_path_factory.mktemp("fresh")
    database = Database.for_home(folder)
    database.migrate()
    database.close()
    return folder / "homeroom.db"


@pytest.fixture
def database(home: Path, fresh_database: Path) -> Iterator[Database]:
    """The home's database, up to date and empty."""
    home.mkdir(exist_ok=True)
    shutil.copy(fresh_database, home / fresh_database.name)
    database = Database.for_home(home)
    yield database
    database.close()


@pytest.fixture
def artifacts(home: Path) -> ArtifactStore:
    """The home's artifacts: none."""
    return ArtifactStore(home / "artifacts")
