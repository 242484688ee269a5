"""Commands as processes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"
PATIENCE_S = 280.0  # never reached on a machine that is not overloaded


@dataclass(frozen=True)
class Outcome:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line of an error, checked to be one line and no traceback."""
        assert "Traceback" not in self.out + self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert lines[0] == self.err.splitlines()[-1]
        return lines[0]


class Command:
    """A command that runs as a process of its own, in its own process group as a shell gives it."""

    def __init__(self, home: Path, *arguments: str | Path, env: dict[str, str] | None = None) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homeroom", *map(str, arguments)],
            env=environment(home, env),
            cwd=home.parent,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def ended(self) -> Outcome:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Outcome(self.process.returncode, out, err)

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)


def environment(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """This test's environment for a process that works on ``home``."""
    return {**os.environ, "HOMEROOM_HOME": str(home), "PYTHONPATH": str(SOURCE), **(more or {})}


def processes_of(home: Path) -> list[int]:
    """Every process that was started for ``home``, found by its environment: children in groups of their own too."""
    mark = f"HOMEROOM_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if mark in (folder / "environ").read_bytes().split(b"\0") and state not in "ZX":
                found.append(int(folder.name))
    return found


def kill_all(home: Path) -> None:
    """End what a test that failed has left."""
    for pid in processes_of(home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What ``condition`` gives, once it is true."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.02)
    return value
