"""The reference page of recipes: every key of every method stands on it with its meaning, and its examples are recipes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from homeroom.tuning.recipe_file import METHODS
from homeroom.tuning.sweep.space import SweepSpec

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import docs_recipe  # noqa: E402 - a script


def test_every_method_has_its_table() -> None:
    assert set(docs_recipe.METHODS.values()) == {*METHODS.values(), SweepSpec}


@pytest.mark.parametrize("name", docs_recipe.METHODS)
def test_every_key_has_its_values_and_a_meaning(name: str) -> None:
    rows = list(docs_recipe.keys(docs_recipe.METHODS[name], "sweep." if name == "SWEEP" else "", name))
    assert [key for key, _, takes, about in rows if not takes or not about] == []
    top = {key.removeprefix("sweep.").split(".")[0] for key, *_ in rows}
    assert top == set(docs_recipe.METHODS[name].model_fields)
    page = (ROOT / "docs/reference/recipe.md").read_text("utf-8")
    assert all(f"| `{key}` | {default} | {takes} | {about} |" in page for key, default, takes, about in rows)


def test_defaults_are_those_of_the_recipe_and_not_of_its_parts() -> None:
    rows = {key: default for key, default, _, _ in docs_recipe.keys(docs_recipe.METHODS["HUGGINGFACE"])}
    assert rows["accumulation.examples"] == "`8`" and rows["accumulation.tokens"] == ""
    assert rows["optimiser.learning_rate"] == "`0.0005`" and rows["suffix"] == ""
