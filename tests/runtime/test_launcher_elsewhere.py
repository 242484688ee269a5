"""The launcher on a system without Linux's own calls, such as macOS: no parent-death signal, no descriptors of processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from homeroom.runtime import launcher

# Takes away what only Linux has, then is the launcher.
ELSEWHERE = """
import os, runpy, sys
sys.platform = "darwin"
os.__dict__.pop("pidfd_open", None)
file = sys.argv.pop(1)
runpy.run_path(file, run_name="__main__")
"""
# The parent: starts the launcher, says who the command is once that says so, and waits to be killed.
PARENT = """
import os, subprocess, sys
command = [sys.executable, "-I", "-S", "-c", sys.argv[1], sys.argv[2], str(os.getpid())]
command += [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"]
subprocess.Popen(command, start_new_session=True).wait()
"""


@pytest.fixture
def parent() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PARENT, ELSEWHERE, launcher.__file__]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_command_ends_with_its_parent_all_the_same(
    parent: subprocess.Popen[str], alive: Callable[[int], bool], eventually: Callable[[Callable[[], object]], None]
) -> None:
    assert parent.stdout is not None
    command = int(parent.stdout.readline())
    assert alive(command)
    parent.kill()
    parent.wait()
    eventually(lambda: not alive(command))
    parent.stdout.close()


def test_the_command_s_own_end_is_told(tmp_path: Path) -> None:
    code = "import os, subprocess, sys\n" + (
        "sys.exit(subprocess.run([sys.executable, '-I', '-S', '-c', sys.argv[1], sys.argv[2], str(os.getpid()), "
        "sys.executable, '-c', 'import sys; sys.exit(7)'], start_new_session=True).returncode)"
    )
    assert subprocess.run([sys.executable, "-c", code, ELSEWHERE, launcher.__file__], check=False).returncode == 7
