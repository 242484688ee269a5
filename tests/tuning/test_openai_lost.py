"""The method ``openai`` where an endpoint forgets, confirms nothing and lists late: nothing is paid twice, and no money is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from homeroom.errors import ConflictError, ProviderError
from homeroom.ledger.records import Budget
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.jobs import JobCancelled
from homeroom.tuning.openai.follow import Follower
from homeroom.tuning.openai.leave import AGAIN_S, delete_files, end_jobs
from homeroom.tuning.openai.purse import Purse
from homeroom.tuning.openai.state import RunState
from tests.doubles.tuning_server import KEY
from tests.tuning.test_openai import ABOUT, PACE, PRICE, RECIPE, Bench, Told, bench

__all__ = ["bench"]
COST = 0.015
PACE_AS_ASKED = replace(PACE, longest_s=60.0)


def lists_late(bench: Bench, times: int) -> None:
    """So many lists after the first job do not show it."""
    real, left = bench.double._listed, [times]

    def listed() -> Any:
        if bench.double.jobs and left[0] > 0:
            left[0] -= 1
            return []
        return real()

    bench.double._listed = listed  # type: ignore[method-assign]


def loses_the_first_answer(bench: Bench) -> None:
    """The first job is created, and its confirmation never comes."""
    real, lost = bench.double.take_fault, []

    def take(method: str, path: str) -> str:
        if (method, path) == ("POST", "/v1/fine_tuning/jobs") and bench.double.files and not lost:
            lost.append(path)
            bench.double.requests.append((method, path))
            return "lost"
        return real(method, path)

    bench.double.take_fault = take  # type: ignore[method-assign]


def given_up(bench: Bench, state: RunState, now: float = 0.0, *, looks: bool = False) -> ProviderError | None:
    """What a job that sees to a cancelled run does, at this time."""
    with closing(OpenAITuning("'school'", bench.double.address, KEY, timeout_s=5, max_retries=1, pause_s=0.01)) as service:
        find = Follower(service, "gpt-4.1-mini", state, bench.told, PACE).found if looks else None
        purse = Purse(bench.ledger, ABOUT, PRICE, counted=True)
        return end_jobs(service, state, purse, bench.told, wait_s=2, look_s=0.1, find=find, clock=lambda: 1000.0 + now)


def state_of(bench: Bench) -> RunState:
    state = RunState.read(bench.folder)
    assert state is not None
    return state


def stopped_at(bench: Bench, when: Callable[[], bool]) -> RunState:
    """A run that was told to stop, and what it has done; its job goes on there."""
    bench.cancelled = False
    bench.double.script = ("validating_files", *["running"] * 500)
    bench.told.stops = when
    with pytest.raises(JobCancelled):
        bench.run()
    bench.told.stops = lambda: False
    return state_of(bench)


@pytest.mark.parametrize("where", ["/jobs/ftjob-1", "/events"])
def test_one_404_ends_nothing(bench: Bench, where: str) -> None:
    bench.double.faults = [("GET", where, "404")]
    bench.run()
    assert [job["status"] for job in bench.double.paid] == ["succeeded"] and bench.money == {"spent": COST, "held": 0.0}


def test_an_endpoint_without_events_is_followed_by_its_jobs(bench: Bench) -> None:
    bench.double.faults = [("GET", "/events", "404")] * 100
    bench.run()
    assert len(bench.double.paid) == 1 and bench.money == {"spent": COST, "held": 0.0}


def test_a_job_that_is_only_in_the_list_is_followed_there(bench: Bench) -> None:
    bench.double.faults = [("GET", "/jobs/ftjob-1", "404")] * 3
    real, shown = bench.double._listed, []

    def listed() -> Any:
        shown.append(1)
        return real()

    bench.double._listed = listed  # type: ignore[method-assign]
    bench.run()
    assert shown and len(bench.double.paid) == 1 and bench.money == {"spent": COST, "held": 0.0}


def test_a_job_that_vanished_and_came_back_is_taken_up_and_paid_once(bench: Bench) -> None:
    gone = {"job": True}
    real = bench.double._jobs

    def jobs(method: str, parts: list[str], query: Any, body: bytes) -> Any:
        if gone["job"] and bench.double.jobs and method == "GET":
            return (200, {"object": "list", "data": [], "has_more": False}) if not parts else (404, {"error": {"message": "no"}})
        return real(method, parts, query, body)

    bench.double._jobs = jobs  # type: ignore[method-assign]
    with pytest.raises(ProviderError, match="may go on there and be charged"):
        bench.run()
    assert len(bench.double.paid) == 1 and bench.money["held"] > 0
    gone["job"] = False
    bench.run()
    assert [job["status"] for job in bench.double.paid] == ["succeeded"], "no second job"
    assert bench.money == {"spent": COST, "held": 0.0}, "the line that was held for it is the one that is settled"


def test_a_job_that_vanished_for_good_is_begun_anew_and_its_money_stays_held(bench: Bench) -> None:
    bench.double.after = lambda number, method, path: bench.double.jobs.clear() if path.endswith("/events") else None
    with pytest.raises(ProviderError):
        bench.run()
    held = bench.money["held"]
    bench.double.after = lambda number, method, path: None
    bench.run()
    assert held > 0 and bench.money == {"spent": COST, "held": held}


def test_of_two_jobs_that_a_late_list_made_the_other_one_is_ended_and_counted(bench: Bench) -> None:
    loses_the_first_answer(bench)
    lists_late(bench, PACE.looks)
    bench.run()
    first, second = bench.double.paid
    assert (first["status"], second["status"]) == ("cancelled", "succeeded")
    assert first["metadata"] == second["metadata"] and "listed it too late" in bench.told.text
    spent = bench.money["spent"]
    assert spent > COST and bench.money["held"] == 0.0, "both are in the ledger"
    assert bench.run().remote_id and len(bench.double.paid) == 2 and bench.money["spent"] == spent, "each is counted once"


def test_a_job_that_is_not_listed_is_looked_for_again_before_its_money_is_given_back(bench: Bench) -> None:
    loses_the_first_answer(bench)
    lists_late(bench, 1000)
    state = stopped_at(bench, lambda: bool(bench.double.paid))
    assert state.rungs[0].asked and not state.rungs[0].job
    failure = given_up(bench, state, looks=True)
    assert failure is not None and failure.code == "fine-tuning-unlisted"
    assert state_of(bench).unfinished and bench.money["held"] > 0
    del bench.double._listed  # now the list has it
    assert given_up(bench, state_of(bench), AGAIN_S + 1, looks=True) is None
    assert bench.double.paid[0]["status"] == "cancelled" and bench.money["held"] == 0.0


def test_a_cancellation_that_finds_no_job_is_tried_again_before_it_is_believed(bench: Bench) -> None:
    state = stopped_at(bench, lambda: bool(bench.double.paid) and bench.double.paid[0]["polls"] >= 2)
    bench.double.faults = [("POST", "/cancel", "404")]
    failure = given_up(bench, state)
    assert failure is not None and failure.code == "provider-timeout" and state_of(bench).unfinished, "it goes on there"
    assert given_up(bench, state_of(bench), 1.0) is None
    assert bench.double.paid[0]["status"] == "cancelled" and bench.money["held"] == 0.0
    again = stopped_at(bench, lambda: len(bench.double.paid) == 2 and bench.double.paid[1]["polls"] >= 2)
    bench.double.jobs.clear()
    failure = given_up(bench, again)
    assert failure is not None and failure.code == "fine-tuning-unlisted" and state_of(bench).unfinished
    assert given_up(bench, state_of(bench), AGAIN_S + 1) is None
    assert not state_of(bench).unfinished and bench.money["held"] > 0, "what it cost, nobody knows"


def test_what_was_held_for_jobs_that_nobody_asked_for_is_given_back(bench: Bench) -> None:
    recipe = RECIPE.model_copy(update={"subsets": (10, 20)})
    bench.double.script = ("validating_files", *["running"] * 500)

    class Killed(BaseException):
        """As a process that ends without a word."""

    def polled(number: int, method: str, path: str) -> None:
        if path.endswith("/events"):
            bench.told.stops = killed

    def killed() -> bool:
        raise Killed

    bench.double.after = polled
    with pytest.raises(Killed):
        bench.run(recipe)
    assert len(bench.ledger.held()) == 3 and state_of(bench).unsettled
    bench.ledger.hold(ABOUT, 0.01)  # of this run as well, and not noted before it died
    bench.told = Told()
    assert given_up(bench, state_of(bench)) is None
    assert bench.ledger.held() == () and not state_of(bench).unsettled


def test_a_line_that_a_person_settled_holds_nothing_for_the_next_attempt(bench: Bench) -> None:
    bench.double.faults = [("POST", "/v1/files", "401")]

    class Killed(BaseException):
        """As a process that ends without a word."""

    def dies(number: int, method: str, path: str) -> None:
        bench.told.stops = killed

    def killed() -> bool:
        raise Killed

    bench.double.faults = [("POST", "/v1/files", "500")] * 9
    bench.double.before = lambda number, method, path: dies(number, method, path) if "/files" in path else None
    with pytest.raises(Killed):
        bench.run()
    bench.double.faults, bench.double.before, bench.told = [], lambda number, method, path: None, Told()
    (line,) = bench.ledger.held()
    bench.ledger.resolve(line.id, 0.0, "was not charged")
    bench.ledger.set_budget(Budget(0.001))
    with pytest.raises(ConflictError, match=r"0\.00"):
        bench.run()
    assert bench.double.paid == []
    bench.ledger.set_budget(Budget(5.0))
    bench.run()
    assert bench.money == {"spent": COST, "held": 0.0}


class Killed(BaseException):
    """As a process that ends without a word."""


def uploads(bench: Bench) -> list[str]:
    return [name for name, file in bench.double.files.items() if file["purpose"] == "fine-tune"]


def removed(bench: Bench, state: RunState, now: float = 0.0) -> tuple[int, ProviderError | None]:
    """What a job that deletes a run's files does, so many seconds later."""
    with closing(OpenAITuning("'school'", bench.double.address, KEY, timeout_s=5, max_retries=1, pause_s=0.01)) as service:
        return delete_files(service, state, "school", bench.told, clock=lambda: time.time() + now)


