"""`homeroom tune run A.yaml B.yaml`: one batch, one base in memory, one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homeroom.app import several
from homeroom.app.home import Homeroom
from homeroom.errors import JobFailed
from homeroom.models import tiny
from homeroom.tuning.recipe_file import run_of
from tests.app import material
from tests.cli.commands import eventually

TUTOR = {**material.QUICK, "task": "tutor"}


@pytest.fixture
def dataset(homeroom, course) -> str:
    assert homeroom("data", "split", course).code == 0
    return "small-course"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two runs that differ in the rank, and one that nothing fits."""
    cramped = {**TUTOR, "data": {"max_sequence_tokens": 16}}
    recipes = {"small": TUTOR, "large": {**TUTOR, "lora": {"rank": 4}}, "cramped": cramped}
    return [material.write_recipe(tmp_path / f"{name}.yaml", recipe) for name, recipe in recipes.items()]


def test_several_recipes_are_one_job(homeroom, dataset, files):
    small, large, _ = files
    told = homeroom("tune", "run", small, large, "--dataset", dataset, "--no-wait", "--json").json
    (job,) = told["jobs"]
    assert (job["kind"], job["state"], told["runs"]) == ("batch", "queued", [])
    assert [(run["label"], run["recipe"]["lora"]["rank"]) for run in job["payload"]["runs"]] == [("small", 2), ("large", 4)]
    again = homeroom("tune", "run", small, "--recipe", large, "--dataset", dataset, "--no-wait", "--json").json
    assert again["jobs"][0]["id"] == job["id"], "named either way it is the same batch"
    assert len(homeroom("jobs", "list", "--json").json) == 1
    alone = homeroom("tune", "run", small, "--dataset", dataset, "--no-wait", "--json").json
    assert alone[0]["kind"] == "tune", "one recipe is a run as ever"


def test_runs_of_one_name_are_told_apart_by_their_files(homeroom, dataset, tmp_path):
    runs = {"runs": {"tutor": {"task": "tutor"}}}
    one, two = (
        material.write_recipe(tmp_path / f"{name}.yaml", {**material.QUICK, "seed": at, **runs}) for at, name in enumerate("ab")
    )
    told = homeroom("tune", "run", one, two, "--dataset", dataset, "--no-wait", "--json").json
    assert [run["label"] for run in told["jobs"][0]["payload"]["runs"]] == ["a.tutor", "b.tutor"]
    refused = homeroom("tune", "run", one, one, "--dataset", dataset, "--no-wait")
    assert (refused.code, "called 'a.tutor'" in refused.error) == (2, True)


def test_each_run_of_a_file_keeps_its_own_method(homeroom, dataset, tmp_path):
    runs = {"a": {"method": "dspy", "max_calls": 60}, "b": {"method": "huggingface", **material.QUICK}, "c": {"method": "openai"}}
    file = material.write_recipe(
        tmp_path / "mixed.yaml", {"task": "tutor", "runs": {k: {**v, "base": tiny.NAME} for k, v in runs.items()}}
    )
    planned = homeroom("tune", "plan", "--recipe", file, "--dataset", dataset, "--json").json
    assert {one["recipe"]: one["method"] for one in planned} == {"a": "dspy", "b": "huggingface", "c": "openai"}
    prompts = homeroom("tune", "plan", "--method", "dspy", "--recipe", file, "--dataset", dataset)
    assert (prompts.code, "'c' has the method 'openai', which is not turned into a search" in prompts.error) == (2, True)


def test_the_bundled_recipes_are_a_batch_and_what_the_dataset_cannot_feed_is_left_out(homeroom, dataset):
    recipes = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    assert "feedback.yaml" in [path.name for path in recipes]
    told = homeroom("tune", "run", *recipes, "--base", tiny.NAME, "--dataset", dataset, "--no-wait")
    assert (told.code, "feedback: left out, no example of the dataset has the fields of its program" in told.err) == (0, True)
    labels = [run["label"] for job in homeroom("jobs", "list", "--json").json for run in job["payload"].get("runs", [])]
    assert {"demo", "learner", "tutor"} <= set(labels)
    feedback = next(path for path in recipes if path.name == "feedback.yaml")
    assert "#program-fields" in homeroom("tune", "run", feedback, "--base", tiny.NAME, "--dataset", dataset, "--no-wait").error


