"""The job table: queue, lease, token, retries, cancellation, events."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest

from homeroom.errors import ConflictError, NotFoundError
from homeroom.jobs import JobStore, LeaseLost, ManualClock
from homeroom.schema.jobs import Job
from homeroom.storage import Database, Scope

LEASE_S = 8.0


def claimed(store: JobStore, **submitted: object) -> Job:
    store.submit("work", {}, **submitted)  # type: ignore[arg-type]
    job = store.claim("worker", LEASE_S)
    assert job is not None
    return job


def messages(store: JobStore, job: Job) -> list[str]:
    return [event.message for event in store.events(job.id)]


def test_submitted_job_waits_and_comes_back_whole(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("tune", {"recipe": {"rank": 16}, "pair": (1, 2)}, max_attempts=2)
    assert job == store.get(job.id)
    assert (job.kind, job.state, job.payload) == ("tune", "queued", {"recipe": {"rank": 16}, "pair": [1, 2]})
    assert (job.attempts, job.max_attempts, job.progress, job.created_at) == (0, 2, 0.0, clock.now().wall)
    assert not job.done


def test_payload_must_be_plain_data(store: JobStore) -> None:
    with pytest.raises(TypeError):
        store.submit("tune", {"bad": object()})
    with pytest.raises(ValueError, match="max_attempts"):
        store.submit("tune", {}, max_attempts=0)
    assert store.list() == ()


def test_unknown_job_is_named(store: JobStore) -> None:
    for call in (store.get, store.events, store.request_cancel):
        with pytest.raises(NotFoundError, match=r"'job-none'.*homeroom jobs list") as caught:
            call("job-none")
        assert caught.value.code == "job-not-found"


def test_same_key_gives_the_same_job(store: JobStore) -> None:
    first = store.submit("tune", {"a": (1,)}, idempotency_key="k")
    assert store.submit("tune", {"a": [1]}, idempotency_key="k") == first
    assert store.submit("tune", {"a": [1]}, idempotency_key="other").id != first.id
    assert store.submit("tune", {"a": [1]}).id != first.id
    for kind, payload in (("tune", {"a": 2}), ("evaluate", {"a": [1]})):
        with pytest.raises(ConflictError, match=first.id) as caught:
            store.submit(kind, payload, idempotency_key="k")
        assert caught.value.code == "idempotency-key-reused"


def test_list_is_newest_first_and_filters(store: JobStore) -> None:
    first, second, third = (store.submit(kind, {}) for kind in ("a", "b", "a"))
    store.request_cancel(first.id)
    assert [job.id for job in store.list()] == [third.id, second.id, first.id]
    assert [job.id for job in store.list(kind="a")] == [third.id, first.id]
    assert [job.id for job in store.list(state="queued", kind="a")] == [third.id]
    assert [job.id for job in store.list(limit=1)] == [third.id]


def test_jobs_are_claimed_in_order_once(store: JobStore, clock: ManualClock) -> None:
    first, second = store.submit("a", {}), store.submit("b", {})
    job = store.claim("w1", LEASE_S)
    assert job is not None
    assert (job.id, job.state, job.attempts, job.token, job.started_at) == (first.id, "running", 1, 1, clock.now().wall)
    other = store.claim("w2", LEASE_S)
    assert other is not None and other.id == second.id
    assert store.claim("w3", LEASE_S) is None


def test_one_job_can_be_asked_for(store: JobStore) -> None:
    store.submit("a", {})
    wanted = store.submit("b", {})
    job = store.claim("w", LEASE_S, wanted.id)
    assert job is not None and job.id == wanted.id
    assert store.claim("w", LEASE_S, wanted.id) is None
    assert store.claim("w", LEASE_S, "job-none") is None


@pytest.mark.parametrize("lease_s", [0.0, -1.0, 3601.0, math.nan])
def test_leases_have_bounds(store: JobStore, lease_s: float) -> None:
    with pytest.raises(ValueError, match="lease"):
        store.claim("w", lease_s)


def test_abandoned_job_is_claimed_again_exactly_when_its_lease_is_over(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store)
    store.submit("work", {})
    clock.advance(LEASE_S - 0.001)
    later = store.claim("w2", LEASE_S)
    assert later is not None and later.id != job.id
    clock.advance(0.001)
    again = store.claim("w3", LEASE_S)
    assert again is not None
    assert (again.id, again.attempts, again.token) == (job.id, 2, job.token + 1)
    assert messages(store, job) == ["Attempt 2: the last one died."]


def test_heartbeat_prolongs_the_lease(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store)
    for _ in range(5):
        clock.advance(LEASE_S - 1)
        assert store.heartbeat(job.id, job.token, LEASE_S).state == "running"
    clock.advance(LEASE_S - 1)
    assert store.claim("w2", LEASE_S) is None
    clock.advance(1)
    assert store.claim("w2", LEASE_S) is not None


@pytest.mark.parametrize("step_s", [86400.0, -86400.0])
def test_setting_the_clock_by_a_day_frees_no_job_and_keeps_none(store: JobStore, clock: ManualClock, step_s: float) -> None:
    job = claimed(store)
    clock.step(step_s)
    assert store.claim("w2", LEASE_S) is None
    clock.advance(LEASE_S)
    again = store.claim("w2", LEASE_S)
    assert again is not None and again.id == job.id


@pytest.mark.parametrize("down_s", [60.0, -86400.0])
def test_after_a_restart_of_the_machine_jobs_are_free(store: JobStore, clock: ManualClock, down_s: float) -> None:
    claimed(store)
    clock.restart(down_s)
    assert store.claim("w2", LEASE_S) is not None


def test_old_token_can_change_nothing(store: JobStore, clock: ManualClock) -> None:
    old = claimed(store)
    clock.advance(LEASE_S)
    new = store.claim("w2", LEASE_S)
    assert new is not None
    before, said = store.get(old.id), messages(store, old)
    attempts: list[Callable[[], object]] = [
        lambda: store.heartbeat(old.id, old.token, LEASE_S),
        lambda: store.held(old.id, old.token),
        lambda: store.progress(old.id, old.token, 0.5, "half"),
        lambda: store.event(old.id, old.token, "hello"),
        lambda: store.finish(old.id, old.token, "succeeded", {}),
        lambda: store.release(old.id, old.token, "died"),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost, match=old.id) as caught:
            attempt()
        assert caught.value.code == "lease-lost"
    assert (store.get(old.id), messages(store, old)) == (before, said)
    assert store.finish(new.id, new.token, "succeeded", {"ok": True}).result == {"ok": True}


def test_final_is_final(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store)
    done = store.finish(job.id, job.token, "succeeded", {"loss": math.nan, "n": 1})
    assert (done.state, done.result, done.progress, done.done) == ("succeeded", {"loss": None, "n": 1}, 1.0, True)
    assert done.finished_at == clock.now().wall
    clock.advance(10 * LEASE_S)
    assert store.claim("w2", LEASE_S) is None
    with pytest.raises(LeaseLost):
        store.finish(job.id, job.token, "failed")


def test_only_final_states_finish(store: JobStore) -> None:
    job = claimed(store)
    with pytest.raises(ValueError, match="'queued' is no final state"):
        store.finish(job.id, job.token, "queued")


def test_failure_keeps_message_and_code(store: JobStore) -> None:
    job = claimed(store)
    failed = store.finish(job.id, job.token, "failed", None, "The file 'x' is empty.", error_code="data")
    assert (failed.state, failed.error, failed.error_code, failed.result) == ("failed", "The file 'x' is empty.", "data", None)
    (event,) = store.events(job.id)
    assert (event.level, event.message) == ("error", "The file 'x' is empty.")


def test_job_that_always_dies_fails_after_its_attempts(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store, max_attempts=2)
    clock.advance(LEASE_S)
    assert store.claim("w", LEASE_S) is not None
    clock.advance(LEASE_S)
    assert store.claim("w", LEASE_S) is None
    failed = store.get(job.id)
    assert (failed.state, failed.attempts, failed.error_code) == ("failed", 2, "job-process-died")


def test_released_job_is_queued_again_with_its_reason(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store, max_attempts=2)
    released = store.release(job.id, job.token, "Killed.")
    assert (released.state, released.attempts) == ("queued", 1)
    with pytest.raises(LeaseLost):
        store.progress(job.id, job.token, 1.0, "")
    assert store.claim("w", LEASE_S) is None, "after one that died it waits a moment"
    clock.advance(1.0)
    again = store.claim("w", LEASE_S)
    assert again is not None and again.attempts == 2
    failed = store.release(again.id, again.token, "Killed again.")
    assert (failed.state, failed.error_code) == ("failed", "job-process-died")
    assert failed.error.endswith("Killed again.")


def test_stopping_the_worker_is_no_fault_of_the_job(store: JobStore) -> None:
    job = claimed(store, max_attempts=1)
    for start in (2, 3, 4):
        assert store.release(job.id, job.token, "Stopped.", died=False).state == "queued"
        again = store.claim("w", LEASE_S)
        assert again is not None and (again.attempts, again.deaths) == (start, 0)
        job = again


def die(store: JobStore, clock: ManualClock, how: str, job: Job) -> Job | None:
    """The job after its process, or its worker, has died: as it is claimed again; None when it was given up."""
    if how == "worker":
        clock.advance(LEASE_S)
    else:
        store.release(job.id, job.token, "Killed.")
        clock.advance(120.0)
    return store.claim("w", LEASE_S)


@pytest.mark.parametrize("how", ["worker", "process"])
def test_deaths_with_something_new_kept_in_between_never_end_a_job(store: JobStore, clock: ManualClock, how: str) -> None:
    job = claimed(store, max_attempts=2)
    for step in range(1, 9):
        store.saved(job.id, job.token, step)
        again = die(store, clock, how, job)
        assert again is not None and (again.attempts, again.deaths, again.kept) == (step + 1, 1, {"": step})
        job = again
    assert die(store, clock, how, job) is None
    failed = store.get(job.id)
    assert (failed.state, failed.error_code, failed.attempts, failed.deaths) == ("failed", "job-process-died", 9, 2)


def test_what_was_kept_before_is_nothing_new(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store, max_attempts=2)
    store.saved(job.id, job.token, 20)
    again = die(store, clock, "process", job)
    assert again is not None
    store.saved(job.id, again.token, 10)  # it went on from an older checkpoint and comes to where it died before
    store.saved(job.id, again.token, 20)
    assert (store.get(job.id).deaths, store.get(job.id).kept) == (1, {"": 20})
    assert die(store, clock, "process", again) is None
    assert store.get(job.id).state == "failed"


def test_each_part_of_the_work_has_a_mark_of_its_own(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store, max_attempts=2)
    store.saved(job.id, job.token, 90, "run-000")
    again = die(store, clock, "process", job)
    assert again is not None
    store.saved(job.id, again.token, 10, "run-001")
    assert (store.get(job.id).deaths, store.get(job.id).kept) == (0, {"run-000": 90, "run-001": 10})


def test_whoever_lost_the_job_cannot_say_that_it_kept_something(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store, max_attempts=3)
    again = die(store, clock, "worker", job)
    assert again is not None
    with pytest.raises(LeaseLost):
        store.saved(job.id, job.token, 1)
    assert (store.get(job.id).deaths, store.get(job.id).kept) == (1, {})


def test_queued_job_is_cancelled_at_once(store: JobStore) -> None:
    job = store.submit("work", {})
    cancelled = store.request_cancel(job.id)
    assert (cancelled.state, cancelled.done) == ("cancelled", True)
    assert store.request_cancel(job.id) == cancelled
    assert store.claim("w", LEASE_S) is None


def test_running_job_learns_that_it_is_to_stop(store: JobStore) -> None:
    job = claimed(store)
    for _ in range(2):
        asked = store.request_cancel(job.id)
        assert (asked.state, asked.cancel_requested) == ("running", True)
    assert store.heartbeat(job.id, job.token, LEASE_S).cancel_requested
    assert store.finish(job.id, job.token, "cancelled").state == "cancelled"
    assert messages(store, job) == ["Cancellation was asked for.", "It was cancelled."]


def test_job_to_be_cancelled_that_dies_is_cancelled_not_retried(store: JobStore, clock: ManualClock) -> None:
    released, abandoned = claimed(store), claimed(store)
    for job in (released, abandoned):
        store.request_cancel(job.id)
    assert store.release(released.id, released.token, "Killed.").state == "cancelled"
    clock.advance(LEASE_S)
    assert store.claim("w", LEASE_S) is None
    assert store.get(abandoned.id).state == "cancelled"


def test_abandoned_job_is_cancelled_at_once_and_its_worker_shut_out(store: JobStore, clock: ManualClock) -> None:
    job = claimed(store)
    clock.advance(LEASE_S)
    assert store.request_cancel(job.id).state == "cancelled"
    with pytest.raises(LeaseLost):
        store.finish(job.id, job.token, "succeeded", {})


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_finished_job_cannot_be_cancelled(store: JobStore, state: str) -> None:
    job = claimed(store)
    store.finish(job.id, job.token, state)  # type: ignore[arg-type]
    with pytest.raises(ConflictError, match=f"has already {state}") as caught:
        store.request_cancel(job.id)
    assert caught.value.code == "job-finished"


def test_progress_is_kept_within_bounds(store: JobStore) -> None:
    job = claimed(store)
    for fraction, kept in ((0.25, 0.25), (-1.0, 0.0), (7.0, 1.0)):
        store.progress(job.id, job.token, fraction, f"at {fraction}")
        assert (store.get(job.id).progress, store.get(job.id).message) == (kept, f"at {fraction}")


def test_events_are_numbered_and_can_be_polled(store: JobStore, clock: ManualClock) -> None:
    job, other = claimed(store), claimed(store)
    numbers = [store.event(job.id, job.token, f"step {n}", type="metrics", data={"loss": 1 / n}) for n in (1, 2, 3)]
    assert store.event(other.id, other.token, "hello", level="warning") == 1
    assert numbers == [1, 2, 3]
    first = store.events(job.id)[0]
    assert (first.job_id, first.seq, first.type, first.level, first.data) == (job.id, 1, "metrics", "info", {"loss": 1.0})
    assert first.created_at == clock.now().wall
    assert [event.seq for event in store.events(job.id, after=1)] == [2, 3]
    assert [event.seq for event in store.events(job.id, limit=2)] == [1, 2]
    assert store.events(job.id, after=3) == ()


def test_numbers_that_json_lacks_become_null(store: JobStore) -> None:
    job = claimed(store)
    store.event(job.id, job.token, "", data={"loss": math.inf, "parts": [math.nan, {"x": -math.inf}], "n": 1})
    assert store.events(job.id)[0].data == {"loss": None, "parts": [None, {"x": None}], "n": 1}


def test_others_neither_see_nor_cancel_a_job_but_a_worker_runs_it(database: Database, store: JobStore) -> None:
    job = store.submit("work", {}, idempotency_key="k")
    other = JobStore(database, scope=Scope("school-b"))
    assert other.list() == ()
    for call in (other.get, other.events, other.request_cancel):
        with pytest.raises(NotFoundError):
            call(job.id)
    theirs = other.submit("work", {"other": True}, idempotency_key="k")
    assert theirs.id != job.id
    claims = [other.claim("w", LEASE_S), other.claim("w", LEASE_S)]
    assert [claim and claim.id for claim in claims] == [job.id, theirs.id]
    store.event(theirs.id, 1, "said by a worker of the first school")
    assert [event.seq for event in other.events(theirs.id)] == [1]


def test_many_workers_never_get_the_same_job(live_store: JobStore) -> None:
    ids = {live_store.submit("work", {"n": n}).id for n in range(24)}
    got: list[str] = []

    def work() -> None:
        while (job := live_store.claim("w", 60.0)) is not None:
            got.append(job.id)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 24 and set(got) == ids


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_is_asked_for_again_starts_anew_as_the_same_job(store: JobStore, clock: ManualClock, state: str) -> None:
    job = claimed(store, max_attempts=3)
    store.saved(job.id, job.token, 1)
    died = die(store, clock, "worker", job)
    assert died is not None
    job = died
    store.event(job.id, job.token, "step 1")
    store.finish(job.id, job.token, state, None, "no space", error_code="no-space")  # type: ignore[arg-type]
    later = store.submit("work", {})
    again = store.retry(job.id)
    assert (again.id, again.state, again.attempts, again.error, again.error_code) == (job.id, "queued", 2, "", "")
    assert (again.deaths, again.kept) == (0, {})
    assert (again.finished_at, again.cancel_requested) == (None, False)
    assert messages(store, job)[1] == "step 1" and "asked for again" in messages(store, job)[-1]
    assert store.retry(job.id) == again  # whoever asks second finds it queued
    first = store.claim("worker", LEASE_S)
    assert first is not None and first.id == later.id  # it does not push in
    second = store.claim("worker", LEASE_S)
    assert second is not None and second.id == job.id and second.token > job.token
    with pytest.raises(LeaseLost):
        store.finish(job.id, job.token, "succeeded")


def test_a_job_that_is_not_over_or_went_well_stays_as_it_is(store: JobStore) -> None:
    job = claimed(store)
    assert store.retry(job.id) == job
    store.finish(job.id, job.token, "succeeded", {"n": 1})
    assert store.retry(job.id).result == {"n": 1}
    with pytest.raises(NotFoundError):
        store.retry("job-none")


def test_others_cannot_ask_for_a_job_again(database: Database, store: JobStore) -> None:
    job = claimed(store)
    store.finish(job.id, job.token, "failed", None, "x")
    with pytest.raises(NotFoundError):
        JobStore(database, scope=Scope("local", "another")).retry(job.id)


def test_the_job_of_a_worker_that_is_known_to_be_dead_is_free_at_once(store: JobStore) -> None:
    job = claimed(store)
    assert store.claim("other", LEASE_S, is_dead=lambda worker: worker != "worker") is None
    again = store.claim("other", LEASE_S, is_dead=lambda worker: worker == "worker")
    assert again is not None and (again.id, again.attempts) == (job.id, 2)
    with pytest.raises(LeaseLost):
        store.heartbeat(job.id, job.token, LEASE_S)
