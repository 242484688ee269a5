"""Processes of a test that end with it: a test that is itself killed leaves nothing running.

The product's own processes watch their parents. What the harness starts would not: servers and commands in sessions of their
own, and clients that never give up.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def tethered(*command: str | Path) -> list[str]:
    """The command, killed by the system when the thread that starts it ends, however it ends.

    setpriv(1) sets the parent-death signal and turns into the command: the process keeps its id. Where it is missing the command
    is left as it is.
    """
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *map(str, command)]
