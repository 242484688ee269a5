"""Before money is spent: every command that would begin something paid shows what it costs and asks. Nobody is ever contacted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from homeroom.app import choosing, steps
from homeroom.app.home import Homeroom
from homeroom.app.spending import dollars
from homeroom.errors import ConfigError

DATA = ("--dataset", "small-course", "--task", "tutor")
FAR = (*DATA, "--base", "far/gpt-4.1-mini")
RUN = ("tune", "run", "--no-wait")
PAID = {
    "a prompt search": (*RUN, *FAR),
    "dspy": (*RUN, *FAR, "--method", "dspy"),
    "openai": (*RUN, *FAR, "--method", "openai"),
    "a batch": (*RUN, *FAR, "--method", "dspy", "--minutes", "5"),
    "a prompt model": (*RUN, *DATA, "--method", "dspy", "--prompt-model", "far/gpt-4.1"),
    "compare": ("tune", "compare", "--no-wait", *FAR, "--methods", "dspy"),
    "compare a recipe": ("tune", "compare", "--no-wait", *FAR, "--recipe", "recipes/demo.yaml"),
    "probe": ("tune", "recommend", "--probe", *FAR),
}


@pytest.fixture
def far(home: Path, homeroom, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that leaves this machine; its models have bundled prices, but for one."""
    monkeypatch.setenv("FAR_API_KEY", "sk-far")
    home.mkdir(exist_ok=True)
    models = "[gpt-4.1-mini, gpt-4.1, unheard-of]"
    (home / "config.yaml").write_text(
        f"endpoints: [{{name: far, base_url: 'https://far.invalid/v1', models: {models}, api_key_env: FAR_API_KEY}}]\n"
    )
    assert homeroom("data", "split", course).code == 0


def begun(homeroom: Any) -> list[Any]:
    return list(homeroom("jobs", "list", "--json").json)


@pytest.mark.parametrize("command", PAID.values(), ids=PAID)
def test_what_costs_money_is_shown_and_asked_for(far, homeroom, command):
    if "dspy" in command:
        pytest.importorskip("dspy")
    with Homeroom.open() as home:
        before = home.datasets.get("small-course").part("train")
    told = homeroom(*command, typed="n\n")
    assert told.code == 130 and "Send the examples and pay for it?" in told.err and "$" in told.err, told.err
    assert homeroom(*command, typed="").code == 130, "nobody answers"
    refused = homeroom(*command, "--json")
    assert refused.code == 2 and refused.json["error"]["code"] == "needs-yes" and "$" in refused.json["error"]["message"]
    assert begun(homeroom) == []
    with Homeroom.open() as home:
        assert home.datasets.get("small-course").part("train") == before, "nothing was set aside"


@pytest.mark.parametrize("name", ["a prompt search", "dspy", "openai", "compare"])
def test_what_is_under_way_is_not_asked_for_again(far, homeroom, name):
    if name in ("dspy", "compare"):
        pytest.importorskip("dspy")
    command = PAID[name]
    assert homeroom(*command, "--yes", "--json").code == 0
    jobs = begun(homeroom)
    again = homeroom(*command, "--json")
    assert again.code == 0, again.err
    assert begun(homeroom) == jobs
    if name != "compare":
        assert homeroom(*command, "--again", "--json").json["error"]["code"] == "needs-yes"


def test_what_was_stopped_is_asked_for_again(far, homeroom):
    (job,) = homeroom(*PAID["a prompt search"], "--yes", "--json").json
    assert homeroom("jobs", "cancel", job["id"]).code == 0
    assert homeroom(*PAID["a prompt search"], "--json").json["error"]["code"] == "needs-yes"


def test_several_runs_are_one_question_for_their_sum(far, homeroom):
    pytest.importorskip("dspy")
    told = homeroom(*RUN, "--dataset", "small-course", "--base", "far/gpt-4.1-mini", "--method", "dspy", typed="y\n")
    assert told.code == 0, told.err
    assert told.err.count("pay for it?") == 1 and told.err.count("Together: ") == 1 and len(begun(homeroom)) == 2


def test_a_price_that_is_not_known_is_not_nothing(far, homeroom):
    told = homeroom(*RUN, *DATA, "--base", "far/unheard-of", typed="n\n")
    assert told.code == 130 and "an amount that is not known" in told.err and "$0.00" not in told.err


def test_what_stays_on_this_machine_is_not_asked_for(homeroom, course, home):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("endpoints: [{name: near, base_url: 'http://127.0.0.1:9/v1', models: [m]}]\n")
    assert homeroom("data", "split", course).code == 0
    assert homeroom(*RUN, *DATA, "--base", "near/m", "--json").code == 0


def test_little_money_does_not_read_like_none():
    assert [dollars(usd) for usd in (0.0, 0.00002, 0.0004, 0.0099, 0.01, 1.619)] == [
        "$0.00", "$0.0001", "$0.0004", "$0.0099", "$0.01", "$1.62",
    ]  # fmt: skip


