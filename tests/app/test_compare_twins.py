"""The rows ``huggingface`` and ``openai (this server)`` of a comparison: by default both do the same training."""

from __future__ import annotations

import dataclasses
import json

import pytest

import homeroom
from homeroom.app.compare_entries import default_run
from homeroom.app.compare_twins import MOST_EPOCHS, with_numbers
from homeroom.app.comparing import Wanted, lineup
from homeroom.app.fine_tuning.hyperparameters import Hyperparameters, recipe_for
from homeroom.data.reading import load_examples
from homeroom.errors import HomeroomError
from homeroom.evaluation.recommendation import THIS_SERVER
from homeroom.models import tiny
from homeroom.settings import Endpoint
from homeroom.tuning.openai.dialect import OPENAI
from homeroom.tuning.recipe import Recipe
from homeroom.tuning.recipe_file import parse_run
from tests.app import material

BOTH = ("huggingface", "openai")
SHOWN = {"name", "task", "suffix", "system_prompt", "generation", "data", "batch_tokens"}
"""What is no training, or follows from the longest example, which the run below measures."""


@pytest.fixture
def dataset(home, tmp_path):
    records = [*material.tutor_records(), *material.learner_records()]
    return home.datasets.create("mine", load_examples(material.write_jsonl(tmp_path / "mine.jsonl", records)))


def test_both_default_runs_are_one_training(home, dataset):
    weights, sent = (entry.run for entry in lineup(home, Wanted("mine", methods=BOTH)).entries)
    asked = OPENAI.settings(sent, sent.epochs)["method"]["supervised"]["hyperparameters"]
    ours = recipe_for(Hyperparameters(**asked), base=tiny.NAME, parameters_m=0, method="supervised", suffix=sent.suffix,
                      seed=sent.seed, longest_tokens=64)  # fmt: skip
    told, served = weights.to_dict(), ours.to_dict()
    assert {k: told[k] for k in told if k not in SHOWN} == {k: served[k] for k in served if k not in SHOWN}
    assert (weights.max_trained_tokens, weights.data.max_examples, sent.max_examples) == (None, None, None)
    assert (weights.system_prompt, weights.generation, weights.seed) == (sent.system_prompt, sent.generation, sent.seed)
    assert asked == {"n_epochs": MOST_EPOCHS, "batch_size": 2, "learning_rate_multiplier": 2.0}


def test_alone_a_method_keeps_its_own_recipe(home, dataset):
    (entry,) = lineup(home, Wanted("mine", methods=("huggingface",))).entries
    assert entry.run == default_run("huggingface", "tutor").model_copy(update={"base": tiny.NAME})


@pytest.mark.parametrize(("examples", "epochs"), [(0, 4), (12, 4), (60, 4), (100, 3), (244, 1), (5000, 1)])
def test_few_examples_are_seen_more_often(examples, epochs):
    assert with_numbers(default_run("openai", "tutor"), examples).epochs == epochs


@pytest.mark.slow  # two trainings, and a server
@pytest.mark.timeout(600)
def test_what_both_really_trained_is_the_same_and_is_compared(home, dataset):
    found = homeroom.compare(home, dataset.info.id, methods=BOTH, task="tutor", items=4, max_tokens=4)
    weights, here = (next(f for f in found.facts if f.label == label) for label in ("huggingface", THIS_SERVER))
    assert weights.work == here.work
    assert weights.work["tokens"] > 0 and weights.work["epochs"] == MOST_EPOCHS and weights.work["learning rate"] == 0.001
    recipes = [home.artifacts.path(home.registry.get(f.model).artifact) / "recipe.yaml" for f in (weights, here)]
    alike = [(r.data, r.batch_tokens, r.seed, r.lora, r.validation) for r in map(_read, recipes)]
    assert alike[0] == alike[1]
    assert not any("shows nothing" in reason for reason in found.advice.reasons)
    short = parse_run({**material.QUICK, "name": "short", "task": "tutor"})
    mixed = homeroom.compare(home, dataset.info.id, recipes=[short], models=[here.model], items=4, max_tokens=4)
    (reason,) = [reason for reason in mixed.advice.reasons if THIS_SERVER in reason and "shows nothing" in reason]
    assert "were not trained alike" in reason and "learning rate 0.001 and 0.01" in reason


