"""A run at an endpoint that deploys what it trained: from the settings to a model that answers, and until it is taken down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from homeroom.app.deleting import delete_model
from homeroom.app.home import Homeroom
from homeroom.app.talk import running_directory
from homeroom.app.tuning import submit_tuning
from homeroom.data.reading import load_examples
from homeroom.errors import ConfigError
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.tuning.openai.recipe import OpenAIRecipe
from tests.app import material
from tests.app.test_openai_left import work_on
from tests.doubles.nebius_server import BASE, NebiusDouble
from tests.doubles.tuning_server import KEY

RUN = OpenAIRecipe(name="mine", base=f"school/{BASE}")


@pytest.fixture
def nebius(monkeypatch: pytest.MonkeyPatch) -> Iterator[NebiusDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with NebiusDouble() as made:
        made.losses = (2.0, 1.2, 1.6)
        made.script, made.checking = ("validating_files", "succeeded"), ("active",)
        yield made


@pytest.fixture
def opened(nebius: NebiusDouble, _tiny: None, tmp_path: Path) -> Iterator[Homeroom]:
    folder = tmp_path / "home"
    folder.mkdir()
    endpoint = f"name: school, base_url: '{nebius.address}', models: ['{BASE}'], api_key_env: SCHOOL_API_KEY, fine_tuning: nebius"
    (folder / "config.yaml").write_text(f"endpoints: [{{{endpoint}}}]\n")
    with Homeroom.open() as home:
        home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())))
        yield home


def test_what_was_trained_answers_and_is_taken_down_when_it_is_deleted(opened: Homeroom, nebius: NebiusDouble) -> None:
    job = submit_tuning(opened, "mine", RUN.model_copy(update={"learning_rate": 1e-4}))
    assert work_on(opened, job).state == "succeeded"
    models = {model.suffix: model for model in opened.registry.list()}
    (step,) = [suffix for suffix in models if suffix.endswith("-step-2")]
    assert len(models) == 2 and len(nebius.standing) == 2
    assert {model.remote_id.partition("/")[2] for model in models.values()} == set(nebius.standing)
    with closing(running_directory(opened)) as directory:
        reply = directory.chat_model(models["mine"].name).complete([Message("user", "Half of 14 is 8.")], GenerationSettings())
    assert reply.text == f"{models['mine'].remote_id.partition('/')[2]} says hello"

    taken_down = delete_model(opened, models[step].name)
    assert taken_down is not None and work_on(opened, taken_down).state == "succeeded"
    assert nebius.standing == [models["mine"].remote_id.partition("/")[2]], "and only that"


def test_what_could_not_be_taken_down_is_said_and_the_model_is_gone_here(opened: Homeroom, nebius: NebiusDouble) -> None:
    work_on(opened, submit_tuning(opened, "mine", RUN.model_copy(update={"checkpoints": "none"})))
    (model,) = opened.registry.list()
    nebius.faults = [("DELETE", "/v0/models", "401")]
    taken_down = delete_model(opened, model.name)
    assert taken_down is not None and work_on(opened, taken_down).error_code == "provider-auth"
    assert not opened.registry.list() and len(nebius.standing) == 1


def test_a_deployment_that_another_model_answers_by_stays(opened: Homeroom, nebius: NebiusDouble) -> None:
    work_on(opened, submit_tuning(opened, "mine", RUN.model_copy(update={"checkpoints": "none"})))
    (model,) = opened.registry.list()
    opened.registry.register(replace(model, name=f"{model.name[:-8]}0a1b2c3d", created_at=0.0))
    assert delete_model(opened, model.name) is None and len(nebius.standing) == 1


def test_a_setting_that_the_endpoint_does_not_take_is_refused_when_the_run_is_asked_for(
    opened: Homeroom, nebius: NebiusDouble
) -> None:
    with pytest.raises(ConfigError) as caught:
        submit_tuning(opened, "mine", RUN.model_copy(update={"learning_rate_multiplier": 2.0}))
    assert caught.value.code == "fine-tuning-setting" and nebius.requests == [] and not opened.jobs.list(kind="tune")