@pytest.mark.parametrize("command", PAID.values(), ids=PAID)
def test_a_missing_key_is_told_before_anybody_is_asked(far, homeroom, monkeypatch, command):
    if "dspy" in command:
        pytest.importorskip("dspy")
    monkeypatch.delenv("FAR_API_KEY")
    told = homeroom(*command, "--yes", typed="y\n")
    assert told.code == 2 and "#key-not-set" in told.error and "pay for it?" not in told.err
    assert begun(homeroom) == []


def test_a_program_has_to_agree_as_well(far, homeroom):
    recipe = {"name": "far", "task": "tutor", "base": "far/gpt-4.1-mini"}
    with Homeroom.open() as home:
        (plan,) = [steps.plan(home, "small-course", recipe)]
        for ask in (
            lambda: steps.tune(home, "small-course", recipe),
            lambda: steps.tune(home, "small-course", recipe, spend=plan.cost_high_usd * 0.99),
            lambda: choosing.probe(home, "small-course", base="far/gpt-4.1-mini", task="tutor"),
            lambda: choosing.compare(home, "small-course", base="far/gpt-4.1-mini", recipes=[recipe], spend=0.0001),
        ):
            with pytest.raises(ConfigError, match="spend=") as error:
                ask()
            assert error.value.code == "needs-yes"
        assert home.jobs.list() == ()
        from homeroom.app.spending import quotes_of, require_agreed
        from homeroom.tuning.recipe_file import run_of

        quotes = quotes_of(home, "small-course", [("far", run_of(recipe))])
        require_agreed(quotes, plan.cost_high_usd, "")
        require_agreed(quotes, math.inf, "")


def test_the_forecast_in_the_question_is_the_plan_s(far, homeroom):
    (plan,) = homeroom("tune", "plan", *FAR, "--json").json
    told = homeroom(*PAID["a prompt search"], typed="n\n")
    assert f"about {dollars(plan['cost_usd'])} (at most {dollars(plan['cost_high_usd'])})" in told.err
    assert json.dumps(plan["details"]["requests"]) in told.err


@pytest.mark.parametrize(
    ("program", "missing"),
    [
        ("scenario", "'task', 'mistake', 'student_says'"),
        ("feedback_teacher", "'strength', 'next_step'"),
        ("feedback_learner", "'look_again'"),
    ],
)
def test_a_program_that_no_example_shows_is_refused_before_anybody_is_asked(far, homeroom, program, missing):
    pytest.importorskip("dspy")
    for step in ("plan", "run"):
        told = homeroom("tune", step, *FAR, "--method", "dspy", "--program", program)
        assert told.code == 2 and "#program-fields" in told.error and missing in told.error, told.err
        assert '"output"' in told.error and "pay for it?" not in told.err
    assert begun(homeroom) == []


EXPERIMENT = """
method: openai
task: tutor
base: far/gpt-4.1-mini
runs: {two: {epochs: 2}, four: {epochs: 4}, large: {base: far/gpt-4.1}}
"""


def test_several_runs_of_a_file_are_one_question_and_one_batch(far, homeroom, tmp_path):
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    command = (*RUN, "--dataset", "small-course", "experiment.yaml")
    plans = {
        plan["recipe"]: plan for plan in homeroom("tune", "plan", *command[3:-1], "--recipe", "experiment.yaml", "--json").json
    }
    total = sum(plan["cost_high_usd"] for plan in plans.values())
    refused = homeroom(*command, "--json").json["error"]
    assert refused["code"] == "needs-yes" and "two, four, large" in refused["message"] and f"${total:.2f}" in refused["message"]
    told = homeroom(*command, typed="y\n")
    assert told.code == 0 and told.err.count("pay for it?") == 1, told.err
    assert told.err.count("Together: ") == 1 and f"held: ${total:.2f}" in told.err
    assert len(begun(homeroom)) == 3


def test_what_could_exceed_the_budget_is_not_begun(far, homeroom, tmp_path):
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    command = (*RUN, "--dataset", "small-course", "experiment.yaml", "--yes")
    (two, four, large) = homeroom("tune", "plan", "--dataset", "small-course", "--recipe", "experiment.yaml", "--json").json
    assert two["cost_high_usd"] < four["cost_high_usd"] < large["cost_high_usd"]
    budget = two["cost_high_usd"] + four["cost_high_usd"]
    told = homeroom(*command, "--budget-usd", str(budget * 1.0001), "--json")
    assert told.code == 1 and [job["payload"]["recipe"]["name"] for job in told.json["jobs"]] == ["two", "four"]
    assert [(row["run"], row["state"]) for row in told.json["runs"]] == [("large", "not begun")]
    assert "--budget-usd" in told.json["runs"][0]["error"] and len(begun(homeroom)) == 2
    rest = homeroom(*command, "--budget-usd", str(large["cost_high_usd"] * 1.0001), "--json")
    assert rest.json["runs"] == [] and len(begun(homeroom)) == 3, "what is under way is not counted again"
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT.replace("far/gpt-4.1}", "far/unheard-of}"))
    unknown = homeroom(*command, "--budget-usd", "100", "--json")
    assert unknown.json["error"]["code"] == "price-unknown" and len(begun(homeroom)) == 3