def _read(path) -> Recipe:
    from homeroom.tuning.recipe_file import load_recipes

    (recipe,) = load_recipes(path)
    return recipe


FAR = Endpoint("far", "https://far.invalid/v1", "FAR_API_KEY", ("guesses", "gpt-4.1-mini"))


def with_endpoints(home, *endpoints: Endpoint) -> None:
    home.settings = dataclasses.replace(home.settings, endpoints=endpoints)


def test_with_a_providers_key_the_command_for_its_own_row_is_told_and_nothing_is_switched(home, dataset, monkeypatch):
    with_endpoints(home, FAR)
    assert lineup(home, Wanted("mine", methods=BOTH)).notes == (), "no key is set"
    monkeypatch.setenv("FAR_API_KEY", "sk-far")
    found = lineup(home, Wanted("mine", methods=BOTH))
    (note,) = found.notes
    assert [entry.run.base for entry in found.entries] == [tiny.NAME, tiny.NAME]
    assert "FAR_API_KEY is set" in note and "costs money and sends the examples to far.invalid" in note and "sk-far" not in note
    assert "--methods huggingface,openai,openai=far/gpt-4.1-mini" in note, "a model that is known to be tuned there"
    assert f"homeroom tune compare --dataset mine --task tutor --base {tiny.NAME} " in note
    row = lineup(home, Wanted("mine", methods=(*BOTH, "openai=far/gpt-4.1-mini")))
    assert row.notes == () and [entry.run.base for entry in row.entries] == [tiny.NAME, tiny.NAME, "far/gpt-4.1-mini"]
    assert row.entries[2].run.epochs is None, "its hyperparameters are the provider's"
    with_endpoints(home, dataclasses.replace(FAR, models=("guesses",)))
    assert lineup(home, Wanted("mine", methods=BOTH)).notes == (), "not known to be tuned there"


def test_weights_are_left_out_where_the_base_is_at_an_endpoint(home, dataset, monkeypatch):
    with_endpoints(home, FAR)
    monkeypatch.setenv("FAR_API_KEY", "sk-far")
    for more in ({"methods": ("huggingface", "openai")}, {"methods": ("local", "openai")},
                 {"methods": ("openai",), "recipes": (parse_run({"name": "mine", "method": "local"}),)}):  # fmt: skip
        found = lineup(home, Wanted("mine", base="far/gpt-4.1-mini", task="tutor", **more))
        assert [entry.label.partition(" ")[0] for entry in found.entries] == ["openai"]
        (note,) = found.notes
        assert note.startswith("huggingface: left out, the weights of far/gpt-4.1-mini are at an endpoint")
    with pytest.raises(HomeroomError, match="left out, the weights") as refused:
        lineup(home, Wanted("mine", base="far/gpt-4.1-mini", methods=("huggingface",)))
    assert refused.value.code == "nothing-to-compare"
    unnamed = lineup(home, Wanted("mine", base="far/gpt-4.1-mini", recipes=(parse_run({"name": "mine"}),), task="tutor"))
    assert [entry.label for entry in unnamed.entries] == ["dspy (mine)"], "it is called what it comes to"


def test_weights_that_are_asked_for_by_name_are_not_replaced_by_a_prompt(home, dataset, tmp_path):
    with_endpoints(home, FAR)
    for name in ("huggingface", "local"):
        asked = {"name": "mine", "task": "tutor", "base": "far/gpt-4.1-mini", "method": name}
        for recipe in (asked, Recipe(**asked)):
            for begin in (homeroom.plan, homeroom.tune):
                with pytest.raises(HomeroomError, match="homeroom tune run --method huggingface") as refused:
                    begin(home, dataset.info.id, recipe)
                assert refused.value.code == "recipe-method" and "'far/gpt-4.1-mini'" in refused.value.message
    assert home.jobs.list() == ()
    unnamed = homeroom.plan(home, dataset.info.id, {"name": "mine", "task": "tutor", "base": "far/gpt-4.1-mini"})
    assert unnamed.method == "dspy"
    assert json.loads(json.dumps(Recipe(name="x").to_dict())) == Recipe(name="x", method="huggingface").to_dict()
