"""`homeroom tune`: plans, and jobs that are found again. The training itself is the demo's."""

from __future__ import annotations

import pytest

from homeroom.app.home import Homeroom
from tests.app import material


def split(homeroom, course):
    assert homeroom("data", "split", course).code == 0
    return "small-course"


def test_plan_says_what_each_run_needs_and_starts_nothing(homeroom, course, two_runs, home):
    dataset = split(homeroom, course)
    told = homeroom("tune", "plan", "--dataset", dataset, "--recipe", two_runs)
    assert told.code == 0
    assert [line.split()[:2] for line in told.out.splitlines()[1:3]] == [["learner", "tiny"], ["tutor", "tiny"]]
    plans = homeroom("tune", "plan", "--dataset", dataset, "--recipe", two_runs, "--json").json
    assert [plan["recipe"] for plan in plans] == ["learner", "tutor"]
    for plan in plans:
        assert plan["trained_tokens"] > 0 and plan["steps"] > 0 and plan["memory_bytes"] > 0 and plan["cost_usd"] == 0
    assert homeroom("jobs", "list", "--json").json == []
    assert not (home / "jobs").exists()


@pytest.mark.slow  # the plan loads the training packages
def test_plan_of_one_task_only(homeroom, course, recipe):
    plans = homeroom("tune", "plan", "--dataset", split(homeroom, course), "--recipe", recipe, "--task", "tutor", "--json").json
    assert [plan["recipe"] for plan in plans] == ["tutor"]


def test_a_run_without_examples_is_left_out(homeroom, tmp_path, two_runs):
    material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())
    homeroom("data", "split", "mine.jsonl")
    told = homeroom("tune", "run", "--dataset", "mine", "--recipe", two_runs, "--no-wait")
    assert told.code == 0
    assert "learner: left out, the dataset has no learner examples" in told.err
    assert [job["payload"]["recipe"]["task"] for job in homeroom("jobs", "list", "--json").json] == ["tutor"]
    refused = homeroom("tune", "run", "--dataset", "mine", "--recipe", two_runs, "--no-wait", "--task", "learner")
    assert (refused.code, "no training example for the task 'learner'" in refused.error) == (2, True)


def test_a_base_that_is_not_here_says_how_to_get_it(homeroom, course, recipe):
    told = homeroom("tune", "run", "--dataset", split(homeroom, course), "--recipe", recipe, "--base", "qwen3-0.6b", "--no-wait")
    assert (told.code, "homeroom models pull qwen3-0.6b" in told.error) == (2, True)
    assert homeroom("jobs", "list", "--json").json == []


def test_every_mistake_of_a_recipe_is_told(homeroom, course, tmp_path):
    wrong = material.write_recipe(tmp_path / "wrong.yaml", {**material.QUICK, "epochs": 0, "lora": {"rnak": 2}})
    told = homeroom("tune", "plan", "--dataset", split(homeroom, course), "--recipe", wrong)
    assert told.code == 2
    assert "epochs = 0" in told.err and "did you mean 'rank'" in told.err and "has 2 mistakes. Mend" in told.error


def test_a_run_that_was_made_is_found_again(tuned, homeroom, recipe):
    with Homeroom.open() as home:
        made = {model.task: model for model in home.registry.list()}
    (job,) = homeroom("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--json").json
    assert job["id"] == made["learner"].job_id == made["tutor"].job_id
    assert job["result"]["models"] == [made["learner"].name, made["tutor"].name]
    told = homeroom("tune", "run", "--dataset", "small-course@1", "--recipe", recipe)
    assert told.code == 0
    assert f"Registered {made['learner'].name}\nRegistered {made['tutor'].name}" in told.out


def test_again_makes_a_new_run(tuned, homeroom, recipe):
    arguments = ("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--no-wait")
    (same,) = homeroom(*arguments, "--json").json
    (new,) = homeroom(*arguments, "--again", "--json").json
    (newer,) = homeroom(*arguments, "--again", "--json").json
    assert (same["state"], new["state"], newer["state"]) == ("succeeded", "queued", "queued")
    assert len({same["id"], new["id"], newer["id"]}) == 3


def test_another_recipe_is_another_run(tuned, homeroom, tmp_path):
    other = material.write_recipe(tmp_path / "other.yaml", {**material.QUICK, "seed": 1})
    (job,) = homeroom("tune", "run", "--dataset", "small-course", "--recipe", other, "--no-wait", "--json").json
    assert job["state"] == "queued"
    told = homeroom("tune", "run", "--dataset", "small-course", "--recipe", other, "--no-wait")
    assert f"job {job['id']}" in told.err
    assert told.out == f"Queued. Follow it: homeroom jobs follow {job['id']}\n"


@pytest.mark.slow
def test_a_model_that_was_deleted_is_made_again_and_then_found(tuned, homeroom, recipe):
    arguments = ("tune", "run", "--dataset", "small-course", "--recipe", recipe, "--json")
    with Homeroom.open() as home:
        made = home.registry.list()
    (before,) = homeroom(*arguments).json
    for model in made:
        assert homeroom("models", "delete", model.id8, "--yes").code == 0
    (anew,) = homeroom(*arguments).json
    (found,) = homeroom(*arguments).json
    assert anew["id"] == found["id"] != before["id"]
    with Homeroom.open() as home:
        assert sorted(model.name for model in home.registry.list()) == sorted(anew["result"]["models"])
