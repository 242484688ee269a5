"""The method ``openai`` at Nebius, against a double of its documentation: nothing is paid twice, and nothing is deployed twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homeroom.errors import ConfigError, ProviderError
from homeroom.ledger.store import Ledger
from homeroom.models.client import OpenAIChatModel
from homeroom.models.openai_tuning import OpenAITuning
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.jobs import JobCancelled
from homeroom.storage import ArtifactStore, Database
from homeroom.tuning.openai.dialect import NEBIUS, OPENAI, dialect_of
from homeroom.tuning.openai.place import Place
from homeroom.tuning.openai.recipe import OpenAIRecipe
from homeroom.tuning.openai.tuner import OpenAITuner
from tests.doubles.nebius_server import BASE, NebiusDouble
from tests.doubles.tuning_server import KEY
from tests.tuning.test_openai import DATA, PRICE, Bench

RECIPE = OpenAIRecipe(name="fractions", base=f"school/{BASE}")
DEPLOY = ("POST", "/v0/models")


@pytest.fixture
def nebius() -> Iterator[NebiusDouble]:
    with NebiusDouble() as double:
        yield double


@pytest.fixture
def bench(tmp_path: Path, database: Database, artifacts: ArtifactStore, nebius: NebiusDouble) -> Bench:
    folder = tmp_path / "work"
    folder.mkdir()
    return Bench(nebius, folder, Ledger(database), artifacts, model=BASE, dialect=NEBIUS)


def asked_to_deploy(double: NebiusDouble) -> int:
    return double.requests.count(DEPLOY)


def test_a_lora_is_trained_deployed_and_answers_by_the_name_that_it_got(bench: Bench, nebius: NebiusDouble) -> None:
    model = bench.run(RECIPE.model_copy(update={"learning_rate": 1e-4, "lora_rank": 16, "lora_alpha": 32, "batch_size": 8}))
    (job,) = nebius.paid
    assert job["hyperparameters"] == {
        "batch_size": 8, "learning_rate": 1e-4, "n_epochs": 3, "lora": True, "lora_r": 16, "lora_alpha": 32
    }  # fmt: skip
    assert (job["model"], job["suffix"], job["seed"]) == (BASE, "fractions", 0) and job["validation_file"]
    (deployed,) = nebius.deployments.values()
    assert (deployed["source"], deployed["base_model"], deployed["status"]) == ("ftjob-1:ftckpt_ftjob-1_3", BASE, "active")
    assert deployed["name"].startswith(f"{BASE}-LoRa:fractions-")
    assert model.remote_id == f"school/{deployed['name']}"
    assert (model.metrics["trained_tokens"], model.metrics["valid_loss"]) == (3000, 1.2)
    assert model.metrics["deployed_from"] == deployed["source"] and model.metrics["checkpoints"] == []
    assert bench.money == {"spent": 0.015, "held": 0.0}
    assert not [path for _, path in nebius.requests if "weights" in path], "weights are not fetched"
    with closing(OpenAIChatModel("x", nebius.address, model.remote_id.partition("/")[2], api_key=KEY)) as chat:
        assert chat.complete([Message("user", "Half of 14 is 8.")], GenerationSettings()).text


def test_left_out_settings_are_the_endpoint_s_but_a_lora_is_always_asked_for(bench: Bench, nebius: NebiusDouble) -> None:
    bench.run(RECIPE)
    assert nebius.paid[0]["hyperparameters"] == {"n_epochs": 3, "lora": True}


def test_a_better_checkpoint_is_deployed_beside_the_last(bench: Bench, nebius: NebiusDouble) -> None:
    nebius.losses = (2.0, 1.5, 1.8)
    model = bench.run(RECIPE)
    (row,) = model.metrics["checkpoints"]
    sources = {one["name"]: one["source"] for one in nebius.deployments.values()}
    assert sources[model.remote_id.partition("/")[2]].endswith("_3") and sources[row["model"]].endswith("_2")
    assert (row["step"], row["valid_loss"], row["deployed_from"]) == (2, 1.5, sources[row["model"]])
    assert any("lowest at step 2 (1.500)" in text and row["model"] in text for _, text in bench.told.events)


@pytest.mark.parametrize(
    ("recipe", "dialect", "value"),
    [
        (RECIPE.model_copy(update={"learning_rate_multiplier": 1.8}), NEBIUS, "1.8"),
        (RECIPE.model_copy(update={"objective": "dpo"}), NEBIUS, "'dpo'"),
        (RECIPE.model_copy(update={"learning_rate": 1e-4}), OPENAI, "0.0001"),
        (RECIPE.model_copy(update={"lora_rank": 8}), OPENAI, "8"),
        (RECIPE.model_copy(update={"lora_alpha": 8}), OPENAI, "8"),
    ],
)
def test_what_an_endpoint_does_not_take_is_refused_before_anything_is_sent(
    bench: Bench, nebius: NebiusDouble, recipe: OpenAIRecipe, dialect: Any, value: str
) -> None:
    bench.dialect = dialect
    with pytest.raises(ConfigError, match=value) as planned:
        OpenAITuner(Place(None, BASE, f"school/{BASE}", "school", "i", PRICE, dialect=dialect)).plan(DATA, recipe)
    with pytest.raises(ConfigError) as caught:
        bench.run(recipe)
    assert {planned.value.code, caught.value.code} == {"fine-tuning-setting"} and nebius.requests == []


def test_a_recipe_without_the_later_settings_is_stored_as_it_was_before_there_were_any() -> None:
    """Or a run that was paid before is another one, and paid again."""
    assert not {"learning_rate", "lora_rank", "lora_alpha"} & set(RECIPE.to_dict())
    full = RECIPE.model_copy(update={"learning_rate": 1e-4, "lora_rank": 8, "lora_alpha": 8})
    assert OpenAIRecipe.model_validate(full.to_dict()) == full


@pytest.mark.parametrize(
    ("fine_tuning", "url", "found"),
    [
        ("", "https://api.tokenfactory.nebius.com/v1", NEBIUS),
        ("", "https://API.studio.nebius.com/v1", NEBIUS),
        ("", "https://api.tokenfactory.eu-west1.nebius.com/v1", NEBIUS),
        ("", "https://api.openai.com/v1", OPENAI),
        ("", "https://api.tokenfactory.nebius.com.example.org/v1", OPENAI),
        ("nebius", "http://127.0.0.1:1/v1", NEBIUS),
        ("openai", "https://api.tokenfactory.nebius.com/v1", OPENAI),
    ],
)
def test_the_host_tells_whose_api_it_is_unless_the_settings_do(fine_tuning: str, url: str, found: Any) -> None:
    assert dialect_of(fine_tuning, url) is found


FAULTS = ("silence", "lost", "cut", "garbage", "500", "429", "429 0")
FEW = {("POST", "lost"), ("POST", "cut"), ("POST", "500"), ("GET", "garbage")}


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        pytest.param(method, fault, marks=() if (method, fault) in FEW else pytest.mark.slow)
        for method in ("POST", "GET")
        for fault in FAULTS
    ],
)
def test_whatever_goes_wrong_with_deploying_it_is_deployed_once(
    bench: Bench, nebius: NebiusDouble, method: str, fault: str
) -> None:
    nebius.faults = [(method, "/v0/models", fault)] * (2 if method == "GET" else 1)
    model = bench.run(RECIPE)
    assert nebius.faults == [] and len(nebius.paid) == 1
    assert nebius.standing == [model.remote_id.partition("/")[2]] and len(nebius.deployments) == 1
    assert bench.money == {"spent": 0.015, "held": 0.0}


@pytest.mark.parametrize(("bare", "tells_source", "whole_names"), [(False, True, True), (True, False, False)])
def test_a_lost_confirmation_is_found_in_either_form_of_the_list_and_where_it_shows_late(
    bench: Bench, nebius: NebiusDouble, bare: bool, tells_source: bool, whole_names: bool
) -> None:
    nebius.bare, nebius.tells_source, nebius.whole_names, nebius.hidden = bare, tells_source, whole_names, 2
    nebius.faults = [(*DEPLOY, "lost")]
    bench.run(RECIPE)
    assert len(nebius.deployments) == 1 and asked_to_deploy(nebius) == 1
    assert "it is not deployed a second time" in bench.told.text


def test_another_deployment_of_the_account_is_not_taken_for_ours(bench: Bench, nebius: NebiusDouble) -> None:
    other = f"{BASE}-LoRa:fractions-0a1b2c3d-9999"
    nebius.deployments[other] = {"name": other, "source": "ftjob-77:ftckpt_1", "status": "active", "polls": 0}
    nebius.faults = [(*DEPLOY, "silence")]
    model = bench.run(RECIPE)
    assert model.remote_id != f"school/{other}" and asked_to_deploy(nebius) == 2 and len(nebius.standing) == 2


def test_a_lost_job_is_found_by_its_file_wherever_the_list_has_it(bench: Bench, nebius: NebiusDouble) -> None:
    nebius.oldest_first = True
    for number in range(4):  # older jobs of the account come first
        nebius.jobs[f"old-{number}"] = {"id": f"old-{number}", "status": "succeeded", "created_at": 5, "training_file": "file-x"}

    def spoil(number: int, method: str, path: str) -> None:
        if (method, path) == ("POST", "/v1/files") and len(nebius.files) == 2:
            nebius.faults.append(("POST", "/fine_tuning/jobs", "lost"))

    nebius.after = spoil
    bench.run(RECIPE)
    assert [job["id"] for job in nebius.paid if job["id"].startswith("ftjob")] == ["ftjob-5"]
    told = [text for _, text in bench.told.events if text in ("created", "step")]
    assert told == ["created", "step", "step"], "each event once, also where the oldest is listed first"


def test_a_deployment_that_breaks_off_fails_the_run_and_the_training_is_not_paid_again(
    bench: Bench, nebius: NebiusDouble
) -> None:
    nebius.checking, nebius.why = ("validating", "error"), "the adapter's rank is too high"
    with pytest.raises(ProviderError) as caught:
        bench.run(RECIPE)
    assert caught.value.code == "fine-tuning-deployment" and "rank is too high" in caught.value.message
    assert bench.money == {"spent": 0.015, "held": 0.0}
    nebius.checking, nebius.why, nebius.faults = ("validating", "active"), "", [(*DEPLOY, "lost")]
    model = bench.run(RECIPE)  # the one that broke off is listed still, and is not taken for the new one
    assert len(nebius.paid) == 1 and nebius.standing == [model.remote_id.partition("/")[2]] and asked_to_deploy(nebius) == 2
    assert bench.money == {"spent": 0.015, "held": 0.0}


def test_a_refused_deployment_says_so_and_the_same_command_tries_only_that_again(bench: Bench, nebius: NebiusDouble) -> None:
    nebius.faults = [(*DEPLOY, "403")]
    with pytest.raises(ProviderError) as caught:
        bench.run(RECIPE)
    assert caught.value.code == "fine-tuning-deployment" and "not paid again" in caught.value.message
    before = [path for method, path in nebius.requests if method == "POST" and "/v1/" in path]
    bench.run(RECIPE)
    assert [path for method, path in nebius.requests if method == "POST" and "/v1/" in path] == before
    assert len(nebius.standing) == 1 and asked_to_deploy(nebius) == 2


@pytest.mark.parametrize("path", ["POST /v0/models", "GET /v0/models/"])
def test_a_key_that_is_taken_away_while_it_is_deployed_ends_the_run_and_the_next_goes_on(
    bench: Bench, nebius: NebiusDouble, path: str
) -> None:
    nebius.faults = [(*path.split(" "), "401")]
    with pytest.raises(ProviderError) as caught:
        bench.run(RECIPE)
    assert caught.value.code == "provider-auth"
    bench.run(RECIPE)
    assert len(nebius.paid) == 1 and len(nebius.deployments) == 1


def test_a_job_without_checkpoints_is_no_model_and_costs_nothing_more(bench: Bench, nebius: NebiusDouble) -> None:
    nebius.losses = ()
    with pytest.raises(ProviderError, match="lists no checkpoint") as caught:
        bench.run(RECIPE)
    assert caught.value.code == "provider-answer" and asked_to_deploy(nebius) == 0
    nebius.losses = (2.0, 1.5)
    bench.run(RECIPE)
    assert len(nebius.paid) == 1 and bench.money == {"spent": 0.015, "held": 0.0}


def test_a_deployment_that_is_deleted_there_meanwhile_is_told_and_made_anew(bench: Bench, nebius: NebiusDouble) -> None:
    nebius.checking = ("validating",)

    def after(number: int, method: str, path: str) -> None:
        if path.startswith("/v0/models/"):
            nebius.deployments.clear()

    nebius.after = after
    with pytest.raises(ProviderError, match="does not know it any more"):
        bench.run(RECIPE)
    nebius.after, nebius.checking = (lambda number, method, path: None), ("validating", "active")
    bench.run(RECIPE)
    assert len(nebius.paid) == 1 and len(nebius.standing) == 1


def test_cancelled_while_it_is_deployed_it_says_what_stays_there_and_the_same_command_takes_it_up(
    bench: Bench, nebius: NebiusDouble
) -> None:
    nebius.checking = ("validating",)
    bench.told.stops = lambda: any(one["polls"] >= 2 for one in nebius.deployments.values())
    with pytest.raises(JobCancelled):
        bench.run(RECIPE)
    (name,) = nebius.deployments
    assert any(level == "warning" and name in text and "stays deployed" in text for level, text in bench.told.events)
    bench.told.stops, nebius.checking = (lambda: False), ("validating", "active")
    model = bench.run(RECIPE)
    assert model.remote_id == f"school/{name}" and len(nebius.deployments) == len(nebius.paid) == 1


def test_it_is_asked_seldom_while_it_is_checked(bench: Bench, nebius: NebiusDouble) -> None:
    nebius.checking = ("validating",) * 4 + ("active",)
    bench.run(RECIPE)
    assert len([path for method, path in nebius.requests if method == "GET" and path.startswith("/v0/models/")]) == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_request_it_goes_on_pays_once_and_deploys_once(
    bench: Bench, nebius: NebiusDouble, home: Path, moment: str
) -> None:
    """The process dies at each request in turn: before it was done, or when it was done and its answer not yet seen."""
    nebius.script = ("validating_files", "succeeded")
    struck: set[str] = set()
    child: list[int] = []

    def strike(number: int, method: str, path: str) -> None:
        about = f"{method} {path} {sum(request == (method, path) for request in nebius.requests[:number]) % 3}"
        if about not in struck:
            struck.add(about)
            os.kill(child[-1], signal.SIGKILL)

    setattr(nebius, moment, strike)

    def attempt() -> None:
        database = Database.for_home(home)
        replace(bench, ledger=Ledger(database), artifacts=ArtifactStore(home / "artifacts")).run(RECIPE)
        (bench.folder / "done").write_text("done")
        database.close()

    for _ in range(80):
        process = multiprocessing.get_context("fork").Process(target=attempt)
        with nebius.lock:  # a request that arrives now waits until its sender is known
            process.start()
            child.append(process.pid or 0)
        process.join()
        if (bench.folder / "done").exists():
            break
    assert (bench.folder / "done").exists() and len(struck) >= 12, struck
    assert {path for path in struck if path.startswith("POST /v0/models")}
    assert len(nebius.paid) == 1 and len(nebius.deployments) == 1, "nothing is paid or deployed a second time"
    assert bench.money == {"spent": 0.015, "held": 0.0}


def test_a_deployment_is_taken_down_by_its_whole_name_and_one_that_is_gone_is_no_error(nebius: NebiusDouble) -> None:
    name = f"{BASE}-LoRa:mine-0000"
    nebius.deployments[name] = {"name": name, "source": "a:b", "status": "active", "polls": 0}
    with closing(OpenAITuning("'school'", nebius.address, KEY, timeout_s=5, max_retries=1, pause_s=0.01)) as service:
        service.custom.delete(name)
        service.custom.delete(name)
    assert nebius.standing == []
