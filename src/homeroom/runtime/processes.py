"""Starting child processes that end with their parent, in a process group of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from homeroom.errors import NotFoundError
from homeroom.runtime import launcher

_TICK_S = 0.02


class Child:
    """A running command and everything it starts: one process group. Thread-safe.

    ``pid`` is the group's id and the launcher's pid; the command is the launcher's child. Once the command has ended, what it
    left running in the group is killed before its exit status is told.
    """

    def __init__(self, process: subprocess.Popen[bytes], argv: tuple[str, ...]) -> None:
        self.argv = argv
        self.pid = process.pid
        self._process = process
        self._lock = threading.Lock()
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status, ``-N`` when signal N ended it, or None while it runs."""
        with self._lock:
            if self._status is None and self._has_ended():
                self._signal(signal.SIGKILL)
                self._status = self._process.wait()
            return self._status

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until it has ended, or for ``timeout_s`` seconds. Returns what `poll` returns."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (status := self.poll()) is None:
            left_s = _TICK_S if deadline is None else min(_TICK_S, deadline - time.monotonic())
            if left_s <= 0:
                return None
            time.sleep(left_s)
        return status

    def terminate(self, grace_s: float = 5.0) -> int:
        """End the group: SIGTERM, and SIGKILL for what is left after ``grace_s`` seconds. Returns the exit status."""
        self._signal_if_running(signal.SIGTERM)
        if (status := self.wait(grace_s)) is not None:
            return status
        return self.kill()

    def kill(self) -> int:
        """End the group at once. Returns the exit status."""
        self._signal_if_running(signal.SIGKILL)
        status = self.wait()
        assert status is not None  # only a wait with a limit gives None
        return status

    def _has_ended(self) -> bool:
        """Whether the launcher ended, without reaping it: until it is reaped its pid names no other process."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal_if_running(self, number: signal.Signals) -> None:
        with self._lock:
            if self._status is None:
                self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        # PermissionError is what macOS says of a group that has only ended members.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdout: str | Path | None = None,
) -> Child:
    """Start ``argv`` so that it, and what it starts in its group, dies with this process, even with one that is killed.

    May be called from any thread. The child reads nothing (its standard input is empty) and is out of reach of the terminal's
    Ctrl-C: its parent decides when it ends.

    Args:
        argv: Program and arguments; a program without a slash is looked up on PATH.
        env: The whole environment; this process's own when omitted.
        cwd: Folder to run in.
        stdout: File (mode 0600) to which standard output and error are appended; inherited when omitted.

    Raises:
        NotFoundError: code ``program-not-found``, when the program does not exist or may not be run.
    """
    path = None if env is None else env.get("PATH", os.defpath)
    if shutil.which(argv[0], path=path) is None:
        raise NotFoundError(
            f"The program {argv[0]!r} was not found or may not be run. See what is missing: homeroom doctor",
            code="program-not-found",
        )
    command = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *argv]
    with contextlib.ExitStack() as stack:
        output = None
        if stdout is not None:
            output = os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, output)
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(process, tuple(argv))
