"""The job table against a model of it: any order of calls by two workers, dying workers and a person."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from homeroom.errors import ConflictError
from homeroom.jobs import JobStore, LeaseLost, ManualClock
from homeroom.jobs.queue import back_off
from homeroom.storage import Database

LEASE_S = 8.0
MAX_ATTEMPTS = 2


@dataclass
class Expected:
    """What a job should look like.

    ``claim`` numbers its claims; ``ends`` is when its lease is over, ``ready`` when it may be tried again after one that died.
    """

    state: str = "queued"
    attempts: int = 0
    deaths: int = 0
    mark: int = 0
    claim: int = 0
    ends: float = 0.0
    cancel: bool = False
    paused: bool = False
    pause: bool = False
    ready: float = 0.0
    priority: int = 0
    resource: str = ""
    needs: str = ""
    progress: float = 0.0
    events: int = 0


class JobTable(RuleBasedStateMachine):
    """Rules are the calls; a claim is remembered with its token and may be used at any later time, rightly or not."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.database = Database.for_home(self.folder)
        self.database.migrate()
        self.clock = ManualClock()
        self.store = JobStore(self.database, clock=self.clock)
        self.expected: dict[str, Expected] = {}

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    def abandoned(self, job: Expected) -> bool:
        return job.state == "running" and self.clock.now().elapsed >= job.ends

    def over(self, job: Expected, state: str) -> None:
        job.state, job.events, job.paused, job.pause = state, job.events + 1, False, False

    def put_aside(self, job: Expected) -> None:
        job.state, job.events, job.paused, job.pause, job.ready = "queued", job.events + 1, True, False, 0.0

    def give_up_or_go_on(self, job: Expected, died: bool = True) -> bool:
        job.deaths += died
        if job.cancel:
            self.over(job, "cancelled")
        elif job.deaths >= MAX_ATTEMPTS:
            self.over(job, "failed")
        elif job.pause:
            self.put_aside(job)
        return job.state not in ("cancelled", "failed") and not job.paused

    def next_queued(self) -> str | None:
        """By priority and age; one whose dependency did not succeed is failed in its turn."""
        busy = any(j.state == "running" and j.resource == "cpu" and not self.abandoned(j) for j in self.expected.values())
        order = sorted(self.expected.items(), key=lambda item: -item[1].priority)  # stable: by age among equals
        for job_id, job in order:
            if job.state != "queued" or job.paused or self.clock.now().elapsed < job.ready:
                continue
            needed = self.expected[job.needs].state if job.needs else "succeeded"
            if needed in ("failed", "cancelled"):
                self.over(job, "failed")
                return None
            if needed == "succeeded" and not (busy and job.resource == "cpu"):
                return job_id
        return None

    @rule(target=jobs, priority=st.integers(0, 1), resource=st.sampled_from(["", "cpu"]))
    def submit(self, priority: int, resource: str) -> str:
        job = self.store.submit("work", {}, max_attempts=MAX_ATTEMPTS, priority=priority, resource=resource)
        self.expected[job.id] = Expected(priority=priority, resource=resource)
        return job.id

    @rule(target=jobs, needed=jobs)
    def submit_after(self, needed: str) -> str:
        job = self.store.submit("work", {}, max_attempts=MAX_ATTEMPTS, depends_on=[needed])
        self.expected[job.id] = Expected(needs=needed)
        return job.id

    @rule(seconds=st.sampled_from([1.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-86400.0, 86400.0]))
    def clock_is_set(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule(target=claims)
    def claim(self) -> tuple[str, int, int]:
        job = self.store.claim("worker", LEASE_S, slots={"cpu": 1})
        wanted = None
        for job_id, state in self.expected.items():
            if self.abandoned(state) and self.give_up_or_go_on(state):
                state.events += 1  # that the last attempt died
                wanted = job_id
                break
        if wanted is None:
            wanted = self.next_queued()
        assert (job.id if job else None) == wanted
        if job is None:
            return "", 0, 0
        state = self.expected[job.id]
        state.state, state.attempts, state.claim = "running", state.attempts + 1, state.claim + 1
        state.ends = self.clock.now().elapsed + LEASE_S
        return job.id, job.token, state.claim

    def holds(self, claim: tuple[str, int, int]) -> Expected | None:
        state = self.expected.get(claim[0])
        return state if state is not None and state.state == "running" and state.claim == claim[2] else None

    @rule(claim=claims)
    def heartbeat(self, claim: tuple[str, int, int]) -> None:
        state = self.holds(claim)
        try:
            job = self.store.heartbeat(claim[0], claim[1], LEASE_S)
        except LeaseLost:
            assert state is None
        else:
            assert state is not None and job.cancel_requested == state.cancel
            state.ends = self.clock.now().elapsed + LEASE_S

    @rule(claim=claims, fraction=st.floats(0, 1))
    def report(self, claim: tuple[str, int, int], fraction: float) -> None:
        state = self.holds(claim)
        try:
            self.store.progress(claim[0], claim[1], fraction, "")
            seq = self.store.event(claim[0], claim[1], "hello")
        except LeaseLost:
            assert state is None
        else:
            assert state is not None
            state.progress, state.events = fraction, state.events + 1
            assert seq == state.events

    @rule(claim=claims, mark=st.integers(1, 3))
    def saved(self, claim: tuple[str, int, int], mark: int) -> None:
        state = self.holds(claim)
        try:
            self.store.saved(claim[0], claim[1], mark)
        except LeaseLost:
            assert state is None
        else:
            assert state is not None
            if mark > state.mark:
                state.mark, state.deaths = mark, 0

    @rule(claim=claims, outcome=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def finish(self, claim: tuple[str, int, int], outcome: str) -> None:
        state = self.holds(claim)
        try:
            self.store.finish(claim[0], claim[1], outcome, {}, "error")  # type: ignore[arg-type]
        except LeaseLost:
            assert state is None
        else:
            assert state is not None
            self.over(state, outcome)
            state.progress = 1.0 if outcome == "succeeded" else state.progress
            state.events -= outcome == "succeeded"

    @rule(claim=claims)
    def stopped(self, claim: tuple[str, int, int]) -> None:
        state = self.holds(claim)
        try:
            self.store.stopped(claim[0], claim[1])
        except LeaseLost:
            assert state is None
        else:
            assert state is not None
            if state.pause and not state.cancel:
                self.put_aside(state)
            else:
                self.over(state, "cancelled")

    @rule(claim=claims, died=st.booleans())
    def release(self, claim: tuple[str, int, int], died: bool) -> None:
        state = self.holds(claim)
        try:
            self.store.release(claim[0], claim[1], "why", died=died)
        except LeaseLost:
            assert state is None
        else:
            assert state is not None
            if self.give_up_or_go_on(state, died):
                state.state, state.events = "queued", state.events + 1
                state.ready = self.clock.now().elapsed + (back_off(state.deaths) if died else 0.0)

    @rule(job_id=jobs)
    def pause(self, job_id: str) -> None:
        state = self.expected[job_id]
        final = state.state in ("succeeded", "failed", "cancelled")
        try:
            self.store.pause(job_id)
        except ConflictError:
            assert final or state.cancel
        else:
            assert not final and not state.cancel
            if state.state == "running" and not self.abandoned(state):
                state.events += not state.pause
                state.pause = True
            elif not state.paused:
                self.put_aside(state)

    @rule(job_id=jobs)
    def resume(self, job_id: str) -> None:
        state = self.expected[job_id]
        final = state.state in ("succeeded", "failed", "cancelled")
        try:
            self.store.resume(job_id)
        except ConflictError:
            assert final
        else:
            assert not final
            state.events += state.paused or state.pause
            state.paused = state.pause = False

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        state = self.expected[job_id]
        try:
            self.store.request_cancel(job_id)
        except ConflictError:
            assert state.state in ("succeeded", "failed")
        else:
            assert state.state not in ("succeeded", "failed")
            if state.state == "queued" or self.abandoned(state):
                self.over(state, "cancelled")
            elif state.state == "running" and not state.cancel:
                state.cancel, state.events = True, state.events + 1

    @invariant()
    def table_is_as_expected(self) -> None:
        for job in self.store.list(limit=1000):
            state = self.expected[job.id]
            assert (job.state, job.attempts, job.progress) == (state.state, state.attempts, state.progress)
            assert (job.paused, job.pause_requested) == (state.paused, state.pause)
            assert (job.deaths, job.kept) == (state.deaths, {"": state.mark} if state.mark else {})
            assert job.deaths <= MAX_ATTEMPTS
            assert job.done == (job.finished_at is not None)
            assert [event.seq for event in self.store.events(job.id)] == list(range(1, state.events + 1))


JobTable.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
TestJobTable = JobTable.TestCase
