"""Following a job on the terminal: one live line where there is a terminal, a line now and then where there is not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from homeroom.cli.common import duration
from homeroom.schema.jobs import OUTCOME

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom
    from homeroom.schema.jobs import Job, JobEvent

PLAIN_EVERY_S = 10.0
BAR_WIDTH = 24


class Line:
    """Rewrites one line on a terminal; elsewhere prints when the text has changed and some seconds have passed."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._last, self._last_time = "", 0.0

    def show(self, text: str, *, final: bool = False) -> None:
        """Show ``text``; ``final`` keeps it and moves to the next line."""
        if self._quiet:
            return
        if self._live:
            width = max(20, _columns() - 1)
            click.echo("\r\x1b[2K" + text[:width] + ("\n" if final else ""), nl=False, err=True)
        elif text != self._last and (final or time.monotonic() - self._last_time >= PLAIN_EVERY_S):
            click.echo(text, err=True)
            self._last, self._last_time = text, time.monotonic()

    def clear(self) -> None:
        """Make room for an ordinary line."""
        if self._live and not self._quiet:
            click.echo("\r\x1b[2K", nl=False, err=True)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def bar(fraction: float) -> str:
    """``━━━━────  42 %``."""
    filled = round(max(0.0, min(1.0, fraction)) * BAR_WIDTH)
    return f"{'━' * filled}{'─' * (BAR_WIDTH - filled)} {fraction:4.0%}"


def worth_seeing(event: JobEvent) -> str:
    """Warnings, and what came of the work; empty for everything else."""
    if event.level in ("warning", "warn"):
        return f"{event.level}: {event.message}"
    return event.message if event.type == OUTCOME else ""


def wait(
    home: Homeroom, job: Job, *, quiet: bool = False, indent: str = "", tell: Callable[[JobEvent], str] = worth_seeing
) -> Job:
    """Run or follow ``job`` until it is done, showing its progress.

    Args:
        home: The open home.
        job: What to wait for.
        quiet: Show nothing.
        indent: Put before each line.
        tell: What to print for an event; empty text prints nothing.

    Raises:
        JobFailed: it did not succeed.
    """
    from homeroom.app.work import wait_for

    line = Line(quiet)
    started = time.monotonic()

    def watch(now: Job, events: Sequence[JobEvent]) -> None:
        for event in events:
            # An event of this level ended the job, which ``now`` may not know yet: it is told once, by whoever asked for the job.
            text = "" if quiet or event.level == "error" else tell(event)
            if text:
                line.clear()
                for part in text.splitlines():
                    click.echo(f"{indent}{part}", err=True)
        if now.done and now.state != "succeeded":
            line.clear()
        elif now.done:
            took = f" ({duration(time.monotonic() - started)})" if time.monotonic() - started > 2 else ""
            line.show(f"{indent}{bar(now.progress)}  {now.message}{took}", final=True)
        else:
            line.show(f"{indent}{bar(now.progress)}  {now.message or now.state}")

    try:
        return wait_for(home, job.id, watch)
    finally:
        line.clear()  # nothing is left of an interrupted one; a finished one is a line of its own already
