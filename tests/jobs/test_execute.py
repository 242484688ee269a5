"""What runs in a job's own process, called in this one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import DataError
from homeroom.jobs import JobStore, ManualClock, execute
from homeroom.schema.jobs import Handler, Job, JobCancelled, JobContext
from homeroom.storage import Database
from homeroom.storage.held import hold


def run(store: JobStore, home: Path, handler: Handler, payload: Mapping[str, Any] | None = None) -> Job:
    job = claimed(store, payload)
    assert execute(store, job.id, job.token, {"work": handler}, home / "jobs") == 0
    return store.get(job.id)


def claimed(store: JobStore, payload: Mapping[str, Any] | None = None) -> Job:
    store.submit("work", payload or {})
    job = store.claim("w", 8.0)
    assert job is not None
    return job


def test_result_progress_and_events_are_recorded(store: JobStore, home: Path) -> None:
    def handler(context: JobContext) -> Mapping[str, Any]:
        context.progress(0.5, "half")
        context.event("step", type="metrics", data={"loss": 2.0})
        return {"sum": sum(context.job.payload["numbers"]), "state": context.job.state}

    job = run(store, home, handler, {"numbers": [1, 2]})
    assert (job.state, job.result, job.progress, job.message) == ("succeeded", {"sum": 3, "state": "running"}, 1.0, "half")
    assert [(event.type, event.data) for event in store.events(job.id)] == [("metrics", {"loss": 2.0})]


def test_reports_of_several_threads_are_recorded_once_each(store: JobStore, home: Path) -> None:
    def handler(context: JobContext) -> Mapping[str, Any]:
        with ThreadPoolExecutor(6) as threads:
            list(threads.map(lambda n: context.event(f"step {n}"), range(90)))
        return {}

    job = run(store, home, handler)
    assert job.state == "succeeded"
    assert sorted(event.message for event in store.events(job.id)) == sorted(f"step {n}" for n in range(90))


def test_its_folder_is_its_own_and_survives_an_attempt(store: JobStore, home: Path) -> None:
    def handler(context: JobContext) -> Mapping[str, Any]:
        found = sorted(path.name for path in context.work_dir.iterdir())
        (context.work_dir / f"attempt-{context.job.attempts}").touch()
        if context.job.attempts == 1:
            store.release(context.job.id, context.job.token, "as if it died", delay_s=0)
        return {"found": found, "folder": str(context.work_dir), "mode": context.work_dir.stat().st_mode & 0o777}

    job = claimed(store)
    assert execute(store, job.id, job.token, {"work": handler}, home / "jobs") != 0
    again = store.claim("w", 8.0)
    assert again is not None
    assert execute(store, again.id, again.token, {"work": handler}, home / "jobs") == 0
    folder = str(home / "jobs" / job.id / "work")
    assert store.get(job.id).result == {"found": ["attempt-1"], "folder": folder, "mode": 0o700}


def test_error_of_the_user_fails_it_with_message_and_code(store: JobStore, home: Path) -> None:
    def handler(context: JobContext) -> Mapping[str, Any]:
        raise DataError("The file 'x.jsonl' is empty.", code="file-empty")

    job = run(store, home, handler)
    assert (job.state, job.error, job.error_code, job.attempts) == ("failed", "The file 'x.jsonl' is empty.", "file-empty", 1)


def test_cancellation_reaches_the_handler(store: JobStore, home: Path) -> None:
    seen: list[bool] = []

    def handler(context: JobContext) -> Mapping[str, Any]:
        seen.append(context.should_stop())
        store.request_cancel(context.job.id)
        seen.append(context.should_stop())
        raise JobCancelled

    assert run(store, home, handler).state == "cancelled"
    assert seen == [False, True]


def test_work_that_was_done_before_it_could_stop_counts(store: JobStore, home: Path) -> None:
    def handler(context: JobContext) -> Mapping[str, Any]:
        store.request_cancel(context.job.id)
        return {"done": True}

    job = run(store, home, handler)
    assert (job.state, job.result) == ("succeeded", {"done": True})


def test_kind_without_handler_fails(store: JobStore, home: Path) -> None:
    job = claimed(store)
    assert execute(store, job.id, job.token, {"tune": lambda _: {}}, home / "jobs") == 0
    failed = store.get(job.id)
    assert (failed.state, failed.error_code) == ("failed", "job-kind-unknown")
    assert "'work'" in failed.error and "known: tune" in failed.error


def test_bug_passes_and_leaves_the_outcome_to_the_worker(store: JobStore, home: Path) -> None:
    def handler(context: JobContext) -> Mapping[str, Any]:
        raise ZeroDivisionError

    job = claimed(store)
    with pytest.raises(ZeroDivisionError):
        execute(store, job.id, job.token, {"work": handler}, home / "jobs")
    assert store.get(job.id).state == "running"


def test_process_that_lost_its_job_does_not_start_it(store: JobStore, home: Path, clock: ManualClock) -> None:
    job = claimed(store)
    clock.advance(8.0)
    assert store.claim("w2", 8.0) is not None
    calls: list[str] = []
    handlers: dict[str, Handler] = {"work": lambda context: calls.append(context.job.id) or {}}
    assert execute(store, job.id, job.token, handlers, home / "jobs") != 0
    assert calls == []


@pytest.mark.parametrize("ask", ["should_stop", "progress", "event"])
def test_process_that_loses_its_job_is_stopped(store: JobStore, home: Path, clock: ManualClock, ask: str) -> None:
    reached: list[str] = []

    def handler(context: JobContext) -> Mapping[str, Any]:
        clock.advance(8.0)
        assert store.claim("w2", 8.0) is not None
        {"should_stop": context.should_stop, "progress": lambda: context.progress(1, ""), "event": lambda: context.event("")}[
            ask
        ]()
        reached.append("after")
        return {}

    job = claimed(store)
    assert execute(store, job.id, job.token, {"work": handler}, home / "jobs") != 0
    assert reached == []
    assert store.get(job.id).state == "running"


def test_reports_wait_while_the_database_is_locked(database: Database, store: JobStore, home: Path, clock: ManualClock) -> None:
    impatient = JobStore(Database(database.url, busy_timeout_s=0.02), clock=clock)

    def handler(context: JobContext) -> Mapping[str, Any]:
        with database.write():
            context.event("first")
            context.progress(0.5, "half")
            stop = context.should_stop()
        context.event("second")
        return {"stop": stop}

    job = claimed(store)
    assert execute(impatient, job.id, job.token, {"work": handler}, home / "jobs") == 0
    assert [event.message for event in store.events(job.id)] == ["first", "second"]
    assert (store.get(job.id).message, store.get(job.id).result) == ("half", {"stop": False})


def test_outcome_that_cannot_be_recorded_asks_for_another_attempt(
    database: Database, store: JobStore, home: Path, clock: ManualClock
) -> None:
    impatient = JobStore(Database(database.url, busy_timeout_s=0.02), clock=clock)
    job = claimed(store)
    with database.write():
        assert execute(impatient, job.id, job.token, {"work": lambda _: {}}, home / "jobs") == 75
    assert store.get(job.id).state == "running"


def test_it_waits_until_the_process_of_an_earlier_attempt_is_gone(live_store: JobStore, home: Path) -> None:
    job = claimed(live_store)
    begun = threading.Event()

    def handler(context: JobContext) -> Mapping[str, Any]:
        begun.set()
        return {}

    (home / "jobs" / job.id).mkdir(parents=True)
    earlier = hold(home / "jobs" / job.id / "running.lock")
    assert earlier is not None
    attempt = threading.Thread(target=execute, args=(live_store, job.id, job.token, {"work": handler}, home / "jobs"))
    attempt.start()
    assert not begun.wait(0.3)
    earlier.release()
    attempt.join()
    assert begun.is_set() and live_store.get(job.id).state == "succeeded"
    assert [path.name for path in (home / "jobs" / job.id).iterdir()] == ["work"]


def test_what_a_handler_kept_counts_against_no_death_and_is_written_once(
    database: Database, home: Path, clock: ManualClock
) -> None:
    """Killed four times where three deaths in a row are the end."""
    written: list[tuple[int, str]] = []

    class Counted(JobStore):
        def saved(self, job_id: str, token: int, mark: int, of: str = "") -> None:
            written.append((mark, of))
            super().saved(job_id, token, mark, of)

    class Killed(BaseException):
        """Stands for the end of the process."""

    def handler(context: JobContext) -> Mapping[str, Any]:
        done = len(list(context.work_dir.iterdir()))
        context.saved(done, "steps")  # no news
        (context.work_dir / str(done)).touch()
        context.saved(done + 1, "steps")
        if done < 4:
            raise Killed
        return {"steps": done + 1}

    counted = Counted(database, clock=clock)
    counted.submit("work", {})
    for _ in range(4):
        job = counted.claim("w", 8.0)
        assert job is not None
        with pytest.raises(Killed):
            execute(counted, job.id, job.token, {"work": handler}, home / "jobs")
        clock.advance(8.0)
    job = counted.claim("w", 8.0)
    assert job is not None and (job.attempts, job.deaths) == (5, 1)
    assert execute(counted, job.id, job.token, {"work": handler}, home / "jobs") == 0
    over = counted.get(job.id)
    assert (over.state, over.result, over.attempts, over.deaths) == ("succeeded", {"steps": 5}, 5, 0)
    assert written == [(mark, "steps") for mark in (1, 2, 3, 4, 5)]
