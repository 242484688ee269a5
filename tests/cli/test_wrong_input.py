"""Input that cannot be meant: said at once, in words that name what to type, before anything is asked, measured or tuned."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def dataset(homeroom, course: Path) -> None:
    assert homeroom("data", "split", course).code == 0


@pytest.mark.parametrize("text", ["# A page\n\nNo examples here.\n", "runs:\n  a: {}\n", "%%%\n{]\n"])
def test_a_file_without_an_example_gets_no_recommendation(homeroom, tmp_path, text):
    (tmp_path / "page.jsonl").write_text(text)
    told = homeroom("tune", "recommend", "page.jsonl", "--no-ask")
    assert told.code == 2 and "#no-examples" in told.error and "homeroom data check page.jsonl" in told.error
    assert told.out == ""


def test_a_large_folder_is_refused_at_once(homeroom, tmp_path):
    (tmp_path / "many").mkdir()
    with (tmp_path / "many" / "a.jsonl").open("wb") as file:
        file.truncate(201_000_000)
    told = homeroom("tune", "recommend", "many", "--no-ask")
    assert told.code == 2 and "201 MB" in told.error and "--examples" in told.error


def test_every_mistake_of_a_recipe_has_a_line_of_its_own(homeroom, dataset, tmp_path):
    (tmp_path / "bad.yaml").write_text("task: tuter\nseed: -1\n")
    told = homeroom("tune", "plan", "--dataset", "small-course", "--recipe", "bad.yaml")
    lines = told.err.splitlines()
    assert any(line.startswith("  task = 'tuter': must be one of") for line in lines), told.err
    assert any(line.startswith("  seed = -1: must be") for line in lines)
    assert "2 mistakes" in told.error and "tuter" not in told.error and "#recipe-invalid" in told.error
    (tmp_path / "bad.yaml").write_text("method: nonsense\n")
    told = homeroom("tune", "plan", "--dataset", "small-course", "--recipe", "bad.yaml")
    assert "must be one of 'huggingface', 'local', 'dspy', 'openai'" in told.err
    (tmp_path / "bad.yaml").write_text("")
    told = homeroom("tune", "plan", "--dataset", "small-course", "--recipe", "bad.yaml")
    assert "is empty" in told.err and "NoneType" not in told.err


@pytest.mark.parametrize("method", [(), ("--method", "dspy"), ("--method", "openai")])
def test_a_base_of_an_endpoint_that_is_not_known_is_told_with_the_line_to_add(homeroom, dataset, method):
    if "dspy" in method:
        pytest.importorskip("dspy")
    told = homeroom("tune", "run", "--dataset", "small-course", "--task", "tutor", *method, "--base", "openai/gpt-4.1-mini")
    assert told.code == 2 and "#endpoint-unknown" in told.error and "endpoints: [{name: openai" in told.error


def test_a_program_s_file_that_ends_the_process_ends_only_the_command(homeroom, dataset, tmp_path):
    pytest.importorskip("dspy")
    (tmp_path / "sig.py").write_text("raise SystemExit(7)\n")
    told = homeroom("tune", "plan", "--dataset", "small-course", "--method", "dspy", "--program", "sig.py:X", "--task", "tutor")
    assert told.code == 2 and "SystemExit: 7" in told.error and "#signature-path" in told.error


def test_one_optimiser_needs_and_two_need(homeroom, dataset, tmp_path):
    pytest.importorskip("dspy")
    for optimisers, said in (("[gepa]", "gepa needs a strong"), ("[gepa, mipro]", "gepa and mipro need a strong")):
        (tmp_path / "r.yaml").write_text(f"method: dspy\noptimisers: {optimisers}\n")
        assert said in homeroom("tune", "plan", "--dataset", "small-course", "--recipe", "r.yaml").error


@pytest.mark.parametrize(
    "command",
    [
        ("tune", "traces", "tiny", "--dataset", "small-course", "--out", "nowhere/x.jsonl"),
        ("tune", "compare", "--dataset", "small-course", "--to", "nowhere/x.html"),
        ("tune", "sweep", "--dataset", "small-course", "--output", "file.txt/study"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_before_the_work(homeroom, dataset, tmp_path, command):
    (tmp_path / "file.txt").write_text("")
    told = homeroom(*command)
    assert told.code == 2 and "#target-folder" in told.error, told.err
    assert homeroom("jobs", "list", "--json").json == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--since", "2026-12-01", "--until", "2026-01-01"), "is after --until"),
        (("--by", ""), "names nothing"),
        (("budget", "set", "-5"), "-5"),
    ],
)
def test_costs_that_cannot_be_meant(homeroom, options, said):
    told = homeroom("costs", *options)
    assert told.code == 2 and said in told.error and "No such option" not in told.error


def test_a_budget_for_a_model_that_nobody_serves_is_warned_of(homeroom, home):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("endpoints: [{name: far, base_url: 'https://far.invalid/v1', models: [here]}]\n")
    told = homeroom("costs", "budget", "set", "5", "--model", "far/nosuch")
    assert told.code == 0 and "warning:" in told.err and "far/here" in told.err
    assert "warning" not in homeroom("costs", "budget", "set", "5", "--model", "far/here").err


def test_the_first_plan_on_a_machine_says_that_it_measures(homeroom, dataset, recipe):
    command = ("tune", "plan", "--dataset", "small-course", "--recipe", recipe, "--task", "tutor", "--json")
    wrong = homeroom(*command, "--base", "nosuch")
    assert wrong.code == 2 and "nosuch" in wrong.out and "measuring" not in wrong.err, "what cannot be planned is told before"
    assert "measuring this machine" in homeroom(*command).err
    assert "measuring" not in homeroom(*command).err


@pytest.mark.parametrize(
    "arguments",
    [
        ("tune", "resume", "\udcff"),
        ("jobs", "show", "\udcff"),
        ("costs", "--project", "\udcff"),
        ("tune", "show-prompt", "a\udcff"),
    ],
)
def test_bytes_that_are_no_text_are_told_as_that(homeroom, arguments):
    told = homeroom(*arguments)
    assert (told.code, "Traceback" in told.err) == (2, False)
    assert "#argument-not-text" in told.error and "\\udcff" in told.error