def test_a_kill_between_an_upload_and_its_confirmation_leaves_a_name_to_look_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def dies(*args: object) -> str:
            bench_send(*args)
            raise Killed

        bench_send = OpenAITuning.send_file
        patched.setattr(OpenAITuning, "send_file", dies)
        with pytest.raises(Killed):
            bench.run()
    state = state_of(bench)
    assert (state.files, state.perhaps, len(uploads(bench))) == ([], 1, 1)
    assert removed(bench, state) == (1, None)
    assert uploads(bench) == [] and state_of(bench).perhaps == 0
    bench.run(RECIPE.model_copy(update={"delete_files": True}))
    assert uploads(bench) == [] and len(bench.double.paid) == 1


def test_a_copy_that_did_not_arrive_whole_is_deleted_with_the_others(bench: Bench) -> None:
    def spoil(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/files") and len(bench.double.files) == 1:
            next(iter(bench.double.files.values()))["bytes"] = 7

    bench.double.faults, bench.double.after = [("POST", "/files", "lost")], spoil
    bench.run(RECIPE.model_copy(update={"delete_files": True}))
    sent = [path for method, path in bench.double.requests if (method, path) == ("POST", "/v1/files")]
    assert len(sent) == 3 and uploads(bench) == [] and not state_of(bench).uploads


def test_a_file_that_is_listed_late_is_looked_for_again_before_it_is_taken_for_gone(bench: Bench) -> None:
    state = RunState.open(bench.folder, "homeroom-job-1", [])
    state.uploading("homeroom-job-1-30.jsonl")
    deleted, failure = removed(bench, state)
    assert deleted == 0 and failure is not None and failure.code == "fine-tuning-unlisted" and state_of(bench).perhaps == 1
    assert removed(bench, state_of(bench), AGAIN_S + 1) == (0, None) and state_of(bench).perhaps == 0


def test_a_file_that_was_refused_lies_nowhere(bench: Bench) -> None:
    bench.double.faults = [("POST", "/v1/files", "403")]
    with pytest.raises(ProviderError):
        bench.run()
    assert state_of(bench).uploads == []


def test_more_steps_than_there_are_cost_no_more_than_all(bench: Bench) -> None:
    bench.double.tells_tokens = False
    bench.double.script = ("validating_files", *["running"] * 500)
    bench.told.stops = lambda: bool(bench.double.paid) and bench.double.paid[0]["polls"] >= 8
    with pytest.raises(JobCancelled):
        bench.run()
    most = state_of(bench).rungs[0].most_tokens * (PRICE.training or 0) / 1e6
    assert state_of(bench).rungs[0].done <= 1.0 and bench.money["spent"] <= most + 1e-9


def test_a_success_without_a_model_is_paid_at_once_and_only_once(bench: Bench) -> None:
    bench.double.ending = lambda job: job.update(fine_tuned_model=None)
    for _ in range(2):
        with pytest.raises(ProviderError, match="names no model"):
            bench.run()
        assert bench.money == {"spent": COST, "held": 0.0} and len(bench.double.paid) == 1
    bench.double.jobs["ftjob-1"]["fine_tuned_model"] = "ft:late"
    assert bench.run().remote_id == "school/ft:late" and bench.money == {"spent": COST, "held": 0.0}


@pytest.mark.parametrize("wait", ["1", "20"])
def test_a_long_wait_that_an_endpoint_asks_for_is_ended_by_a_cancellation(bench: Bench, wait: str) -> None:
    """A short one is waited for by whoever sends the request; a long one by who can be told to stop meanwhile."""
    state = stopped_at(bench, lambda: bool(bench.double.jobs))
    bench.double.faults = [("GET", "/jobs/ftjob-1", f"429 {wait}")]
    before = len(bench.double.requests)
    bench.told.stops = lambda: len(bench.double.requests) > before
    with closing(OpenAITuning("'school'", bench.double.address, KEY, timeout_s=90)) as service:
        follower = Follower(service, "gpt-4.1-mini", state, bench.told, PACE_AS_ASKED)
        if wait == "1":
            assert follower.asked(lambda: service.job("ftjob-1"))["id"] == "ftjob-1"
        else:
            with pytest.raises(JobCancelled):
                follower.asked(lambda: service.job("ftjob-1"))
    assert len(bench.double.requests) == before + (2 if wait == "1" else 1)
    assert bench.double.faults == [], "it was told to wait"
