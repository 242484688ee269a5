"""``homeroom tune run --method openai``: at an endpoint on a real socket, and on this machine's server."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.talk import running_directory, talking
from homeroom.models import tiny
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from tests.cli.commands import eventually, processes_of
from tests.doubles.nebius_server import BASE, NebiusDouble
from tests.doubles.school import name_school
from tests.doubles.tuning_server import KEY, TuningDouble

pytestmark = pytest.mark.slow  # processes of their own, and a training

RUN = ("tune", "run", "--dataset", "small-course", "--method", "openai", "--task", "tutor")
AT_SCHOOL = (*RUN, "--base", "school/gpt-4.1-mini")
Json = dict[str, Any]


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TuningDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with TuningDouble() as made:
        name_school(home, made.address, "gpt-4.1-mini")
        # It is on this machine, so its price is counted only where one is written for it.
        (home / "prices.yaml").write_text("endpoints: {school/gpt-4.1-mini: {input: 0.8, output: 3.2, training: 5.0}}\n")
        yield made


@pytest.fixture
def dataset(homeroom, course: Path) -> None:
    assert homeroom("data", "split", course).code == 0


def costs(homeroom: Callable[..., Any]) -> Json:
    with Homeroom.open() as home:
        (total,) = home.ledger.totals(())
        return {"spent": total.usd, "held": total.held_usd}


def test_it_asks_before_money_is_spent_and_the_model_answers_in_the_chat(school, homeroom, dataset):
    no = homeroom(*AT_SCHOOL, typed="n\n")
    assert no.code != 0 and school.requests == [] and "the most that it can be" in no.err
    told = homeroom(*AT_SCHOOL, "--json")
    assert told.code == 2 and told.json["error"]["code"] == "needs-yes" and school.requests == []

    told = homeroom(*AT_SCHOOL, typed="y\n")
    assert told.code == 0, told.err
    assert "Registered ft:" in told.out and len(school.paid) == 1
    assert " tokens: $" in told.err, "what it cost is told at the end"
    line = next(line for line in told.err.splitlines() if "Forecast " in line)
    assert " tokens (" in line and "trained " in line and "charged $" in line
    history = homeroom("tune", "plan", "--history")
    assert line[line.index("Forecast ") :].split(" (")[0] in history.out and "No run with a forecast" not in history.out
    assert homeroom("tune", "plan", "--history", "--json").json["at_endpoints"][0]["told"] in line
    with Homeroom.open() as home, closing(running_directory(home)) as directory:
        (model,) = home.registry.list()
        assert (model.kind, model.method, model.task) == ("remote", "openai", "tutor")
        reply = directory.chat_model(model.name).complete([Message("user", "Half of 14 is 8.")], GenerationSettings())
        assert model.metrics["cost_usd"] > 0 and model.dataset == home.datasets.info("small-course").id
    assert reply.text == f"{model.remote_id.partition('/')[2]} says hello"
    again = homeroom(*AT_SCHOOL, "--json").json
    assert again[0]["result"]["model"] == model.name and len(school.paid) == 1, (
        "the same again costs nothing, and nobody is asked"
    )
    anew = homeroom(*AT_SCHOOL, "--again", "--json")
    assert anew.json["error"]["code"] == "needs-yes" and len(school.paid) == 1


def test_the_plan_tells_the_cost_and_sends_nothing(school, homeroom, dataset):
    (plan,) = homeroom("tune", "plan", *RUN[2:], "--base", "school/gpt-4.1-mini", "--json").json
    assert plan["method"] == "openai" and 0 < plan["cost_usd"] < plan["cost_high_usd"] and school.requests == []
    assert plan["details"]["jobs"] == [{"examples": plan["examples"], "epochs": plan["details"]["jobs"][0]["epochs"]}]
    text = homeroom("tune", "plan", *RUN[2:], "--base", "school/gpt-4.1-mini").out
    assert "could be shorter" in text or "validation examples" in text
    assert " 0 s " not in text and " 0 B " not in text, "what is not known is not nothing"


def test_what_is_longer_than_a_model_takes_is_told_before_anything_is_asked(school, home, homeroom, dataset):
    prices = (home / "prices.yaml").read_text()
    (home / "prices.yaml").write_text(f"{prices}longest_example: {{gpt-4.1-mini: 25}}\n")
    for command in ("plan", "run"):
        told = homeroom("tune", command, *AT_SCHOOL[2:])
        assert told.code == 2 and "#example-too-long" in told.error and "--max-tokens 25" in told.error
    with Homeroom.open() as opened:
        assert (school.requests, opened.jobs.list()) == ([], ())


def test_an_endpoint_that_is_not_in_the_settings_is_told_with_the_line_to_add(homeroom, dataset):
    told = homeroom(*RUN, "--base", "openai/gpt-4.1-mini", "--yes")
    assert told.code == 2 and "#endpoint-unknown" in told.error and "https://api.openai.com/v1" in told.error


def test_checkpoints_that_are_better_become_models_of_their_own(school, homeroom, dataset):
    school.losses = (2.0, 1.2, 1.6)
    told = homeroom(*AT_SCHOOL, "--yes", "--delete-files")
    assert told.code == 0 and "rose to 1.600" in told.err
    with Homeroom.open() as home:
        models = {model.suffix: model for model in home.registry.list()}
    (step,) = [suffix for suffix in models if suffix.endswith("-step-2")]
    assert models[step].remote_id.endswith(":ckpt-step-2") and len(models) == 2
    assert [f["purpose"] for f in school.files.values()] == ["fine-tune-results"], "what was uploaded is deleted"


def test_asking_for_files_to_be_deleted_pays_no_second_time(school, homeroom, dataset):
    assert homeroom(*AT_SCHOOL, "--yes").code == 0
    told = homeroom(*AT_SCHOOL, "--yes", "--delete-files")
    assert told.code == 0 and len(school.paid) == 1
    (line,) = [line for line in told.err.splitlines() if "homeroom tune files --delete" in line]
    assert homeroom(*line.split("homeroom ")[1].split()).code == 0
    assert [f["purpose"] for f in school.files.values()] == ["fine-tune-results"]


def test_a_run_that_uploads_nothing_has_no_files_to_delete(homeroom, dataset):
    told = homeroom("tune", "run", "--dataset", "small-course", "--delete-files")
    assert told.code == 2 and "#recipe-method" in told.error


def test_a_cancelled_job_ends_there_as_well(school, homeroom, dataset, start, home):
    school.script = ("validating_files", *["running"] * 1000)
    running = start(*AT_SCHOOL, "--yes")
    eventually(lambda: school.paid and school.paid[0]["polls"])
    job = homeroom("jobs", "list", "--json").json[0]["id"]
    assert homeroom("jobs", "cancel", job).code == 0
    assert running.ended().code == 1
    assert school.paid[0]["status"] == "cancelled" and costs(homeroom)["held"] == 0.0


def test_without_an_endpoint_this_machine_s_own_server_trains_and_the_model_answers(homeroom, dataset, tmp_path):
    recipe = tmp_path / "here.yaml"
    recipe.write_text(
        json.dumps({"method": "openai", "task": "tutor", "epochs": 1, "suffix": "own", "generation": {"max_tokens": 12}})
    )
    told = homeroom("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--json")
    assert told.code == 0, told.err
    name = told.json[0]["result"]["model"]
    with Homeroom.open() as home:
        (model,) = home.registry.list()
        assert model.name == name and model.dataset == home.datasets.info("small-course").id, "listed once, with its lineage"
        assert home.artifacts.list("model") == (model.artifact,)
        assert (model.kind, model.method, model.base, model.task) == ("lora", "openai", tiny.NAME, "tutor")
        assert model.metrics["trained_tokens"] > 0 and model.metrics["cost_usd"] == 0.0
        assert home.ledger.totals(()) == () or home.ledger.totals(())[0].calls == 0
        with talking(home, name, "tutor") as (directory, card):
            assert card.name == name
            reply = directory.chat_model(name).complete([Message("user", "Half of 14 is 8.")], GenerationSettings(max_tokens=8))
        assert reply.usage.completion_tokens > 0
    assert processes_of(Path(os.environ["HOMEROOM_HOME"])) in ([], [os.getpid()]), "nothing is left running"


def test_checkpoints_that_this_machine_s_own_server_kept_are_models_with_files_of_their_own(homeroom, dataset, tmp_path):
    recipe = tmp_path / "here.yaml"
    recipe.write_text(json.dumps({"method": "openai", "task": "tutor", "epochs": 3, "suffix": "own", "checkpoints": "all"}))
    told = homeroom("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--json")
    assert told.code == 0, told.err
    name = told.json[0]["result"]["model"]
    with Homeroom.open() as home:
        models = {model.name: model for model in home.registry.list()}
        made = models.pop(name)
        assert len(models) == len(made.metrics["checkpoints"]) > 0 and "checkpoint_of" not in made.metrics
        assert set(told.json[0]["result"]["models"]) == {name, *models}
    assert homeroom("models", "delete", name, "--yes").code == 0
    with Homeroom.open() as home:
        for one in models.values():
            assert (one.kind, one.method, one.metrics["checkpoint_of"], one.remote_id) == ("lora", "openai", name, "")
            with talking(home, one.name, "tutor") as (directory, _):
                reply = directory.chat_model(one.name).complete([Message("user", "Half?")], GenerationSettings(max_tokens=4))
            assert reply.usage.completion_tokens > 0, "it answers when the model and the server's copies are gone"


def test_a_run_that_failed_here_is_told_and_ended_there_with_its_files(school, homeroom, dataset):
    school.script = ("validating_files", *["running"] * 1000)

    def after(number: int, method: str, path: str) -> None:
        if path.endswith("/events"):
            school.after = lambda number, method, path: None
            school.faults = [("GET", "/fine_tuning/jobs/ftjob-1", "401")]

    school.after = after
    assert homeroom(*AT_SCHOOL, "--yes", "--delete-files").code == 1
    job = homeroom("jobs", "list", "--json").json[0]["id"]
    told = homeroom("tune", "files").out
    assert "when its job there is over" in told and f"homeroom jobs cancel {job}" in told
    ended = homeroom("jobs", "cancel", job)
    assert ended.code == 0 and "had failed; what it left at its endpoint has ended" in ended.out
    assert school.paid[0]["status"] == "cancelled" and costs(homeroom)["held"] == 0.0
    assert "No run has left a file" in homeroom("tune", "files").out
    again = homeroom("jobs", "cancel", job)
    assert again.code == 2 and "has already failed" in again.error


def test_a_file_whose_arrival_nobody_confirmed_is_listed_as_perhaps(school, homeroom, dataset):
    def after(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/files"):
            school.after = lambda number, method, path: None
            school.faults = [("GET", "/files", "401")]

    school.after, school.faults = after, [("POST", "/files", "lost")]
    assert homeroom(*AT_SCHOOL, "--yes").code == 1
    (row,) = homeroom("tune", "files", "--json").json
    assert (row["files"], row["perhaps"]) == ([], 1) and "perhaps 1" in homeroom("tune", "files").out
    told = homeroom("tune", "files", "--delete", row["job"])
    assert told.code == 0 and "1 file deleted" in told.err and school.files == {}


def test_a_run_that_is_cancelled_while_paused_ends_there_too_and_its_files_are_told_and_deleted(school, homeroom, dataset, start):
    school.script = ("validating_files", *["running"] * 1000)
    running = start(*AT_SCHOOL, "--yes")
    eventually(lambda: school.paid and school.paid[0]["polls"])
    job = homeroom("jobs", "list", "--json").json[0]["id"]
    assert homeroom("jobs", "pause", job).code == 0
    assert running.ended().code == 1 and school.paid[0]["status"] == "running"
    school.faults = [("POST", "/cancel", "401")]
    refused = homeroom("jobs", "cancel", job)
    assert refused.code == 0 and "warning:" in refused.err and school.paid[0]["status"] == "running"
    (row,) = homeroom("tune", "files", "--json").json
    assert school.paid[0]["status"] == "cancelled" and costs(homeroom)["held"] == 0.0, "it is tried again"
    assert (row["job"], row["endpoint"], row["state"], row["delete_at"]) == (job, "school", "cancelled", None)
    assert "never" in homeroom("tune", "files").out
    told = homeroom("tune", "files", "--delete", job)
    assert told.code == 0 and "deleted." in told.err and "No run has left a file" in told.out
    assert not [file for file in school.files.values() if file["purpose"] == "fine-tune"]
    assert homeroom("tune", "files", "--delete", job).code == 2


def test_at_nebius_what_was_trained_is_deployed_and_models_delete_takes_it_down(home, homeroom, dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("NEBIUS_API_KEY", KEY)
    with NebiusDouble() as nebius:
        nebius.checking = ("active",)
        about = (
            f"name: nebius, base_url: '{nebius.address}', models: ['{BASE}'], api_key_env: NEBIUS_API_KEY, fine_tuning: nebius"
        )
        (home / "config.yaml").write_text(f"endpoints: [{{{about}}}]\n")
        (home / "prices.yaml").write_text("endpoints: {nebius/: {input: 0.1, output: 0.3, training: 1.0}}\n")
        recipe = tmp_path / "nebius.yaml"
        recipe.write_text(json.dumps({"method": "openai", "task": "tutor", "base": f"nebius/{BASE}", "learning_rate": 1e-4}))
        run = ("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--yes")
        told = homeroom(*run, "--json")
        assert told.code == 0, told.err
        name = told.json[0]["result"]["model"]
        assert homeroom(*run, "--json").json[0]["result"]["model"] == name and len(nebius.paid) == len(nebius.deployments) == 1
        assert nebius.paid[0]["hyperparameters"]["learning_rate"] == 1e-4 and costs(homeroom)["held"] == 0.0

        nebius.faults = [("DELETE", "/v0/models", "401")]
        gone = homeroom("models", "delete", name, "--yes")
        assert gone.code == 0 and "warning:" in gone.err and len(nebius.standing) == 1
        other = homeroom(*run, "--json").json[0]["result"]["model"]
        assert homeroom("models", "delete", other, "--yes").code == 0 and len(nebius.standing) == 1, "its own, and only that"

        recipe.write_text(json.dumps({"method": "openai", "base": f"nebius/{BASE}", "learning_rate_multiplier": 2}))
        refused = homeroom("tune", "plan", "--dataset", "small-course", "--recipe", recipe)
        assert refused.code == 2 and "#fine-tuning-setting" in refused.error
