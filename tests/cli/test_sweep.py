"""`homeroom tune sweep`: trials of the tiny model, told, kept and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.tuning.recipe_file import load_recipes
from tests.app import material
from tests.cli.commands import eventually

SWEPT: dict[str, Any] = {
    **material.QUICK,
    "max_trained_tokens": 1200,
    "accumulation": {"examples": 2},
    "validation": {"every_steps": 1000, "patience": 0, "max_examples": 4},
    "task": "tutor",
    "sweep": {"learning_rate": [[1e-5, 5e-5], [2e-3, 2e-2]], "rank": [2, 4], "alpha": [4, 8], "trials": 5, "checks": 3},
}


@pytest.fixture
def dataset(homeroom, course) -> str:
    assert homeroom("data", "split", course).code == 0
    return "small-course"


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    return material.write_recipe(tmp_path / "swept.yaml", SWEPT)


def test_the_same_command_is_the_same_study_and_job(homeroom, dataset, swept, home):
    arguments = ("tune", "sweep", "--dataset", dataset, "--recipe", swept, "--no-wait", "--json")
    first, again, more = homeroom(*arguments).json, homeroom(*arguments).json, homeroom(*arguments, "--trials", "7").json
    assert first["id"] == again["id"] != more["id"]
    assert first["payload"]["study"] == more["payload"]["study"]
    assert first["payload"]["study"].startswith("swept-")
    assert (first["payload"]["sweep"]["trials"], more["payload"]["sweep"]["trials"]) == (5, 7)
    assert first["payload"]["recipe"]["base"] == "tiny" and "sweep" not in first["payload"]["recipe"]
    whole = material.write_recipe(home.parent / "whole.yaml", {**SWEPT, "weights": "full", "lora": {"rank": 2, "alpha": 4}})
    ranges = homeroom("tune", "sweep", "--dataset", dataset, "--recipe", whole, "--no-wait", "--json").json["payload"]["sweep"]
    assert (ranges["rank"], ranges["alpha"]) == ([2], [4.0]), "where every weight is trained there is no adapter to vary"
    assert homeroom(*arguments, "--seed", "3").json["payload"]["study"] != first["payload"]["study"]
    assert not (home / "studies").exists(), "nothing is begun"


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({}, ("--base", "qwen3-0.6b"), "homeroom models pull qwen3-0.6b"),
        ({}, ("--study", "My Study"), "lower-case letters"),
        ({"runs": {"a": {"task": "tutor"}, "b": {"task": "learner"}}}, (), "has a and b. Choose one: --task tutor"),
        ({"sweep": {"rank": [0]}}, (), "sweep.rank[0] = 0"),
    ],
)
def test_what_cannot_be_swept_is_told_before_anything_is_queued(homeroom, dataset, tmp_path, changes, options, says):
    file = material.write_recipe(tmp_path / "wrong.yaml", {**SWEPT, **changes})
    told = homeroom("tune", "sweep", "--dataset", dataset, "--recipe", file, "--no-wait", *options)
    assert told.error and (told.code, says in told.err) == (2, True), told.err
    assert homeroom("jobs", "list", "--json").json == []


def test_without_validation_examples_there_is_nothing_to_choose_by(homeroom, tmp_path, swept):
    material.write_jsonl(tmp_path / "few.jsonl", material.tutor_records()[:2])
    homeroom("data", "split", "few.jsonl")
    told = homeroom("tune", "sweep", "--dataset", "few", "--recipe", swept, "--no-wait")
    assert told.code == 2 and "few" in told.error


@pytest.mark.slow
def test_a_sweep_from_start_to_winner(homeroom, dataset, swept, home, tmp_path):
    arguments = ("tune", "sweep", "--dataset", dataset, "--recipe", swept, "--study", "mine", "--output", tmp_path / "out")
    told = homeroom(*arguments)
    assert told.code == 0, told.err
    result = homeroom(*arguments, "--json").json
    found = result["sweep"]
    assert [trial["origin"] for trial in found["trials"]] == ["recipe", "range", "range", "search", "search"]
    winner = found["trials"][found["best"]]
    whole = [trial["loss"] for trial in found["trials"] if trial["state"] == "complete"]
    assert winner["loss"] == min(whole) < found["base_loss"]
    high, low = found["ranges"][1], found["ranges"][0]
    assert high["best_loss"] < low["best_loss"], "on so few steps a rate of 1e-5 learns nothing"
    assert "winner" in told.out and f"Registered {result['model']}" in told.out
    assert told.err.count("Trial ") >= 5
    assert "The winning trial: Forecast " in told.err
    assert f"homeroom tune unsolved {result['model']} --out FILE.jsonl" in told.out

    with Homeroom.open() as opened:
        (model,) = opened.registry.list()
        assert model.name == result["model"] and model.metrics["valid_loss"] == winner["loss"]
        assert model.recipe["lora"]["rank"] == winner["rank"]
        opened.artifacts.verify(model.artifact)
        assert opened.artifacts.list("model") == (model.artifact,), "the other trials' weights are gone"
    assert [path.name for path in (home / "studies" / "mine").iterdir()] == ["study.json"]

    (recipe,) = load_recipes(tmp_path / "out" / "recipe.yaml")
    assert recipe.to_dict() == model.recipe
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert page.count('<circle class="mark') == 5 and "<script" not in page and "http" not in page.replace("http-equiv", "")

    more = homeroom(*arguments, "--trials", "6", "--json").json
    assert len(more["sweep"]["trials"]) == 6
    assert more["sweep"]["trials"][:5] == [
        {**t, "model": more["sweep"]["trials"][i]["model"]} for i, t in enumerate(found["trials"])
    ]
    changed = homeroom(*arguments, "--seed", "9")
    assert changed.code == 2 and "sweep.seed: 0 then, 9 now" in changed.err


@pytest.mark.slow
def test_a_killed_sweep_goes_on_in_the_middle_of_its_trial(homeroom, start, dataset, tmp_path, home):
    swept = material.write_recipe(tmp_path / "swept.yaml", {**SWEPT, "batch_tokens": "auto"})
    arguments = ("tune", "sweep", "--dataset", dataset, "--recipe", swept, "--study", "mine", "--trials", "4")
    running = start(*arguments)
    study = home / "studies" / "mine" / "study.json"
    eventually(lambda: study.exists() and len(json.loads(study.read_text())["trials"]) == 2)
    running.process.kill()
    running.ended()
    before = json.loads(study.read_text())["trials"]
    result = homeroom(*arguments, "--json").json
    after = json.loads(study.read_text())["trials"]
    assert len(after) == 4
    assert [trial["point"] for trial in after[:2]] == [trial["point"] for trial in before[:2]]
    assert {**before[0], "model": after[0]["model"]} == after[0], "what was whole is not made again"
    assert result["sweep"]["best"] is not None
    with Homeroom.open() as opened:
        (model,) = opened.registry.list()
        found = json.loads(study.read_text())["batch_tokens"]
    assert model.recipe["batch_tokens"] == found >= 384, "one number for every trial"


def test_a_report_of_a_sweep_that_has_not_ended_is_not_promised(homeroom, dataset, swept, tmp_path):
    told = homeroom("tune", "sweep", "--dataset", dataset, "--recipe", swept, "--output", tmp_path / "out", "--no-wait")
    assert told.code == 2 and "--no-wait" in told.error and not (tmp_path / "out").exists()
