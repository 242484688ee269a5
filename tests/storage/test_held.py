"""Marks that hold for as long as their process lives."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from homeroom.storage.held import hold, is_held

SOURCE = str(Path(__file__).parents[2] / "src")
HOLDER = f"""
import sys, time
sys.path.insert(0, {SOURCE!r})
from pathlib import Path
from homeroom.storage.held import hold
mark = hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(1000)
"""


def test_one_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    assert not is_held(path)
    with hold(path) as first:  # type: ignore[union-attr]
        assert first is not None and path.stat().st_mode & 0o777 == 0o600
        assert is_held(path) and hold(path) is None
    assert not is_held(path) and list(tmp_path.iterdir()) == []
    first.release()
    again = hold(path)
    assert again is not None
    first.release()  # not its mark any more
    assert is_held(path)
    again.release()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
        assert is_held(path) and hold(path) is None
        process.kill()
        process.wait()
    assert path.exists() and not is_held(path)
    mark = hold(path)
    assert mark is not None
    mark.release()


def test_of_many_that_take_and_remove_it_two_never_have_it_at_once(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "mark", [0], [0]
    taken = threading.Semaphore(0)

    def take() -> None:
        for _ in range(300):
            mark = hold(path)
            if mark is not None:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1
                mark.release()
                taken.release()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and taken.acquire(blocking=False)
    assert list(tmp_path.iterdir()) == []
