"""``homeroom tune resume``: which tuning it goes on with, what it asks before, and what it says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.cli.plans import memory_of, money_of
from homeroom.cli.progress import worth_seeing
from homeroom.schema.jobs import OUTCOME, JobEvent
from homeroom.schema.tuning import Plan

RUN = ("tune", "run", "--dataset", "small-course", "--task", "tutor", "--no-wait", "--json")


@pytest.fixture
def far(home: Path, homeroom, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that costs money, and a dataset."""
    monkeypatch.setenv("FAR_API_KEY", "sk-far")
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(
        "endpoints: [{name: far, base_url: 'https://far.invalid/v1', models: [gpt-4.1-mini], api_key_env: FAR_API_KEY}]\n"
    )
    assert homeroom("data", "split", course).code == 0


def submitted(homeroom, *more: str | Path) -> str:
    told = homeroom(*RUN, *more, "--yes")
    assert told.code == 0, told.err
    return str(told.json[0]["id"])


def test_it_goes_on_with_what_stopped_last_and_says_which_and_how(far, homeroom, recipe):
    first, second = submitted(homeroom, "--recipe", recipe), submitted(homeroom, "--recipe", recipe, "--again")
    assert homeroom("jobs", "cancel", second).code == 0
    assert homeroom("jobs", "cancel", first).code == 0
    told = homeroom("tune", "resume", "--no-wait")
    assert told.code == 0 and f"job {first}: cancelled" in told.err and f"jobs follow {first}" in told.out
    assert homeroom("jobs", "show", first, "--json").json["state"] == "queued"
    assert homeroom("jobs", "show", second, "--json").json["state"] == "cancelled", "the other one is left alone"
    assert homeroom("jobs", "pause", first).code == 0
    told = homeroom("tune", "resume", first, "--no-wait")
    assert f"job {first}: paused" in told.err and not homeroom("jobs", "show", first, "--json").json["paused"]


@pytest.mark.parametrize("method", [(), ("--method", "openai"), ("--method", "dspy")])
def test_going_on_at_an_endpoint_is_asked_for_unless_it_only_waited(far, homeroom, method):
    if "dspy" in method:
        pytest.importorskip("dspy")
    job = submitted(homeroom, "--base", "far/gpt-4.1-mini", *method)
    assert homeroom("jobs", "pause", job).code == 0
    assert homeroom("tune", "resume", "--no-wait", "--json").json["id"] == job, "it was agreed to, and had not begun"
    assert homeroom("jobs", "cancel", job).code == 0
    refused = homeroom("tune", "resume", "--no-wait", "--json")
    assert refused.code == 2 and refused.json["error"]["code"] == "needs-yes"
    assert homeroom("tune", "resume", "--no-wait", typed="n\n").code == 130
    assert homeroom("jobs", "show", job, "--json").json["state"] == "cancelled"
    assert homeroom("tune", "resume", job, "--no-wait", "--yes", "--json").json["state"] == "queued"


def test_where_there_is_nothing_to_go_on_with_it_says_what_to_do(homeroom):
    told = homeroom("tune", "resume")
    assert told.code == 2 and "#nothing-to-resume" in told.error and "homeroom tune run" in told.error
    assert "#job-not-found" in homeroom("tune", "resume", "job-nobody").error


@pytest.mark.slow  # a training
def test_a_paused_run_is_finished_and_has_nothing_left_to_do(far, homeroom, recipe):
    job = submitted(homeroom, "--recipe", recipe)
    assert homeroom("jobs", "pause", job).code == 0
    told = homeroom("tune", "resume")
    assert told.code == 0 and "Registered ft:" in told.out and "Forecast " in told.err, told.err
    assert "#nothing-to-resume" in homeroom("tune", "resume").error
    assert "#job-finished" in homeroom("tune", "resume", job).error


def test_a_terminal_shows_warnings_and_outcomes_and_no_more():
    def event(level: str, type: str) -> JobEvent:
        return JobEvent("job", 1, 0.0, level, type, "said")

    assert worth_seeing(event("info", OUTCOME)) == "said"
    assert worth_seeing(event("warning", "message")) == "warning: said"
    assert worth_seeing(event("info", "message")) == worth_seeing(event("info", "metrics")) == ""


def test_a_plan_tells_an_unknown_price_and_the_memory_s_interval():
    plan = Plan("openai", 10, 100, 1, 0.0, 2_000_000_000, 0, memory_high_bytes=2_600_000_000, details={"priced": False})
    assert money_of(plan) == "not known"
    assert memory_of(plan) == "2.0 GB (up to 2.6 GB)"
    assert money_of(Plan("huggingface", 10, 100, 1, 0.0, 0, 0)) == "$0.00"
