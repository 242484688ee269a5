"""Whose turn it is: priorities, times, dependencies, slots, pauses, and tries that wait."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import ConflictError, JobFailed, NotFoundError, ProviderTimeoutError, RateLimitError
from homeroom.jobs import JobStore, LeaseLost, ManualClock, execute
from homeroom.schema.jobs import Job, JobCancelled, JobContext

LEASE_S = 8.0


def claim(store: JobStore, **slots: int) -> Job | None:
    return store.claim("worker", LEASE_S, slots=slots)


def test_the_higher_priority_runs_first_and_among_equals_the_older(store: JobStore) -> None:
    old, new = store.submit("work", {}), store.submit("work", {})
    urgent = store.submit("work", {}, priority=5)
    last = store.submit("work", {}, priority=-1)
    order = [job.id for job in iter(lambda: claim(store), None) if job]
    assert order == [urgent.id, old.id, new.id, last.id]


def test_a_job_waits_for_its_time_by_the_clock_on_the_wall(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("work", {}, not_before=clock.now().wall + 3600)
    assert claim(store) is None
    clock.advance(3599)
    assert claim(store) is None
    clock.advance(1)
    found = claim(store)
    assert found is not None and found.id == job.id


def test_a_job_runs_only_after_all_that_it_depends_on_succeeded(store: JobStore) -> None:
    needed = [store.submit("work", {}), store.submit("work", {})]
    after = store.submit("work", {}, depends_on=[job.id for job in needed], priority=9)
    for expected in needed:
        found = claim(store)
        assert found is not None and found.id == expected.id, "the one that is needed, although the other one is more urgent"
        assert store.claim("other", LEASE_S, after.id) is None
        store.finish(found.id, found.token, "succeeded")
    found = claim(store)
    assert found is not None and found.id == after.id


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_depends_on_a_job_that_did_not_succeed_fails_and_says_why(store: JobStore, state: str) -> None:
    first = store.submit("work", {})
    second = store.submit("work", {}, depends_on=[first.id])
    third = store.submit("work", {}, depends_on=[second.id])
    found = claim(store)
    assert found is not None
    store.finish(first.id, found.token, state)  # type: ignore[arg-type]
    while claim(store) is not None or store.list(state="queued"):
        pass
    assert [(store.get(job.id).state, store.get(job.id).error_code) for job in (second, third)] == [
        ("failed", "dependency-failed"),
        ("failed", "dependency-failed"),
    ]
    assert first.id in store.get(second.id).error and second.id in store.get(third.id).error


def test_a_job_cannot_depend_on_one_that_is_not_there(store: JobStore) -> None:
    with pytest.raises(NotFoundError):
        store.submit("work", {}, depends_on=["job-nowhere"])
    assert store.list() == ()


def test_slots_are_counted_over_all_workers_and_by_resource(store: JobStore) -> None:
    jobs = [store.submit("work", {}, resource=resource) for resource in ("cpu", "cpu", "api", "")]
    taken = [store.claim(f"worker-{n}", LEASE_S, slots={"cpu": 1, "api": 1}) for n in range(4)]
    assert [job.id if job else None for job in taken] == [jobs[0].id, jobs[2].id, jobs[3].id, None]
    assert taken[0] is not None
    store.finish(jobs[0].id, taken[0].token, "succeeded")
    found = claim(store, cpu=1)
    assert found is not None and found.id == jobs[1].id


def test_a_dead_worker_holds_no_slot(store: JobStore, clock: ManualClock) -> None:
    dead = store.submit("work", {}, resource="cpu")
    assert claim(store, cpu=1) is not None
    mine = store.submit("work", {}, resource="cpu")
    assert store.claim("other", LEASE_S, mine.id, slots={"cpu": 1}) is None
    assert store.claim("other", LEASE_S, mine.id, slots={"cpu": 1}, is_dead=lambda worker: worker == "worker") is not None
    clock.advance(LEASE_S)
    found = store.claim("third", LEASE_S, dead.id, slots={"cpu": 1})
    assert found is not None and found.attempts == 2


def test_a_queued_job_is_paused_at_once_and_resumed(store: JobStore) -> None:
    job = store.submit("work", {})
    paused = store.pause(job.id)
    assert (paused.state, paused.status, paused.done) == ("queued", "paused", False)
    assert claim(store) is None
    assert store.pause(job.id) == paused, "pausing twice says nothing more"
    resumed = store.resume(job.id)
    assert resumed.status == "queued"
    assert store.resume(job.id) == resumed
    assert claim(store) is not None


def test_a_running_job_is_paused_when_its_handler_has_saved_and_that_is_no_death(store: JobStore, home: Path) -> None:
    job = store.submit("work", {}, max_attempts=1)
    steps: list[str] = []

    def handler(context: JobContext) -> Mapping[str, Any]:
        if not steps:
            asked = store.pause(job.id)
            assert (asked.state, asked.pause_requested, asked.paused) == ("running", True, False)
        steps.append("step")
        if context.should_stop():
            (context.work_dir / "saved").touch()
            raise JobCancelled
        return {"saved": (context.work_dir / "saved").exists()}

    found = claim(store)
    assert found is not None and execute(store, job.id, found.token, {"work": handler}, home / "jobs") == 0
    assert (store.get(job.id).status, store.get(job.id).attempts, store.get(job.id).deaths) == ("paused", 1, 0)
    assert claim(store) is None
    with pytest.raises(LeaseLost):
        store.progress(job.id, found.token, 1.0, "")
    store.resume(job.id)
    again = claim(store)
    assert again is not None and execute(store, job.id, again.token, {"work": handler}, home / "jobs") == 0
    assert (store.get(job.id).state, store.get(job.id).result) == ("succeeded", {"saved": True})


def test_a_pause_that_was_asked_for_can_be_taken_back(store: JobStore) -> None:
    job = store.submit("work", {})
    found = claim(store)
    assert found is not None
    store.pause(job.id)
    assert store.resume(job.id).pause_requested is False
    assert store.heartbeat(job.id, found.token, LEASE_S).state == "running"


def test_cancelling_wins_over_pausing(store: JobStore) -> None:
    job = store.submit("work", {})
    found = claim(store)
    assert found is not None
    store.pause(job.id)
    store.request_cancel(job.id)
    assert store.stopped(job.id, found.token).state == "cancelled"
    with pytest.raises(ConflictError):
        store.pause(job.id)
    with pytest.raises(ConflictError):
        store.resume(job.id)


def test_a_paused_job_can_be_cancelled_in_every_state(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("work", {})
    store.pause(job.id)
    assert store.request_cancel(job.id).state == "cancelled"
    other = store.submit("work", {})
    assert claim(store) is not None
    store.pause(other.id)
    clock.advance(LEASE_S)
    assert store.pause(other.id).status == "paused", "its worker died: nothing has to be waited for"
    assert store.request_cancel(other.id).state == "cancelled"


def test_a_job_whose_worker_died_while_it_should_pause_is_paused_and_not_run(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("work", {})
    assert claim(store) is not None
    store.pause(job.id)
    clock.advance(LEASE_S)
    assert claim(store) is None
    assert store.get(job.id).status == "paused"


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_tries_wait_longer_each_time_whatever_the_clock_on_the_wall_says(
    store: JobStore, clock: ManualClock, step: float
) -> None:
    store.submit("work", {}, max_attempts=4)
    waited = []
    for _ in range(3):
        found = claim(store)
        assert found is not None
        store.release(found.id, found.token, "Killed.")
        clock.step(step)
        seconds = 0
        while claim(store, none=0) is None:
            clock.advance(1)
            seconds += 1
        waited.append(seconds)
        (running,) = store.list(state="running")
        store.release(running.id, running.token, "Stopped.", died=False)
    assert waited == [1, 5, 30]


def test_an_endpoint_that_asks_to_wait_is_waited_for(store: JobStore, home: Path, clock: ManualClock) -> None:
    job = store.submit("work", {}, max_attempts=2)

    def handler(context: JobContext) -> Mapping[str, Any]:
        raise RateLimitError("slow down", retry_after_s=40)

    found = claim(store)
    assert found is not None and execute(store, job.id, found.token, {"work": handler}, home / "jobs") == 0
    assert store.get(job.id).state == "queued"
    clock.advance(39)
    assert claim(store) is None
    clock.advance(1)
    found = claim(store)
    assert found is not None and execute(store, job.id, found.token, {"work": handler}, home / "jobs") == 0
    assert (store.get(job.id).state, store.get(job.id).error_code) == ("failed", "provider-rate-limit")


@pytest.mark.parametrize("error", [ProviderTimeoutError("late"), JobFailed("no")])
def test_only_what_passes_by_itself_is_tried_again(store: JobStore, home: Path, error: Exception) -> None:
    job = store.submit("work", {})

    def handler(context: JobContext) -> Mapping[str, Any]:
        raise error

    found = claim(store)
    assert found is not None and execute(store, job.id, found.token, {"work": handler}, home / "jobs") == 0
    assert store.get(job.id).state == ("queued" if isinstance(error, ProviderTimeoutError) else "failed")


def test_old_jobs_are_forgotten_but_not_what_is_still_needed(store: JobStore, clock: ManualClock) -> None:
    ended = []
    for _ in range(3):
        store.submit("work", {})
        found = claim(store)
        assert found is not None
        store.event(found.id, found.token, "hello")
        ended.append(store.finish(found.id, found.token, "succeeded").id)
    waiting = store.submit("work", {}, depends_on=[ended[0]], not_before=clock.now().wall + 10_000)
    clock.advance(100)
    assert store.prune(clock.now().wall - 200) == ()
    assert store.prune(clock.now().wall - 50, keep=[ended[1]]) == (ended[2],)
    assert {job.id for job in store.list()} == {ended[0], ended[1], waiting.id}
    with pytest.raises(NotFoundError):
        store.events(ended[2])


def test_what_a_job_took_is_kept_with_it(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("work", {})
    found = claim(store)
    assert found is not None
    clock.advance(3.5)
    assert store.finish(job.id, found.token, "succeeded").cost == {"seconds": 3.5}
