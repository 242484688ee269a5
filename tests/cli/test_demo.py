"""`homeroom demo` from a file to two judged models; everything here looks at one run of it."""

from __future__ import annotations

import csv
import json

from homeroom.app.home import Homeroom
from tests.app import material


def test_demo_passes_every_step_and_names_the_command_of_each(demo):
    assert (demo.outcome.code, demo.outcome.err.count("Traceback")) == (0, 0), demo.outcome.err
    for number, command in enumerate(
        (
            "homeroom doctor",
            "homeroom data split",
            "homeroom models pull tiny",
            "homeroom tune run --dataset small-course@1 --recipe",
            "homeroom eval run --model ft:tiny:homeroom:learner:",
            "homeroom eval run --model ft:tiny:homeroom:tutor:",
            "homeroom models list",
        ),
        start=1,
    ):
        heading = next(line for line in demo.outcome.out.splitlines() if line.startswith(f"{number}. "))
        assert command in heading
    assert "36 examples, 0 errors" in demo.outcome.out
    assert demo.outcome.out.count("Held-out loss: base") == 2
    assert demo.outcome.out.rstrip().splitlines()[-1].strip() == "homeroom demo --data my-project/data/examples.jsonl"


def test_demo_registers_a_model_of_each_task_with_all_its_files(tuned):
    with Homeroom.open() as home:
        models = {model.task: model for model in home.registry.list()}
        assert sorted(models) == ["learner", "tutor"]
        for model in models.values():
            files = home.artifacts.path(model.artifact)
            home.artifacts.verify(model.artifact)
            assert {path.name for path in files.iterdir()} >= {
                "adapter_config.json",
                "adapter_model.safetensors",
                "adapter.gguf",
                "README.md",
                "recipe.yaml",
                "preview.json",
                "preview.txt",
                "history.csv",
            }
            assert (files / "adapter.gguf").read_bytes()[:4] == b"GGUF"
            assert model.name in (files / "README.md").read_text()
            rows = list(csv.DictReader((files / "history.csv").read_text().splitlines()))
            assert int(rows[-1]["step"]) == model.metrics["steps"] > 0
            job = home.jobs.get(model.job_id)
            assert (job.state, job.kind, job.result["models"]) == (
                "succeeded",
                "tune",
                [models["learner"].name, models["tutor"].name],
            )
            assert model.dataset == home.datasets.info("small-course").id
            assert model.base_identity == home.base_files().identity


def test_demo_leaves_a_scorecard_a_report_and_a_verdict(tuned):
    with Homeroom.open() as home:
        for model in home.registry.list():
            (card,) = home.registry.scorecards(model.name)
            assert model.verdict == card.summary["outcome"]
            assert model.verdict in ("promote", "practice", "reject")
            report = home.artifacts.path(card.report_artifact)
            evaluation = json.loads((report / "evaluation.json").read_text())
            assert [system["name"] for system in evaluation["systems"]][:3] == ["base", "few-shot", "tuned"]
            page = (report / "report.html").read_text()
            assert "<html" in page
            assert "<script" not in page and " src=" not in page.replace(' src="data:', "")


def test_demo_refuses_what_was_not_good_enough(tuned, homeroom):
    """A random model of two layers cannot pass: the demo says so, and no route leads to it."""
    with Homeroom.open() as home:
        verdicts = {model.task: model.verdict for model in home.registry.list()}
        for task, verdict in verdicts.items():
            assert (home.registry.route(task) is None) == (verdict == "reject")
        assert verdicts["tutor"] == "reject"
    assert homeroom("chat", "-m", "Half of 14 is 8.", "--json").json["model"] == "tiny"


def test_demo_with_a_file_of_one_task_leaves_the_other_act_out(tuning):
    """Its tuning was done before, by the same recipe."""
    told = tuning.outcomes["demo"]
    assert told.code == 0, told.err
    assert "Done before" in told.out and "Tuning a simulated learner" not in told.out
    with tuning.open() as home:
        (model,) = home.registry.list()
        assert (model.task, len(home.registry.scorecards(model.name))) == ("tutor", 1)
        assert {job.state for job in home.jobs.list()} == {"succeeded"}
        assert home.datasets.info("mine").version == 1


def test_demo_of_a_task_that_no_run_trains_is_refused(homeroom, tmp_path):
    material.write_jsonl(tmp_path / "learners.jsonl", material.learner_records())
    only = material.write_recipe(tmp_path / "tutor.yaml", material.QUICK)
    told = homeroom("demo", "--no-serve", "--data", "learners.jsonl", "--recipe", only)
    assert (told.code, "has examples for learner; the recipe trains tutor" in told.error) == (2, True)


def test_demo_again_trains_nothing_twice(tuned, demo, homeroom):
    with Homeroom.open() as home:
        before = {job.id: job.finished_at for job in home.jobs.list()}
        models = [model.name for model in home.registry.list()]
    told = homeroom(*demo.arguments)
    assert told.code == 0
    assert told.out.count("Done before") == 3
    result = homeroom(*demo.arguments, "--json").json
    assert [act["task"] for act in result["acts"]] == ["learner", "tutor"]
    assert sorted(act["model"] for act in result["acts"]) == sorted(models)
    assert all(act["verdict"] in ("promote", "practice", "reject") for act in result["acts"])
    with Homeroom.open() as home:
        assert {job.id: job.finished_at for job in home.jobs.list()} == before
        assert [model.name for model in home.registry.list()] == models
