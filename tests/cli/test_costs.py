"""`homeroom costs`: what calls at an endpoint with a price leave in the ledger, and budgets that stop them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from homeroom.ledger.records import About, Tokens
from tests.cli.test_endpoint_base import School, school

__all__ = ["School", "school"]  # a fixture


@pytest.fixture
def priced(home, school):
    """An endpoint on this machine that stands for a paid one: prices.yaml names it."""
    (home / "prices.yaml").write_text("as_of: November 2026\nendpoints: {school/: {input: 1.0, output: 2.0}}\n")
    return school


def filled() -> None:
    """A home's ledger with two models, one call of which nobody knows the end."""
    with Homeroom.open() as home:
        home.ledger.add(About("openai/gpt-4o-mini", "chat"), 0.25, Tokens(1000, 100))
        home.ledger.add(About("openai/gpt-4.1", "judging", "maths", "dspy", "job-1"), 1.5, Tokens(2000, 200), "estimated")
        home.ledger.hold(About("openai/gpt-4.1", "judging", "maths", "dspy", "job-1"), 0.125)


def test_chat_and_tuning_at_an_endpoint_are_counted_and_local_models_are_not(homeroom, priced, course):
    assert homeroom("chat", "--model", "school/large", "-m", "Half of 14 is 8.", "--yes").code == 0
    assert homeroom("data", "split", course, "--name", "small").code == 0
    tuned = homeroom("tune", "run", "--dataset", "small", "--base", "school/large", "--task", "tutor", "--yes")
    assert tuned.code == 0, tuned.err
    told = homeroom("costs", "--by", "purpose,method,model", "--json").json
    sums = {(t["purpose"], t["method"], t["model"]): t for t in told["totals"]}
    assert set(sums) == {("chat", "", "school/large"), ("tuning", "dspy", "school/large")}
    assert sums["chat", "", "school/large"]["calls"] == 1
    assert told["sum"]["calls"] == len(priced.asked), "every request that was sent, and no other"
    assert told["sum"]["held_usd"] == 0
    assert all(t["usd"] > 0 and t["estimated_usd"] == t["usd"] for t in told["totals"]), "this endpoint tells no tokens"
    with Homeroom.open() as home:
        (job,) = {line.about.job_id for line in home.ledger.lines(purpose="tuning")}
        assert home.jobs.get(job).kind == "tune"

    plan = homeroom("tune", "plan", "--dataset", "small", "--base", "school/large", "--task", "tutor", "--json").json[0]
    spent = sums["tuning", "dspy", "school/large"]["usd"]
    assert 0 < plan["cost_usd"] < plan["cost_high_usd"]
    assert spent < 20 * plan["cost_high_usd"]


def test_replies_that_become_data_are_counted_as_such(homeroom, priced, course):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    homeroom("tune", "traces", "school/large", "--dataset", "small", "--limit", "3", "--out", "traces.jsonl", "--yes")
    (total,) = homeroom("costs", "--by", "purpose", "--json").json["totals"]
    assert (total["purpose"], total["calls"]) == ("data", len(priced.asked)) and total["calls"] > 0
    assert homeroom("costs", "budget", "set", "0", "--purpose", "data").code == 0
    told = homeroom("tune", "traces", "school/large", "--dataset", "small", "--out", "more.jsonl", "--yes")
    assert "[help: docs/troubleshooting.md#budget-spent]" in told.error and not Path("more.jsonl").exists()


def test_a_budget_stops_a_chat_before_it_is_sent(homeroom, priced):
    assert homeroom("costs", "budget", "set", "0.00001", "--per", "day", "--purpose", "chat").code == 0
    told = homeroom("chat", "--model", "school/large", "-m", "Half of 14 is 8.", "--yes")
    assert "[help: docs/troubleshooting.md#budget-spent]" in told.error
    assert "homeroom costs budget set" in told.error
    assert priced.asked == []
    assert homeroom("costs", "budget", "set", "1", "--per", "day", "--purpose", "chat").code == 0
    assert homeroom("chat", "--model", "school/large", "-m", "Half of 14 is 8.", "--yes").code == 0


def test_an_endpoint_on_this_machine_is_free_until_a_price_is_written(homeroom, school):
    assert homeroom("costs", "budget", "set", "0").code == 0
    assert homeroom("chat", "--model", "school/large", "-m", "Half of 14 is 8.").code == 0
    assert homeroom("costs").out.startswith("No paid call yet.")


def test_sums_are_shown_with_what_is_held_and_what_is_left(homeroom):
    filled()
    homeroom("costs", "budget", "set", "5", "--per", "month", "--project", "maths")
    told = homeroom("costs", "--by", "project,purpose")
    rows = [line.split() for line in told.out.splitlines()]
    assert rows[0][:3] == ["project", "purpose", "calls"]
    assert rows[1] == ["maths", "judging", "2", "2,000", "200", "0", "$1.5000", "$1.5000", "$0.1250"]
    assert rows[2] == ["default", "chat", "1", "1,000", "100", "0", "$0.2500", "$0.0000", "$0.0000"]
    assert rows[3] == ["sum", "3", "3,000", "300", "0", "$1.7500", "$1.5000", "$0.1250"]
    assert "project maths  month  $5.00    $1.6250         $3.3750" in told.out
    assert "homeroom costs held" in told.err
    assert homeroom("costs", "--project", "maths", "--json").json["sum"]["calls"] == 2
    assert homeroom("costs", "--since", "2001-01-01", "--until", "2001-12-31").out.startswith("No such call.")


