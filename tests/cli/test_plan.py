"""`homeroom tune plan` and what a run then took: interval, fit, and forecasts beside actual figures."""

from __future__ import annotations

import shutil

import pytest

from homeroom.app.home import Homeroom
from tests.app import material

pytestmark = pytest.mark.slow  # many processes, or much arithmetic


@pytest.fixture
def recipe(tmp_path):
    """A quick run of one adapter for both tasks."""
    return material.write_recipe(
        tmp_path / "quick.yaml", {**material.QUICK, "task": "any", "roles": {"learner": {}, "tutor": {}}}
    )


def test_a_run_keeps_its_forecast_and_the_history_sets_it_beside_what_it_took(homeroom, course, recipe, home):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    assert homeroom("tune", "plan", "--history").out.startswith("No run with a forecast yet.")
    (plan,) = homeroom("tune", "plan", "--dataset", "small", "--recipe", recipe, "--json").json
    assert 0 < plan["time_low_s"] < plan["time_s"] < plan["time_high_s"]
    assert plan["fits"] is True and plan["advice"] == []
    assert len(list((home / "calibration").iterdir())) == 1, "measured once, and kept"

    ran = homeroom("tune", "run", "--dataset", "small", "--recipe", recipe)
    assert ran.code == 0, ran.err
    assert "Forecast " in ran.err, "set beside what it took, on the terminal too"
    told = homeroom("tune", "plan", "--history", "--json").json
    (run,) = told["runs"]  # one run, although its adapter is registered for two roles
    with Homeroom.open() as opened:
        models = opened.registry.list()
        assert len(models) == 2
        metrics = models[0].metrics
        said = [event.message for event in opened.jobs.events(models[0].job_id)]
    assert run["past"]["forecast_s"] == metrics["forecast"]["time_s"]
    assert run["past"]["actual_s"] == metrics["seconds"]
    assert run["past"]["actual_bytes"] == metrics["peak_memory_bytes"] > 0
    assert any(line.startswith("Forecast ") and ", took " in line for line in said)
    error = abs(metrics["forecast"]["time_s"] - metrics["seconds"]) / metrics["seconds"]
    assert told["accuracy"]["runs"] == 1
    assert told["accuracy"]["median_error"] == pytest.approx(error)
    shown = homeroom("tune", "plan", "--history").out
    assert "1 whole run: median error" in shown
    assert homeroom("tune", "plan", "--dataset", "small", "--recipe", recipe, "--json").json[0]["details"]["runs_before"] == 1


def test_a_plan_that_does_not_fit_says_so_and_fails(homeroom, course, recipe, monkeypatch):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    told = homeroom("tune", "plan", "--dataset", "small", "--recipe", recipe)
    assert told.code == 1
    assert "it will not start. Make space: homeroom jobs prune" in told.out
