"""Checking data by meaning: a real embedding model in a real engine, loaded only for whoever asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homeroom.app.checking import check_files
from homeroom.errors import NotFoundError
from homeroom.models import tiny_embedder
from homeroom.models.catalogue import DEFAULT_EMBEDDER
from homeroom.models.embed_files import prepare_embedder
from homeroom.settings import Settings, load_settings

PAIRS = (
    ("How many legs dogs", "Float soil"),
    ("Ice bus soil apples", "Many dogs"),
    ("What number paws hounds", "Swim ground"),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    environ = {"HOMEROOM_HOME": str(tmp_path / "home"), "HOMEROOM_CACHE": str(tmp_path / "cache"), "HOMEROOM_THREADS": "1"}
    return load_settings(environ=environ)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in PAIRS]
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in turns))
    return path


def test_paraphrases_are_found_and_the_cost_is_said_first(tmp_path: Path, settings: Settings, file: Path) -> None:
    prepare_embedder(tiny_embedder.build(tmp_path / "tiny"), DEFAULT_EMBEDDER, settings.cache)
    said: list[str] = []
    found = check_files([file], settings=lambda: settings, select=["DIV004"], semantic=True, announce=said.append)
    (finding,) = found.findings
    assert (finding.name, finding.line, finding.lines) == ("semantic-duplicate", 3, (1,))
    assert "6 texts" in said[0]


def test_nothing_is_loaded_for_whoever_does_not_ask(settings: Settings, file: Path) -> None:
    assert not check_files([file], settings=lambda: settings, select=["DIV004"]).findings
    check_files([file], settings=lambda: settings, select=["STR"], semantic=True)
    assert not settings.home.exists()


def test_a_missing_model_is_named_with_the_command(settings: Settings, file: Path) -> None:
    with pytest.raises(NotFoundError, match=f"homeroom models pull {DEFAULT_EMBEDDER}") as caught:
        check_files([file], settings=lambda: settings, semantic=True)
    assert caught.value.code == "not-pulled"


def test_the_configuration_can_ask_for_it(tmp_path: Path, settings: Settings, file: Path) -> None:
    (tmp_path / "homeroom-data.yaml").write_text("thresholds: {DIV004: {method: embedding}}\n")
    with pytest.raises(NotFoundError) as caught:
        check_files([file], settings=lambda: settings)
    assert caught.value.code == "not-pulled"
