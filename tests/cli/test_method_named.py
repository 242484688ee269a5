"""``--method huggingface`` with a base at an endpoint: refused, as no prompt stands in for weights that were asked for by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from tests.app import material

FAR = ("--dataset", "small-course", "--task", "tutor", "--base", "far/gpt-4.1-mini")


@pytest.fixture(autouse=True)
def _far(home: Path, homeroom, course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_API_KEY", "sk-far")
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(
        "endpoints: [{name: far, base_url: 'https://far.invalid/v1', models: [gpt-4.1-mini], api_key_env: FAR_API_KEY}]\n"
    )
    assert homeroom("data", "split", course).code == 0


@pytest.mark.parametrize("how", ["huggingface", "local", "recipe"])
@pytest.mark.parametrize("command", [("plan",), ("run", "--no-wait", "--yes"), ("run", "--minutes", "5", "--no-wait", "--yes")])
def test_weights_of_an_endpoint_are_refused(homeroom, tmp_path, command, how):
    named = ("--method", how)
    if how == "recipe":
        named = ("--recipe", material.write_recipe(tmp_path / "mine.yaml", {"method": "local", "task": "tutor"}))
    told = homeroom("tune", *command, *FAR, *named)
    assert told.code == 2 and "#recipe-method" in told.error and "'far/gpt-4.1-mini'" in told.error
    assert "homeroom tune run --method huggingface" in told.error and "--method openai" in told.error
    with Homeroom.open() as home:
        assert home.jobs.list() == ()


def test_with_no_method_the_prompt_is_tuned_as_before(homeroom):
    (planned,) = homeroom("tune", "plan", *FAR, "--json").json
    assert planned["method"] == "dspy"
    assert homeroom("tune", "run", "--no-wait", "--yes", *FAR).code == 0