def test_what_is_held_is_listed_and_resolved(homeroom):
    filled()
    (line,) = homeroom("costs", "held", "--json").json
    assert (line["model"], line["usd"], line["job_id"]) == ("openai/gpt-4.1", 0.125, "job-1")
    assert line["id"] in homeroom("costs", "held").out
    assert homeroom("costs", "resolve", line["id"], "--usd", "0.1", "--note", "on the invoice").code == 0
    assert homeroom("costs", "held").out == "Nothing is held.\n"
    assert homeroom("costs", "--json").json["sum"]["usd"] == 1.85
    assert "cost-not-held" in homeroom("costs", "resolve", line["id"], "--usd", "0").error
    assert "cost-not-found" in homeroom("costs", "resolve", "cost-none", "--usd", "0").error


def test_every_call_goes_into_a_csv(homeroom, tmp_path):
    filled()
    with Homeroom.open() as home:
        home.ledger.resolve(home.ledger.held()[0].id, 0.0, "=HYPERLINK(1)")
    path = tmp_path / "costs.csv"
    assert homeroom("costs", "--csv", path).out == f"3 calls in {path}\n"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["model"], r["state"], r["basis"], r["usd"]) for r in rows] == [
        ("openai/gpt-4o-mini", "settled", "billed", "0.250000000"),
        ("openai/gpt-4.1", "settled", "estimated", "1.500000000"),
        ("openai/gpt-4.1", "released", "estimated", "0.000000000"),
    ]
    assert rows[2]["note"] == "'=HYPERLINK(1)", "no spreadsheet may take it for a formula"
    assert "not-writable" in homeroom("costs", "--csv", tmp_path / "none" / "costs.csv").error


def test_budgets_are_set_shown_and_removed(homeroom):
    assert homeroom("costs", "budget", "show").out.startswith("No budget: nothing stops a paid call.")
    told = homeroom("costs", "budget", "set", "2.5", "--per", "month", "--model", "openai/gpt-4.1", "--json")
    (budget,) = told.json
    assert (budget["usd"], budget["period"], budget["model"]) == (2.5, "month", "openai/gpt-4.1")
    assert (budget["project"], budget["spent_usd"], budget["left_usd"]) == ("*", 0.0, 2.5)
    assert "budget-not-found" in homeroom("costs", "budget", "remove", "--per", "month").error
    assert homeroom("costs", "budget", "remove", "--per", "month", "--model", "openai/gpt-4.1").code == 0
    assert homeroom("costs", "budget", "show", "--json").json == []


def test_prices_say_their_date_and_yours_go_first(homeroom, home):
    assert "As of March to November 2026." in homeroom("costs", "prices").out
    home.mkdir(exist_ok=True)
    (home / "prices.yaml").write_text("as_of: yesterday\nmodels: {gpt-4o-mini: {input: 9, output: 9}}\n")
    told = homeroom("costs", "prices", "--json").json
    assert told["as_of"] == "yesterday"
    assert {"kind": "model", "name": "gpt-4o-mini", "input": 9.0, "output": 9.0, "training": None} in told["prices"]
    (home / "prices.yaml").write_text("models: {gpt-4o-mini: 9}\n")
    assert "prices-invalid" in homeroom("costs", "prices").error


@pytest.mark.parametrize("option", ["--project", "--model"])
def test_an_empty_name_is_not_everything(homeroom, option):
    assert homeroom("costs", "budget", "set", "5").code == 0
    for command in (("remove",), ("set", "1000")):
        assert f"{option} is empty" in homeroom("costs", "budget", *command, option, "").error
    assert [b["usd"] for b in homeroom("costs", "budget", "show", "--json").json] == [5.0]


def test_no_call_yet_is_said_only_where_there_is_none(homeroom):
    assert homeroom("costs").out.startswith("No paid call yet.")
    filled()
    assert homeroom("costs", "--purpose", "data").out.startswith("No such call.")


def test_a_budget_below_a_cent_is_shown_as_it_is(homeroom):
    told = homeroom("costs", "budget", "set", "0.0025").out
    assert "$0.0025 " in told
    assert "1,000.50" in homeroom("costs", "budget", "set", "1000.5").out


def test_what_cannot_be_summed_by_is_named(homeroom):
    assert "'colour'" in homeroom("costs", "--by", "colour").error


def test_the_project_is_the_settings(homeroom, priced, monkeypatch):
    monkeypatch.setenv("HOMEROOM_PROJECT", "grade-4")
    assert homeroom("chat", "--model", "school/large", "-m", "Half of 14 is 8.", "--yes").code == 0
    assert homeroom("costs", "--by", "project", "--json").json["totals"][0]["project"] == "grade-4"
    monkeypatch.setenv("HOMEROOM_PROJECT", "grade 4")
    assert "'grade 4'" in homeroom("costs").error
