"""The worker with real processes: outcomes, deaths, cancellation, two at once, kill -9."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import NotFoundError, StorageError
from homeroom.jobs import JobStore, ManualClock, Worker, log_path
from homeroom.jobs.execute import MARK, forget_dead
from homeroom.schema.jobs import Job
from homeroom.storage import Database
from homeroom.storage.errors import storage_error
from homeroom.storage.held import hold
from homeroom.storage.tables import JobRow

Program = Callable[[str], list[str]]
Eventually = Callable[[Callable[[], object]], None]
Alive = Callable[[int], bool]
MakeWorker = Callable[..., Worker]
FAST = {"lease_s": 30.0, "heartbeat_s": 0.1, "poll_s": 0.05, "cancel_grace_s": 30.0}
UNTIL_TOLD = (
    "def handle(context):\n"
    "    (context.work_dir / 'pid').write_text(str(os.getpid()))\n"
    "    while not (context.work_dir / 'go').exists():\n"
    "        time.sleep(0.01)\n"
    "    return {'attempt': context.job.attempts}\n"
)


@pytest.fixture
def make_worker(live_store: JobStore, home: Path, child_env: dict[str, str]) -> MakeWorker:
    def make(argv: list[str], **options: object) -> Worker:
        def command(job: Job) -> list[str]:
            return [*argv, job.id, str(job.token)]

        return Worker(live_store, command, home=home, env=child_env, **{**FAST, **options})  # type: ignore[arg-type]

    return make


@contextmanager
def running(worker: Worker) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def run_one(worker_of: MakeWorker, argv: list[str], store: JobStore, *, max_attempts: int = 3, **options: object) -> Job:
    job = store.submit("work", {}, max_attempts=max_attempts)
    worker_of(argv, job_id=job.id, **options).run(threading.Event())
    return store.get(job.id)


def sh(script: str) -> list[str]:
    """A job's program that tells no outcome."""
    return ["sh", "-c", script]


def printed_pid(home: Path, job: Job, eventually: Eventually) -> int:
    path = log_path(home, job.id)
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def pid_of(home: Path, job: Job) -> int | None:
    path = home / "jobs" / job.id / "work" / "pid"
    return int(path.read_text()) if path.exists() and path.read_text() else None


def go(home: Path, job: Job) -> None:
    (home / "jobs" / job.id / "work" / "go").touch()


def test_job_runs_in_its_own_process_and_its_output_is_kept(
    make_worker: MakeWorker, program: Program, live_store: JobStore, home: Path
) -> None:
    argv = program("def handle(context):\n    print('hello')\n    return {'pid': os.getpid()}")
    job = run_one(make_worker, argv, live_store)
    assert job.state == "succeeded" and job.result is not None
    assert job.result["pid"] != os.getpid()
    path = log_path(home, job.id)
    assert path.read_text() == "hello\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_error_of_the_user_is_final(make_worker: MakeWorker, program: Program, live_store: JobStore) -> None:
    argv = program("def handle(context):\n    raise DataError('Line 3 is empty.', code='line-empty')")
    job = run_one(make_worker, argv, live_store)
    assert (job.state, job.error, job.error_code, job.attempts) == ("failed", "Line 3 is empty.", "line-empty", 1)


def test_bug_is_final_and_its_last_words_are_told(make_worker: MakeWorker, live_store: JobStore) -> None:
    job = run_one(make_worker, sh("echo Traceback; echo 'RuntimeError: boom' >&2; exit 1"), live_store)
    assert (job.state, job.error_code, job.attempts) == ("failed", "job-crashed", 1)
    assert "status 1" in job.error and "RuntimeError: boom" in job.error and f"homeroom jobs logs {job.id}" in job.error


def test_process_that_ends_without_outcome_failed(make_worker: MakeWorker, live_store: JobStore) -> None:
    job = run_one(make_worker, sh("exit 0"), live_store)
    assert (job.state, job.error_code) == ("failed", "job-crashed")


def test_a_killed_process_leaves_no_mark_although_nobody_tries_again(
    make_worker: MakeWorker, program: Program, live_store: JobStore, home: Path
) -> None:
    job = run_one(
        make_worker, program("def handle(context):\n    os.kill(os.getpid(), signal.SIGKILL)"), live_store, max_attempts=1
    )
    assert job.state == "failed"
    assert list(home.glob("jobs/*/running.lock")) == []


