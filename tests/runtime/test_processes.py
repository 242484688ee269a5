"""Children: what they are given, how they end, and that they never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homeroom.errors import NotFoundError
from homeroom.runtime import Child, spawn

Alive = Callable[[int], bool]
Eventually = Callable[[Callable[[], object]], None]
FOREVER = "exec sleep 1000"


def sh(script: str, *, stdout: Path | None = None) -> Child:
    return spawn(["sh", "-c", script], stdout=stdout)


def pids(path: Path, count: int, eventually: Eventually) -> list[int]:
    eventually(lambda: path.exists() and path.read_text().count("\n") == count)
    return [int(line) for line in path.read_text().split()]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a Python process that runs the text, as a parent that can be killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(text: str) -> subprocess.Popen[bytes]:
        source = str(Path(__file__).parents[2] / "src")
        environment = {**os.environ, "PYTHONPATH": source}
        started.append(subprocess.Popen([sys.executable, "-c", text], env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_exit_status_output_and_argv(output: Path) -> None:
    child = sh("echo out; echo err >&2; exit 7", stdout=output)
    assert child.wait() == 7 == child.poll()
    assert output.read_text() == "out\nerr\n"
    assert output.stat().st_mode & 0o777 == 0o600
    assert child.argv[0] == "sh"


def test_output_is_appended(output: Path) -> None:
    output.write_text("before\n")
    sh("echo after", stdout=output).wait()
    assert output.read_text() == "before\nafter\n"


def test_environment_and_folder_are_as_given(output: Path, tmp_path: Path) -> None:
    child = spawn(["sh", "-c", "echo $WORD; pwd"], env={"WORD": "hello", "PATH": os.environ["PATH"]}, cwd=tmp_path, stdout=output)
    assert child.wait() == 0
    assert output.read_text().split() == ["hello", str(tmp_path.resolve())]


def test_standard_input_is_empty_and_no_descriptor_leaks(output: Path, tmp_path: Path) -> None:
    with (tmp_path / "held").open("w"):
        assert sh("cat; ls /proc/self/fd | wc -l", stdout=output).wait() == 0
    assert output.read_text().split() == ["4"]  # 0, 1, 2 and the listing's own


def test_signal_that_ended_it_is_told(output: Path) -> None:
    assert sh("kill -USR1 $$").wait() == -signal.SIGUSR1
    assert sh("kill -KILL $$").wait() == -signal.SIGKILL


def test_unknown_program_is_named() -> None:
    with pytest.raises(NotFoundError, match="'no-such-program'") as caught:
        spawn(["no-such-program"])
    assert caught.value.code == "program-not-found"


def test_program_that_cannot_start_ends_with_127(output: Path, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    child = spawn([str(script)], stdout=output)
    assert child.wait() == 127
    assert "No such file or directory" in output.read_text()


def test_wait_with_a_limit_gives_none_while_it_runs() -> None:
    child = sh(FOREVER)
    assert child.wait(timeout_s=0.05) is None
    assert child.poll() is None
    assert child.kill() == -signal.SIGKILL


def test_terminate_lets_the_command_end_by_itself(output: Path, eventually: Eventually) -> None:
    child = sh("trap 'echo bye; exit 3' TERM; echo $$; while :; do sleep 0.01; done", stdout=output)
    pids(output, 1, eventually)
    assert child.terminate(grace_s=30) == 3
    assert output.read_text().endswith("bye\n")


def test_terminate_kills_what_does_not_listen(output: Path, eventually: Eventually, alive: Alive) -> None:
    child = sh("trap '' TERM; echo $$; while :; do sleep 0.01; done", stdout=output)
    (command,) = pids(output, 1, eventually)
    assert child.terminate(grace_s=0.1) == -signal.SIGKILL
    eventually(lambda: not alive(command))


def test_terminate_after_the_end_changes_nothing() -> None:
    child = sh("exit 4")
    assert child.wait() == 4
    assert child.terminate() == 4 == child.kill()


def test_it_is_a_group_of_its_own(output: Path, eventually: Eventually) -> None:
    child = sh(f"echo $$; {FOREVER}", stdout=output)
    (command,) = pids(output, 1, eventually)
    assert os.getpgid(command) == child.pid != os.getpgid(0)
    child.kill()


def test_what_the_command_left_running_ends_with_it(output: Path, eventually: Eventually, alive: Alive) -> None:
    child = sh("sleep 1000 & echo $!", stdout=output)
    assert child.wait() == 0
    (left,) = pids(output, 1, eventually)
    eventually(lambda: not alive(left))


def test_killed_launcher_takes_command_and_grandchild_along(output: Path, eventually: Eventually, alive: Alive) -> None:
    child = sh(f"sleep 1000 & echo $!; echo $$; {FOREVER}", stdout=output)
    members = pids(output, 2, eventually)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    eventually(lambda: not any(map(alive, members)))


def test_child_of_a_thread_outlives_that_thread(output: Path, eventually: Eventually, alive: Alive) -> None:
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(sh(f"echo $$; {FOREVER}", stdout=output)))
    thread.start()
    thread.join()
    (command,) = pids(output, 1, eventually)
    assert children[0].wait(timeout_s=0.1) is None
    assert alive(command)
    children[0].kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_killed_parent(
    parent: Callable[[str], subprocess.Popen[bytes]], number: int, output: Path, eventually: Eventually, alive: Alive
) -> None:
    script = f"sleep 1000 & echo $!; echo $$; {FOREVER}"
    process = parent(
        "import threading, time\n"
        "from homeroom.runtime import spawn\n"
        f"start = lambda: spawn(['sh', '-c', {script!r}], stdout={str(output)!r})\n"
        "thread = threading.Thread(target=start); thread.start(); thread.join()\n"
        "time.sleep(1000)\n"
    )
    members = pids(output, 2, eventually)
    launcher = os.getpgid(members[0])
    assert all(map(alive, [*members, launcher]))
    process.send_signal(number)
    eventually(lambda: not any(map(alive, [*members, launcher])))


def test_forked_copy_of_the_parent_keeps_nothing_alive(
    parent: Callable[[str], subprocess.Popen[bytes]], output: Path, eventually: Eventually, alive: Alive
) -> None:
    copied = output.with_name("copy")
    script = f"echo $$; {FOREVER}"
    process = parent(
        "import os, pathlib, time\n"
        "from homeroom.runtime import spawn\n"
        f"spawn(['sh', '-c', {script!r}], stdout={str(output)!r})\n"
        f"if os.fork() == 0: pathlib.Path({str(copied)!r}).write_text(f'{{os.getpid()}}\\n')\n"
        "time.sleep(1000)\n"
    )
    (command,), (copy,) = pids(output, 1, eventually), pids(copied, 1, eventually)
    process.kill()
    process.wait()
    try:
        eventually(lambda: not alive(command))
        assert alive(copy)
    finally:
        os.kill(copy, signal.SIGKILL)
