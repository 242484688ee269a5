"""A project folder from a person's own file, and the machine check."""

from __future__ import annotations

import json

import pytest

from homeroom.app.doctor import FEATURES, examine
from homeroom.app.project import convert_file, create_project, parse_columns, read_any
from homeroom.errors import ConfigError, ConflictError, DataError
from homeroom.settings import load_settings
from homeroom.tuning.recipe_file import load_recipes
from tests.app import material


def test_columns_are_pairs_of_known_fields():
    assert parse_columns(["user=Frage", "assistant=Antwort=2"]) == {"user": "Frage", "assistant": "Antwort=2"}
    for wrong in ("user", "teacher=Frage"):
        with pytest.raises(ConfigError) as refused:
            parse_columns([wrong])
        assert refused.value.code == "columns-unknown"


def test_every_problem_of_a_table_is_told_with_its_row(tmp_path):
    (tmp_path / "mine.csv").write_text("question,answer,grade\nWhy?,Look.,99\nHow?,,3\n")
    with pytest.raises(DataError) as refused:
        read_any(tmp_path / "mine.csv")
    assert [(problem.line, problem.rule) for problem in refused.value.problems] == [(2, "grade-invalid"), (3, "content-empty")]


def test_a_project_is_made_whole_or_not_at_all(tmp_path):
    (tmp_path / "bad.csv").write_text("question,answer\nWhy?,\n")
    with pytest.raises(DataError):
        create_project(tmp_path / "project", tmp_path / "bad.csv", {})
    assert not (tmp_path / "project").exists()
    source = material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records())
    assert create_project(tmp_path / "project", source, {}) == 24
    assert [recipe.task for recipe in load_recipes(tmp_path / "project" / "recipe.yaml")] == ["any"]
    with pytest.raises(ConflictError):
        create_project(tmp_path / "project", source, {})


def test_a_conversion_keeps_what_is_there_unless_told(tmp_path):
    source = material.write_jsonl(tmp_path / "mine.jsonl", material.tutor_records()[:1])
    target = tmp_path / "other.jsonl"
    target.write_text("mine")
    with pytest.raises(ConflictError):
        convert_file(source, target, {})
    assert target.read_text() == "mine"
    assert convert_file(source, target, {}, force=True).examples == 1
    assert json.loads(target.read_text())["metadata"]["grade_band"] == "K-2"


def test_the_machine_check_covers_every_feature_and_changes_nothing(tmp_path):
    checks = {check.name: check for check in examine(load_settings())}
    assert {"Python", "machine", "disk", "GPU", *FEATURES, "home", "model cache", "base model", "server"} <= checks.keys()
    assert all(check.state == "ok" or check.mend for check in checks.values())
    assert list(tmp_path.iterdir()) == []
