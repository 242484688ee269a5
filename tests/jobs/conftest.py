"""A job table whose clock is set by hand, and a worker that runs small programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from homeroom.jobs import JobStore, ManualClock
from homeroom.storage import Database

SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(database: Database, clock: ManualClock) -> JobStore:
    return JobStore(database, clock=clock)


@pytest.fixture
def live_store(database: Database) -> JobStore:
    """A job table on the machine's clock."""
    return JobStore(database)


@pytest.fixture
def child_env() -> dict[str, str]:
    """The environment of a job's process."""
    return {**os.environ, "PYTHONPATH": SOURCE}


@pytest.fixture
def program(home: Path) -> Callable[[str], list[str]]:
    """Writes a job's program: its text defines ``handle(context)``; it is called with home, job id and token."""

    def write(handler: str) -> list[str]:
        home.mkdir(exist_ok=True)
        path = home / "program.py"
        path.write_text(
            "import os, signal, sys, time\n"
            "from pathlib import Path\n"
            "from homeroom.errors import DataError\n"
            "from homeroom.jobs import JobStore, execute\n"
            "from homeroom.schema.jobs import JobCancelled\n"
            "from homeroom.storage import Database\n"
            f"{handler}\n"
            "home = Path(sys.argv[1])\n"
            "database = Database.for_home(home)\n"
            "sys.exit(execute(JobStore(database), sys.argv[2], int(sys.argv[3]), {'work': handle}, home / 'jobs'))\n"
        )
        return [sys.executable, str(path), str(home)]

    return write


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.fixture
def alive() -> Callable[[int], bool]:
    return _alive


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it never came to pass"
            time.sleep(0.02)

    return wait
