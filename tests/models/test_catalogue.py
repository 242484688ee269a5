"""The catalogue: what ships in it, and what names mean."""

from __future__ import annotations

import pytest

from homeroom.errors import ConfigError, NotFoundError
from homeroom.models.catalogue import BaseModel, EndpointModel, HubModel, IndexWheel, base_model, load_catalogue

CATALOGUE = load_catalogue()


def test_every_entry_says_what_a_user_must_know():
    for model in CATALOGUE:
        assert model.licence
        assert model.title
        assert model.parameters_m > 0
        assert model.memory_mb > model.parameters_m  # 8-bit weights and more
        assert model.context_tokens >= 2048
        assert model.sources
        assert "q_proj" in model.lora_targets


def test_no_model_is_for_learners_without_evidence():
    assert {model.suitability for model in CATALOGUE} <= {"practice", "trainee"}
    assert CATALOGUE.find("smollm2-135m-instruct").suitability == "practice"


def test_wheels_are_pinned():
    wheels = [source for model in CATALOGUE for source in model.sources if isinstance(source, IndexWheel)]
    assert wheels
    assert all(len(wheel.sha256) == len(wheel.wheel_sha256) == 64 for wheel in wheels)


def test_the_embedded_model_is_first():
    assert next(iter(CATALOGUE)).name == "smollm2-135m-instruct"


def test_a_name_may_be_an_entry_a_hub_id_or_an_endpoints_model():
    assert isinstance(CATALOGUE.find("qwen3-0.6b"), BaseModel)
    assert CATALOGUE.find("Qwen/Qwen3-0.6B") == CATALOGUE.find("qwen3-0.6b")
    other = CATALOGUE.find("org/some.model-1B")
    assert (other.sources, other.suitability) == ((HubModel("org/some.model-1B"),), "practice")
    assert CATALOGUE.find("ollama/llama3.2:1b", ["ollama"]) == EndpointModel("ollama/llama3.2:1b", "ollama", "llama3.2:1b")
    assert CATALOGUE.find("lab/org/model", ["lab"]) == EndpointModel("lab/org/model", "lab", "org/model")


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen3", "a b/c", "../etc", "", "org/", "/x", "a/b/c"])
def test_an_unknown_name_is_told(name):
    with pytest.raises(NotFoundError, match="homeroom models list") as caught:
        CATALOGUE.find(name)
    assert caught.value.code == "unknown-model"


def test_near_names_are_offered():
    with pytest.raises(NotFoundError, match="'smollm2-135m-instruct'"):
        CATALOGUE.find("SmolLM2-135M")


def test_an_unknown_kind_of_source_is_told():
    with pytest.raises(ConfigError, match="'floppy'"):
        base_model({"name": "x", "sources": [{"kind": "floppy"}]})