@pytest.mark.slow
def test_a_batch_from_start_to_table(homeroom, dataset, files):
    command = ("tune", "run", *files, "--dataset", dataset)
    told = homeroom(*command)
    assert told.code == 1, "one of them is missing"
    lines = told.out.splitlines()
    assert lines[0].split()[:2] == ["run", "method"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["small", "huggingface"],
        ["large", "huggingface"],
        ["cramped", "huggingface"],
    ]
    assert "failed: None of" in lines[3] and "1 of 3 missing" in told.out
    assert all(f"{run}: Forecast " in told.err for run in ("small", "large")) and "; memory" not in told.err
    assert len(homeroom("tune", "plan", "--history", "--json").json["runs"]) == 2
    again = homeroom(*command, "--json")
    made = [row["state"] for row in again.json["runs"]]
    assert (again.code, made) == (1, ["made", "made", "failed"])
    (job,) = again.json["jobs"]
    assert job["payload"]["before"], "the missing one was tried once more, by another job"
    with Homeroom.open() as home:
        models = {model.name: model for model in home.registry.list()}
        jobs = {job.id: job for job in home.jobs.list()}
    assert [name for row in again.json["runs"] for name in row["models"]] == sorted(
        models, key=lambda n: models[n].recipe["lora"]["rank"]
    )
    assert {model.job_id for model in models.values()} == {job["payload"]["before"]}, "and only that one"
    assert (jobs[job["payload"]["before"]].result or {})["loads"] == 1
    assert all(row["valid_loss"] < row["base_valid_loss"] for row in again.json["runs"][:2])
    assert [row["verdicts"] for row in again.json["runs"]] == [["unjudged"], ["unjudged"], []]
    both = " ".join(name for row in again.json["runs"] for name in row["models"])
    assert f"homeroom tune unsolved {both} --out FILE.jsonl" in told.out, "what no candidate solves"


@pytest.mark.slow
def test_no_run_is_begun_after_the_minutes_and_the_same_command_makes_it_later(homeroom, dataset, files):
    command = ("tune", "run", *files[:2], "--dataset", dataset, "--json")
    short = homeroom(*command, "--minutes", "0.0001")
    assert (short.code, [row["state"] for row in short.json["runs"]]) == (1, ["made", "not begun"])
    whole = homeroom(*command)
    assert (whole.code, [row["state"] for row in whole.json["runs"]]) == (0, ["made", "made"])
    assert whole.json["runs"][0]["models"] == short.json["runs"][0]["models"], "what was made is not made again"

    first, second = (row["models"][0] for row in whole.json["runs"])
    assert homeroom("models", "delete", second, "--yes").code == 0
    anew = homeroom(*command)
    assert (anew.code, [row["state"] for row in anew.json["runs"]]) == (0, ["made", "made"]), "what was deleted is"
    assert anew.json["jobs"][0]["id"] != whole.json["jobs"][0]["id"] and anew.json["runs"][0]["models"] == [first]
    assert homeroom(*command).json["jobs"][0]["id"] == anew.json["jobs"][0]["id"]


@pytest.mark.slow
def test_a_killed_batch_goes_on_with_the_run_it_was_in(homeroom, start, dataset, tmp_path, home):
    recipes = {"short": TUTOR, "long": {**material.LONG, "task": "tutor", "epochs": 2}}
    files = [material.write_recipe(tmp_path / f"{name}.yaml", recipe) for name, recipe in recipes.items()]
    command = ("tune", "run", *files, "--dataset", dataset, "--json")
    running = start(*command)
    eventually(lambda: list((home / "jobs").glob("*/work/run-001/checkpoints/step-*")))
    running.process.kill()
    running.ended()
    with Homeroom.open() as opened:
        (before,) = opened.registry.list()
    told = homeroom(*command)
    assert (told.code, [row["state"] for row in told.json["runs"]]) == (0, ["made", "made"])
    assert told.json["runs"][0]["models"] == [before.name]
    with Homeroom.open() as opened:
        (job,) = opened.jobs.list()
        assert any("Continuing from the checkpoint" in event.message for event in opened.jobs.events(job.id))


class Watching:
    """A `homeroom.app.several.Follower` of a batch whose job dies with one run made; the others are not waited for."""

    def __init__(self, home: Homeroom) -> None:
        self.home, self.told = home, []

    def begun(self, label, job) -> None:
        self.told.append(f"begun {label}")

    def wait(self, job):
        if job.kind != "batch":
            return
        held = self.home.jobs.claim("a worker", 60.0, job.id)
        work = self.home.work_root / job.id / "work"
        work.mkdir(parents=True)
        made = {"run": "small", "base": tiny.NAME, "method": "huggingface", "state": "made", "models": []}
        (work / "batch.json").write_text(json.dumps({"rows": {"small": made}, "seconds": 1.0}))
        self.home.jobs.finish(job.id, held.token, "failed", None, "It died 3 times in a row.")
        raise JobFailed("It died 3 times in a row.", job_id=job.id)

    def failed(self, label, error) -> None:
        self.told.append(f"failed {label}")


def test_a_job_that_dies_costs_the_other_runs_nothing(homeroom, dataset):
    search = run_of({"method": "dspy", "name": "search", "task": "tutor", "max_calls": 60, "base": tiny.NAME})
    small, large = (run_of({**TUTOR, "base": tiny.NAME, "name": name, "seed": at}) for at, name in enumerate(("small", "large")))
    with Homeroom.open() as opened:
        follower = Watching(opened)
        runs = [("large", large), ("search", search), ("small", small)]
        jobs, rows = several.Batch(opened, dataset, runs, several.Budget((), None)).make(follower)
    assert [job.kind for job in jobs] == ["batch", "tune"] and jobs[0].state == "failed", "the search was submitted"
    assert [(row["run"], row["state"], row.get("error", "")) for row in rows] == [
        ("large", "failed", "It died 3 times in a row."),
        ("small", "made", ""),
    ]
    assert follower.told == ["begun large, small", "failed large, small", "begun search"]