def test_marks_that_a_dead_worker_s_jobs_left_are_removed_and_held_ones_stay(home: Path) -> None:
    left, mine = home / "jobs" / "left", home / "jobs" / "mine"
    for folder in (left, mine):
        folder.mkdir(parents=True)
    (left / MARK).touch()
    with hold(mine / MARK) or nullcontext():
        assert forget_dead([left, mine, home / "jobs" / "none"]) == (mine,)
        assert [path.parent for path in home.glob(f"jobs/*/{MARK}")] == [mine]


def test_a_mark_goes_also_when_its_process_outlives_its_dead_worker_for_a_moment(
    make_worker: MakeWorker, home: Path, eventually: Eventually
) -> None:
    dead = home / "run" / "workers" / "dead.lock"
    folder = home / "jobs" / "job-of-the-dead"
    for path in (dead, folder / MARK):
        path.parent.mkdir(parents=True)
        path.touch()
    with (folder / MARK).open() as dying:
        fcntl.flock(dying, fcntl.LOCK_EX)
        with running(make_worker(sh("exit 0"))):
            eventually(lambda: not dead.exists())
            assert (folder / MARK).exists()
            fcntl.flock(dying, fcntl.LOCK_UN)
            eventually(lambda: not (folder / MARK).exists())


def test_killed_process_is_tried_again(make_worker: MakeWorker, program: Program, live_store: JobStore) -> None:
    argv = program(
        "def handle(context):\n"
        "    if context.job.attempts == 1:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return {'attempt': context.job.attempts}"
    )
    job = run_one(make_worker, argv, live_store)
    assert (job.state, job.result) == ("succeeded", {"attempt": 2})
    assert ["SIGKILL" in event.message for event in live_store.events(job.id)] == [True]


def test_process_that_is_always_killed_fails(make_worker: MakeWorker, live_store: JobStore) -> None:
    job = run_one(make_worker, sh("kill -SEGV $$"), live_store, max_attempts=2)
    assert (job.state, job.error_code, job.attempts) == ("failed", "job-process-died", 2)
    assert "SIGSEGV" in job.error


def test_process_that_could_not_tell_its_outcome_is_tried_again(make_worker: MakeWorker, live_store: JobStore) -> None:
    job = run_one(make_worker, sh("exit 75"), live_store, max_attempts=2)
    assert (job.state, job.error_code, job.attempts) == ("failed", "job-process-died", 2)


def test_program_that_does_not_exist_fails_the_job(make_worker: MakeWorker, live_store: JobStore) -> None:
    job = run_one(make_worker, ["/no/such/program"], live_store)
    assert (job.state, job.error_code) == ("failed", "program-not-found")


def test_folder_that_cannot_be_made_fails_the_job(make_worker: MakeWorker, live_store: JobStore, home: Path) -> None:
    (home / "jobs").write_text("in the way")
    job = run_one(make_worker, sh("exit 0"), live_store)
    assert (job.state, job.error_code) == ("failed", "job-not-started")


def test_output_is_bounded(make_worker: MakeWorker, live_store: JobStore, home: Path) -> None:
    job = run_one(make_worker, sh("seq 100000; echo the end; exit 1"), live_store, max_log_bytes=1000)
    assert "the end" in job.error
    assert log_path(home, job.id).stat().st_size < 1100


def test_lease_is_kept_while_the_process_works(
    store: JobStore, clock: ManualClock, home: Path, database: Database, eventually: Eventually
) -> None:
    job = store.submit("work", {})

    def lease_left_s() -> float:
        with database.read() as session:
            return session.get_one(JobRow, job.id).lease_elapsed - clock.now().elapsed

    worker = Worker(store, lambda _: sh("exec sleep 1000"), home=home, lease_s=8.0, heartbeat_s=0.05, poll_s=0.05)
    with running(worker):
        eventually(lambda: store.get(job.id).state == "running")
        for _ in range(3):
            eventually(lambda: lease_left_s() == 8.0)
            clock.advance(6.0)
            assert store.claim("other", 8.0) is None
        eventually(lambda: lease_left_s() == 8.0)


