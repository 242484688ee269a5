"""Stands between a process and the command it starts, so that the command never outlives either of them.

Run by path as ``python -I -S launcher.py <parent pid> <command> [argument …]`` in a session of its own (see
`homeroom.runtime.processes.spawn`); it imports nothing of Homeroom and starts in some ten milliseconds.

Why it stays instead of replacing itself by the command: Linux sends a parent-death signal when the *thread* that forked ends,
so a child started from a request or worker thread would die with that thread. The launcher has one thread, so the signal it
gives the command is exact, and it watches the parent *process* itself. When the parent dies, however it dies, the launcher
kills its whole process group: the command and everything that the command started in the group.

SIGTERM, SIGINT and SIGHUP sent to the group are for the command; the launcher blocks them and ends as the command ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
POLL_S = 0.2
COMMAND_NOT_STARTED = 127
FOR_THE_COMMAND = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the parent does. Returns the exit status to end with."""
    parent, command = int(arguments[0]), arguments[1:]
    parent_ended = _death_watch(parent)
    if os.getppid() != parent:  # it ended before the watch began
        return COMMAND_NOT_STARTED
    set_death_signal = _death_signal()  # looked up before the fork: the child must only call it
    signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_COMMAND)
    launcher = os.getpid()
    if os.getpgid(0) != launcher:  # the group that is killed below must be its own
        os.setsid()
    child = os.fork()
    if child == 0:
        _become(command, launcher, set_death_signal)
    child_ended = _death_watch(child)
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            return _end_like(status)
        if os.getppid() != parent:
            os.killpg(0, signal.SIGKILL)
        _wait_for_either(parent_ended, child_ended)


def _death_watch(pid: int) -> int | None:
    """A descriptor that becomes readable when ``pid`` ends; None where the system has none."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _wait_for_either(*watches: int | None) -> None:
    known = [watch for watch in watches if watch is not None]
    if len(known) < len(watches):
        time.sleep(POLL_S)
    else:
        select.select(known, [], [])
        # A dead parent stays readable, and its children get a new parent only a moment later.
        time.sleep(0.001)


def _death_signal() -> Callable[[], object]:
    """A call that makes the calling process die with its parent; does nothing where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _become(command: list[str], launcher: int, set_death_signal: Callable[[], object]) -> None:
    """In the child: turn into the command. Never returns."""
    set_death_signal()
    if os.getppid() != launcher:  # it ended before the signal was set
        os._exit(COMMAND_NOT_STARTED)
    for number in FOR_THE_COMMAND:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THE_COMMAND)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(COMMAND_NOT_STARTED)


def _end_like(status: int) -> int:
    """End by the signal that ended the command, or return its exit status."""
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command's core is enough
    with contextlib.suppress(OSError):  # SIGKILL has no handler to reset
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main(sys.argv[1:]))
