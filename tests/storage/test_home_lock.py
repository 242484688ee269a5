"""One server per home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homeroom.errors import ConflictError
from homeroom.storage import HomeLock

SOURCE = str(Path(__file__).parents[2] / "src")


def test_second_taker_is_told_who_holds_it(home: Path) -> None:
    with HomeLock(home, "http://127.0.0.1:8642"), pytest.raises(ConflictError) as caught:
        HomeLock(home).acquire()
    assert caught.value.code == "home-locked"
    assert f"process {os.getpid()} at http://127.0.0.1:8642" in caught.value.message
    assert repr(str(home)) in caught.value.message


def test_it_can_be_taken_again_after_release(home: Path) -> None:
    first = HomeLock(home)
    first.acquire()
    first.release()
    first.release()
    with HomeLock(home):
        pass


def test_holder_is_told_and_its_address_can_change(home: Path) -> None:
    assert HomeLock.holder(home) is None
    with HomeLock(home, "http://127.0.0.1:1") as lock:
        lock.set_address("http://127.0.0.1:23456")
        lock.set_address("http://[::1]:8")
        holder = HomeLock.holder(home)
        assert holder is not None
        assert (holder.pid, holder.address) == (os.getpid(), "http://[::1]:8")
        assert json.loads(lock.path.read_text())["started_at"] == holder.started_at > 0
        assert lock.path.stat().st_mode & 0o777 == 0o600
        assert lock.path.parent.stat().st_mode & 0o777 == 0o700
    assert HomeLock.holder(home) is None


def test_unreadable_content_still_means_held(home: Path) -> None:
    with HomeLock(home) as lock:
        lock.path.write_text("{")
        with pytest.raises(ConflictError, match="in use by another process"):
            HomeLock(home).acquire()
        assert HomeLock.holder(home) is not None


def test_a_killed_holder_leaves_nothing_behind(home: Path) -> None:
    program = (
        "import time; from pathlib import Path; from homeroom.storage import HomeLock\n"
        f"HomeLock(Path({str(home)!r}), 'here').acquire(); print('held', flush=True); time.sleep(1000)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ConflictError, match=f"process {process.pid} at here"):
            HomeLock(home).acquire()
        process.kill()
        process.wait()
    with HomeLock(home):
        pass