def test_two_workers_run_every_job_once(make_worker: MakeWorker, program: Program, live_store: JobStore, home: Path) -> None:
    argv = program("def handle(context):\n    (context.work_dir / str(os.getpid())).touch()\n    return {}")
    jobs = [live_store.submit("work", {"n": n}) for n in range(4)]
    workers = [make_worker(argv), make_worker(argv)]
    with running(workers[0]), running(workers[1]):
        while not all(live_store.get(job.id).done for job in jobs):
            threading.Event().wait(0.05)
    for job in jobs:
        assert (live_store.get(job.id).state, live_store.get(job.id).attempts) == ("succeeded", 1)
        assert len(list((home / "jobs" / job.id / "work").iterdir())) == 1


def test_worker_of_one_job_leaves_others_and_follows_who_has_it(
    make_worker: MakeWorker, program: Program, live_store: JobStore, home: Path, eventually: Eventually
) -> None:
    argv = program(UNTIL_TOLD)
    other, job = live_store.submit("work", {}), live_store.submit("work", {})
    first = make_worker(argv, job_id=job.id)
    second = threading.Thread(target=make_worker(argv, job_id=job.id).run, args=(threading.Event(),))
    with running(first):
        eventually(lambda: pid_of(home, job))
        second.start()
        go(home, job)
        second.join()
        assert live_store.get(job.id).state == "succeeded"
    assert live_store.get(other.id).state == "queued"


def test_worker_of_a_job_that_does_not_exist_says_so(make_worker: MakeWorker) -> None:
    with pytest.raises(NotFoundError, match="job-none"):
        make_worker(["true"], job_id="job-none").run(threading.Event())


def test_stopped_worker_gives_its_job_back(
    make_worker: MakeWorker, live_store: JobStore, home: Path, eventually: Eventually, alive: Alive
) -> None:
    job = live_store.submit("work", {}, max_attempts=1)
    with running(make_worker(sh("echo $$; exec sleep 1000"))) as stop:
        pid = printed_pid(home, job, eventually)
        stop.set()
    eventually(lambda: not alive(pid))
    assert (live_store.get(job.id).state, live_store.get(job.id).attempts) == ("queued", 1)
    make_worker(sh("exit 1"), job_id=job.id).run(threading.Event())
    assert (live_store.get(job.id).state, live_store.get(job.id).attempts) == ("failed", 2)


def test_handler_may_save_before_a_cancellation(
    make_worker: MakeWorker, program: Program, live_store: JobStore, home: Path, eventually: Eventually
) -> None:
    argv = program(
        "def handle(context):\n"
        "    (context.work_dir / 'pid').write_text(str(os.getpid()))\n"
        "    while not context.should_stop(): time.sleep(0.01)\n"
        "    (context.work_dir / 'saved').touch()\n"
        "    raise JobCancelled\n"
    )
    job = live_store.submit("work", {})
    with running(make_worker(argv)):
        eventually(lambda: pid_of(home, job))
        live_store.request_cancel(job.id)
        eventually(lambda: live_store.get(job.id).done)
    assert live_store.get(job.id).state == "cancelled"
    assert (home / "jobs" / job.id / "work" / "saved").exists()


def test_handler_that_does_not_listen_is_ended_with_all_its_processes(
    make_worker: MakeWorker, live_store: JobStore, home: Path, eventually: Eventually, alive: Alive
) -> None:
    argv = sh("trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.01; done")
    job = live_store.submit("work", {})
    with running(make_worker(argv, cancel_grace_s=0.1, stop_grace_s=0.1)):
        grandchild = printed_pid(home, job, eventually)
        live_store.request_cancel(job.id)
        eventually(lambda: live_store.get(job.id).done)
    assert live_store.get(job.id).state == "cancelled"
    eventually(lambda: not alive(grandchild))


def test_worker_that_lost_its_job_ends_the_process_and_touches_nothing(
    make_worker: MakeWorker, live_store: JobStore, home: Path, database: Database, eventually: Eventually, alive: Alive
) -> None:
    job = live_store.submit("work", {})
    with running(make_worker(sh("echo $$; exec sleep 1000"))):
        pid = printed_pid(home, job, eventually)
        with database.write() as session:
            session.get_one(JobRow, job.id).token += 1  # as if another worker had claimed it
        taken = live_store.get(job.id)
        eventually(lambda: not alive(pid))
    assert live_store.held(job.id, taken.token) == taken


