"""What a search for a prompt is forecast to take, whom it asks, and what it may spend: planned, held, and told afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homeroom.app.call_speed import speed_of
from homeroom.app.compare_facts import text_goes
from homeroom.app.dspy_job import tune_program
from homeroom.app.home import Homeroom
from homeroom.app.talk import running_directory
from homeroom.cli.tune_prompt import gained_nothing
from homeroom.errors import StorageError
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from tests.app import material
from tests.cli.test_tune_dspy import RUN, guides, newest
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

pytestmark = pytest.mark.slow  # many processes

pytest.importorskip("dspy")

Json = dict[str, Any]
PRICES = "endpoints: {school/large: {input: 1.0, output: 2.0}, school/wise: {input: 10.0, output: 40.0}}\n"
TAUGHT = (*RUN, "--teacher-model", "school/wise")


def by_model(body: Json) -> str:
    """The wise model guides; the large one does when it was shown how, and gives the same answer away otherwise."""
    messages = body["messages"]
    shown = any(m["role"] == "assistant" and "Take a sheet" not in m["content"] for m in messages)
    return guides(messages[-1]["content"]) if body["model"] == "wise" or shown else "The answer is 7. Well done!"


@pytest.fixture
def school(home: Path, homeroom, course: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    """An endpoint on this machine whose two models have prices, so that their calls count as paid."""
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as made:
        made.reply = by_model
        name_school(home, made.address, "large", "wise")
        (home / "prices.yaml").write_text(PRICES)
        assert homeroom("data", "split", course).code == 0
        yield made


def spent(school: OpenAIDouble) -> dict[str, float]:
    """US dollars by model, as the endpoint would bill them."""
    prices = {"large": (1.0, 2.0), "wise": (10.0, 40.0)}
    found = dict.fromkeys(prices, 0.0)
    for call in school.charged:
        price = prices[call["model"]]
        found[call["model"]] += (call["prompt_tokens"] * price[0] + call["completion_tokens"] * price[1]) / 1e6
    return found


def test_teacher_and_base_are_planned_apart_held_together_and_told_afterwards(school, homeroom):
    (plan,) = homeroom("tune", "plan", *TAUGHT[2:], "--json").json
    asks = {one["part"]: one for one in plan["details"]["asks"]}
    assert {part: one["model"] for part, one in asks.items()} == {"task": "school/large", "teacher": "school/wise"}
    assert plan["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in asks.values())) and asks["teacher"]["cost_usd"] > 0
    assert plan["details"]["calls_expected"] == pytest.approx(sum(one["calls"] for one in asks.values()), abs=1)
    assert plan["cost_usd"] < plan["cost_high_usd"] and 0 < plan["time_low_s"] < plan["time_s"] < plan["time_high_s"]
    assert all(one["known_from_calls"] == 0 for one in asks.values()) and "guessed" in " ".join(plan["warnings"])
    shown = homeroom("tune", "plan", *TAUGHT[2:]).out
    assert "teaches" in shown and "a guess" in shown and f"held: at most {plan['details']['calls']} calls" in shown
    assert "Text goes to: this machine (school)" in shown and school.charged == []

    asked = homeroom(*TAUGHT, typed="n\n")
    assert asked.code == 130 and "school/wise teaches" in asked.err
    assert f"about ${plan['cost_usd']:.2f} (at most ${plan['cost_high_usd']:.2f})" in asked.err and school.charged == []

    told = homeroom(*TAUGHT, "--yes")
    assert told.code == 0, told.err
    model, program, _ = newest()
    metrics = model.metrics
    bill = spent(school)
    assert bill["wise"] > 0 and metrics["usd"] == pytest.approx(sum(bill.values()), abs=1e-5)
    assert sum(bill.values()) <= plan["cost_high_usd"]
    calls = {name: sum(call["model"] == name for call in school.charged) for name in bill}
    assert {used["model"]: used["sent"] for used in metrics["asked"].values()} == {
        "school/large": calls["large"],
        "school/wise": calls["wise"],
    }
    assert metrics["forecast"]["calls"] == plan["details"]["calls_expected"]
    assert f"Forecast {metrics['forecast']['calls']} calls" in told.err and f"spent ${metrics['usd']:.4f}" in told.err
    assert program.demonstrations and metrics["selection_score"] > metrics["selection_score_first"]

    history = homeroom("tune", "plan", "--history", "--json").json
    assert [run["model"] for run in history["runs"]] == [model.name] and history["accuracy"] is None

    school.charged.clear()
    again = homeroom(*TAUGHT, "--again")
    assert again.code == 0, "nothing has to be agreed to"
    assert school.charged == [] and "Forecast" not in again.err, "the same run again asks nobody"
    assert "no model is asked" in homeroom("tune", "plan", *TAUGHT[2:]).out

    (known,) = homeroom("tune", "plan", *TAUGHT[2:], "--max-calls", "250", "--json").json
    speeds = {one["part"]: one for one in known["details"]["asks"]}
    assert {part: one["known_from_calls"] for part, one in speeds.items()} == {"task": calls["large"], "teacher": calls["wise"]}
    assert speeds["task"]["seconds_low"] < speeds["task"]["seconds"] < speeds["task"]["seconds_high"]
    assert known["time_s"] < plan["time_s"] and "guessed" not in " ".join(known["warnings"])


def test_a_teacher_at_another_address_is_another_run(school, homeroom, home):
    config = home / "config.yaml"
    begun = config.read_text().rstrip("]\n")
    run = (*RUN, "--teacher-model", "far/wise", "--max-calls", "60", "--yes")
    made = []
    with OpenAIDouble() as one, OpenAIDouble() as other:
        for double in (one, other):
            double.reply = by_model
            more = f"{{name: far, base_url: '{double.address}', models: [wise], api_key_env: SCHOOL_API_KEY}}"
            config.write_text(f"{begun}, {more}]\n")
            told = homeroom(*run)
            assert told.code == 0, told.err
            assert double.charged, "the same name at another address was never asked before"
            made.append(newest()[0].name)
        asked = len(other.charged)
        assert homeroom(*run, "--again").code == 0 and len(other.charged) == asked
    assert made[0] != made[1]


def test_a_run_stops_before_it_costs_more_than_was_agreed_to(school, homeroom):
    """An endpoint that bills far more than it was asked for uses the money up before the calls."""
    (plan,) = homeroom("tune", "plan", *RUN[2:], "--json").json
    double = school.reply

    def dear(body: Json) -> str:
        return double(body) + " " * 200_000  # tokens that nobody asked for

    school.reply = dear
    told = homeroom(*RUN, "--yes")
    over = max(call["completion_tokens"] for call in school.charged) * 2 / 1e6
    assert sum(spent(school).values()) <= plan["cost_high_usd"] + 4 * over, "at most the calls that were under way"
    assert len(school.charged) < plan["details"]["calls"] and "that this run may cost are used up" in told.err + told.out


def test_a_teacher_that_cannot_be_asked_or_that_nothing_would_ask_is_refused(school, homeroom):
    for command in (("tune", "plan", *RUN[2:]), RUN):
        assert "#teacher-model" in homeroom(*command, "--teacher-model", "nowhere/wise").error
    recipe = material.write_recipe(Path("plain.yaml"), {"method": "dspy", "optimisers": ["plain", "labelled"]})
    told = homeroom(*RUN, "--recipe", recipe, "--teacher-model", "school/wise")
    assert told.code == 2 and "#teacher-model" in told.error and "would not be asked" in told.error
    assert "#recipe-method" in homeroom("tune", "run", "--dataset", "small-course", "--teacher-model", "school/wise").error
    assert school.charged == []


def test_where_the_text_goes_counts_the_teacher(home, homeroom):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("endpoints: [{name: far, base_url: 'https://far.invalid/v1', models: [wise]}]\n")
    keys: Json = {"name": "ft:base:homeroom:x:12345678", "base": "base", "base_identity": "i", "method": "dspy", "kind": "prompt"}
    more: Json = {"task": "tutor", "suffix": "x", "suitability": "practice", "artifact": "", "dataset": "", "created_at": 0.0}
    with Homeroom.open() as opened:
        model = TunedModel(**keys, **more, recipe={"teacher_model": "far/wise"})
        assert text_goes(opened, "base", model) == ("far.invalid", True)


def test_what_a_home_knows_of_a_model_s_speed(school, homeroom):
    with Homeroom.open() as home:
        guessed = speed_of(home, "school/large", 64)
        assert (guessed.calls, guessed.seconds) == (0, 2.0)
        with closing(running_directory(home)) as directory:
            for number in range(5):
                asked = [Message("user", f"What is {number} and 1?")]
                directory.chat_model("school/large").complete(asked, GenerationSettings())
        known = speed_of(home, "school/large", 64)
    assert known.calls == 5 and 0 < known.low_s < known.seconds < known.high_s < 2.0
    assert known.reply_tokens == 0, "replies of a chat say nothing of a search's"


def test_a_base_here_is_guessed_by_its_size_and_its_replies(homeroom):
    with Homeroom.open() as home:
        short, long = (speed_of(home, home.settings.default_base, tokens) for tokens in (32, 128))
    assert 0 < 4 * short.seconds == pytest.approx(long.seconds) and short.calls == 0
    assert long.low_s < long.seconds < long.high_s


def test_a_search_that_gained_nothing_says_so():
    def row(name: str, score: float, *, kept: bool = False) -> Json:
        return {"candidate": name, "selection_score": score, "kept": kept}

    assert "stronger one" in gained_nothing([row("plain", 0.0, kept=True), row("labelled", 0.0)])
    assert "as its base does" in gained_nothing([row("plain", 0.5, kept=True), row("labelled", 0.5)])
    assert gained_nothing([row("plain", 0.5), row("labelled", 0.6, kept=True)]) == ""


def test_what_the_disk_has_no_room_for_is_planned_as_that_and_not_begun(school, homeroom, home, monkeypatch):
    usage = shutil.disk_usage(home)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
        told = homeroom("tune", "plan", *RUN[2:], "--json")
        job = homeroom(*RUN, "--yes", "--no-wait", "--json").json[0]["id"]
        with Homeroom.open() as opened, pytest.raises(StorageError, match="Nothing was asked") as caught:
            tune_program(SimpleNamespace(job=opened.jobs.get(job), event=lambda *told: None), opened)
    (plan,) = told.json
    assert (told.code, plan["fits"]) == (1, False) and plan["disk_bytes"] > 20_000
    assert "0.0 MB are free: it will not start" in plan["warnings"][0] and "max_calls" in plan["warnings"][0]
    assert caught.value.code == "no-space" and school.charged == []
    assert homeroom("tune", "plan", *RUN[2:], "--json").json[0]["fits"]


def test_a_base_that_may_not_answer_here_is_planned_as_that(homeroom, course, monkeypatch):
    assert homeroom("data", "split", course).code == 0
    plan = ("tune", "plan", "--method", "dspy", "--task", "tutor", "--dataset", "small-course", "--json")
    (fits,) = homeroom(*plan).json
    assert fits["fits"] and fits["memory_high_bytes"] == fits["memory_bytes"] > 0
    monkeypatch.setenv("HOMEROOM_ENGINE_MEMORY_MB", "1")
    told = homeroom(*plan)
    (cramped,) = told.json
    assert (told.code, cramped["fits"]) == (1, False) and "an engine may take" in cramped["warnings"][0]