def test_worker_waits_while_the_database_is_locked(
    program: Program, live_store: JobStore, home: Path, child_env: dict[str, str], database: Database
) -> None:
    argv = program("def handle(context):\n    return {}")
    impatient = JobStore(Database(database.url, busy_timeout_s=0.02))
    job = live_store.submit("work", {})
    worker = Worker(impatient, lambda job: [*argv, job.id, str(job.token)], home=home, env=child_env, job_id=job.id, poll_s=0.01)
    thread = threading.Thread(target=worker.run, args=(threading.Event(),))
    with database.write():
        thread.start()
        threading.Event().wait(0.3)
    thread.join()
    assert live_store.get(job.id).state == "succeeded"


class FullDisk(JobStore):
    """A job table that has no room for so many claims."""

    refusals = 3

    def claim(self, *args: Any, **options: Any) -> Job | None:
        if self.refusals:
            self.refusals -= 1
            raise storage_error("no-space", "homeroom.db")
        return super().claim(*args, **options)


def test_worker_waits_for_room_on_the_disk(
    program: Program, database: Database, home: Path, child_env: dict[str, str], eventually: Eventually
) -> None:
    argv, full = program("def handle(context):\n    return {}"), FullDisk(database)
    job = full.submit("work", {})
    worker = Worker(full, lambda job: [*argv, job.id, str(job.token)], home=home, env=child_env, **FAST)
    with running(worker):
        eventually(lambda: full.get(job.id).done)
    assert (full.get(job.id).state, full.refusals) == ("succeeded", 0)


def test_worker_of_one_job_says_that_there_is_no_room(database: Database, home: Path) -> None:
    """Somebody waits for it, who can free some; the job stays where it is."""
    full = FullDisk(database)
    job = full.submit("work", {})
    with pytest.raises(StorageError, match="no space left"):
        Worker(full, lambda job: sh("exit 0"), home=home, job_id=job.id, **FAST).run(threading.Event())
    assert full.get(job.id).state == "queued"


@pytest.mark.parametrize("children", [0, 1])
def test_killed_worker_leaves_no_process_and_its_job_goes_on(
    children: int,
    make_worker: MakeWorker,
    program: Program,
    live_store: JobStore,
    home: Path,
    child_env: dict[str, str],
    eventually: Eventually,
    alive: Alive,
) -> None:
    fork = "    if os.fork() == 0: time.sleep(1000)\n" if children else ""
    argv = program(UNTIL_TOLD.replace("    while not", fork + "    while not"))
    job = live_store.submit("work", {})
    text = (
        "import threading; from pathlib import Path\n"
        "from homeroom.jobs import JobStore, Worker; from homeroom.storage import Database\n"
        f"home = Path({str(home)!r}); store = JobStore(Database.for_home(home))\n"
        f"worker = Worker(store, lambda job: [*{argv!r}, job.id, str(job.token)], home=home, lease_s=3000.0, heartbeat_s=0.1)\n"
        "worker.run(threading.Event())\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", text], env=child_env)
    try:
        eventually(lambda: pid_of(home, job))
        pid = pid_of(home, job)
        assert pid is not None
        group = os.getpgid(pid)
        eventually(lambda: len(_members(group)) == 2 + children)  # launcher, job, and what the job started
        members = _members(group)
        assert all(map(alive, members))
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    eventually(lambda: not any(map(alive, members)))
    assert (live_store.get(job.id).state, live_store.get(job.id).attempts) == ("running", 1)
    go(home, job)
    make_worker(argv, job_id=job.id).run(threading.Event())  # does not wait for the dead one's lease
    assert (live_store.get(job.id).state, live_store.get(job.id).result) == ("succeeded", {"attempt": 2})
    (dead,) = (home / "run" / "workers").iterdir()
    with running(make_worker(argv)):
        eventually(lambda: not dead.exists())
    assert list((home / "run" / "workers").iterdir()) == []


def _members(group: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(ProcessLookupError, ValueError):
            if os.getpgid(int(path.name)) == group:
                found.append(int(path.name))
    return found
