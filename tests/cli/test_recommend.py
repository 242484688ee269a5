"""`homeroom tune recommend`: what it finds out, what it asks, what it says, and that its commands exist."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from homeroom.app.home import Homeroom
from homeroom.cli import recommend as shown
from homeroom.cli.main import cli
from homeroom.runtime.ports import has_route
from homeroom.tuning.recipe_file import load_recipes
from homeroom.tuning.recommend import INPUTS
from tests.app import material


def exists(line: str) -> bool:
    """Whether a command line of ours has a command with these options."""
    _, *words = shlex.split(line)
    command: click.Command = cli
    context = click.Context(cli, info_name="homeroom")
    while isinstance(command, click.Group):
        child = command.get_command(context, words.pop(0))
        if child is None:
            return False
        command, context = child, click.Context(child, parent=context)
    command.make_context("x", words, parent=context.parent)
    return True


@pytest.fixture
def tutor(tmp_path: Path) -> Path:
    return material.write_jsonl(tmp_path / "tutor.jsonl", material.tutor_records()[:12])


def test_a_file_is_counted_checked_and_answered(homeroom, tutor):
    told = homeroom("tune", "recommend", tutor, "--access", "none", "--gpu", "no")
    assert told.code == 0, told.err
    assert told.out.startswith("Prompt optimisation (DSPy)  (dspy)\n")
    assert "5 to 20 good examples" in told.out
    assert "Decided by: examples = 12" in told.out
    assert "homeroom tune run --method dspy --dataset DATASET" in told.out
    assert "Second choice: " in told.out


def test_json_says_where_each_value_is_from_and_every_command_exists(homeroom, course):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    told = homeroom("tune", "recommend", "small", "--private", "yes", "--json")
    assert told.code == 0, told.err
    inputs = told.json["inputs"]
    assert list(inputs) == [e.name for e in INPUTS]
    with Homeroom.open() as opened:
        small = opened.datasets.get("small")
        parts = [len(small.part(split, "tutor")) for split in ("train", "validation", "test")]
    assert sum(parts) == 24 and all(parts), "not those of the learner"
    assert inputs["examples"] == {"value": 24, "from": f"small: task tutor, {parts[0]} of them to train on; 36 examples in all"}
    learner = homeroom("tune", "recommend", "small", "--task", "learner", "--json").json["inputs"]["examples"]
    assert learner["value"] == 12 and "task learner" in learner["from"]
    assert inputs["private"] == {"value": True, "from": "given"}
    assert inputs["quality"]["from"].startswith("homeroom data check: ")
    assert inputs["standards"] == {"value": False, "from": "taken for granted"}
    assert inputs["access"] == {"value": "none", "from": "no key of OpenAI or of another endpoint that fine-tunes is set"}
    assert told.json["method"] != "openai" and told.json["second"] != "openai"
    lines = [line for found in told.json["commands"].values() for line in found]
    assert any("--dataset small@1" in line for line in lines)
    assert all(exists(line) for line in lines)


@pytest.mark.parametrize("examples", [0, 3, 12, 30, 300, 3000])
def test_commands_of_every_answer_exist(homeroom, examples):
    for access in ("none", "other"):
        told = homeroom("tune", "recommend", "--examples", str(examples), "--access", access, "--json")
        assert all(exists(line) for found in told.json["commands"].values() for line in found)


def test_a_key_is_found_and_the_closing_told(homeroom, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
    told = homeroom("tune", "recommend", "--examples", "300", "--today", "2026-11-22")
    assert "warning: OpenAI ends fine-tuning: no job of anybody from 2027-01-06 on, in 45 days" in told.err
    assert "sk-test" not in told.out + told.err
    late = homeroom("tune", "recommend", "--examples", "300", "--today", "2027-01-06", "--consistency", "yes", "--all")
    assert "OpenAI takes nobody's job since 2027-01-06" in late.out
    assert "(openai)" not in late.out.split("Second choice")[0].splitlines()[0]


def test_a_person_is_asked_for_what_is_not_known(homeroom, tutor):
    answers = {"private": "yes", "stage": "early"}
    asked = [e for e in INPUTS if e.name not in ("examples", "quality", "gpu", "memory_gb", "today", "offline")]
    typed = "".join(answers.get(e.name, "") + "\n" for e in asked if e.name != "connectivity" or has_route())
    told = homeroom("tune", "recommend", tutor, "--ask", "--offline", "no", typed=typed)
    assert told.code == 0, told.err
    assert "Must examples and learners' words stay in the building?" in told.err
    assert "Must it answer without any network?" not in told.err, "it was given"
    assert "examples: 12 (" in told.err
    assert "the examples may not leave the building (private = yes)" in told.out


def test_nobody_is_asked_for_json(homeroom):
    told = homeroom("tune", "recommend", "--examples", "12", "--ask", "--json")
    assert told.code == 0 and told.json["method"] == "dspy"


def test_mistakes_are_named(homeroom):
    assert "'soon'" in homeroom("tune", "recommend", "--speed", "soon").error
    assert "[help: docs/troubleshooting.md#dataset-not-found]" in homeroom("tune", "recommend", "nothing-here").error


def test_an_endpoint_is_named_in_the_commands(homeroom, home):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("endpoints: [{name: school, base_url: 'http://127.0.0.1:9/v1', models: [large]}]\n")
    told = homeroom("tune", "recommend", "--examples", "12")
    assert "--base school/large" in told.out


FAR_AND_NEAR = """endpoints:
- {name: provider, base_url: 'https://models.example.org/v1', models: [large]}
- {name: school, base_url: 'http://127.0.0.1:9/v1', models: [small]}
"""


@pytest.mark.parametrize(
    "stays",
    [
        ("--private", "yes"),
        ("--offline", "yes"),
        ("--connectivity", "none"),
        ("--no-running-costs", "yes"),
        ("--budget-usd", "0"),
    ],
)
def test_no_command_sends_away_what_has_to_stay(homeroom, home, stays):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(FAR_AND_NEAR)
    for examples in ("0", "3", "12", "300"):
        open_to_all = homeroom("tune", "recommend", "--examples", examples, "--stage", "early")
        assert "provider/large" in open_to_all.out and "school/small" not in open_to_all.out
        told = homeroom("tune", "recommend", "--examples", examples, "--stage", "early", *stays)
        assert "provider/large" not in told.out and "school/small" in told.out
    (home / "config.yaml").write_text(FAR_AND_NEAR.split("- {name: school", maxsplit=1)[0])
    told = homeroom("tune", "recommend", "--examples", "12", *stays)
    assert "--method dspy" in told.out and "--base" not in told.out, "a model of this machine"


def test_tuning_at_a_provider_is_planned_before_it_is_run(homeroom, home):
    wanted = ("tune", "recommend", "--examples", "400", "--access", "other", "--consistency", "yes", "--json")
    assert homeroom(*wanted).json["method"] == "openai"
    steps = [f"homeroom tune {step} --method openai --dataset DATASET" for step in ("plan", "run")]
    alone = homeroom(*wanted).json
    assert alone["commands"]["openai"] == steps and "--base ENDPOINT/MODEL" in alone["about"]["openai"][0]
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(FAR_AND_NEAR)
    assert homeroom(*wanted).json["commands"]["openai"] == steps, "neither is known to fine-tune"
    (home / "prices.yaml").write_text("endpoints: {provider/large: {input: 1, output: 1, training: 2}}\n")
    assert homeroom(*wanted).json["commands"]["openai"] == [f"{step} --base provider/large" for step in steps]


SEVERAL = """endpoints:
- {name: ollama, base_url: 'http://127.0.0.1:9/v1', models: [llama3.2]}
- {name: nebius, base_url: 'https://api.tokenfactory.nebius.com/v1', api_key_env: NEBIUS_KEY, models: [one, two]}
- {name: openai, base_url: 'https://api.openai.com/v1', api_key_env: OPENAI_API_KEY, models: [embedder, gpt-4.1-mini]}
"""


def test_only_what_fine_tunes_is_named_for_fine_tuning(homeroom, home, monkeypatch):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(SEVERAL)
    (home / "prices.yaml").write_text("endpoints: {nebius/two: {input: 1, output: 1, training: 2}}\n")
    wanted = ("tune", "recommend", "--examples", "400", "--consistency", "yes", "--today", "2026-06-01", "--json")

    def named(*more: str) -> str:
        return homeroom(*wanted, *more).json["commands"]["openai"][1].partition(" --base ")[2]

    assert named("--access", "other") == "", "no key is set"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
    found = homeroom(*wanted).json["inputs"]["access"]
    assert found == {"value": "key", "from": "OPENAI_API_KEY is set"}
    assert named("--access", "active") == "openai/gpt-4.1-mini", "the one that is known to be tunable, not the first"
    assert named("--access", "none") == "", "this machine's server"
    monkeypatch.setenv("NEBIUS_KEY", "test-canary")
    found = homeroom(*wanted).json["inputs"]["access"]
    assert found == {"value": "other", "from": "NEBIUS_KEY is set, and the endpoint 'nebius' fine-tunes"}
    assert named() == "nebius/two"


def test_many_examples_get_a_recipe_that_sees_them(homeroom, course):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    asked = ("tune", "recommend", "small", "--examples", "3000", "--private", "yes", "--json")
    told = homeroom(*asked).json
    assert told["method"] == "huggingface" and "recipes/course.yaml" in told["about"]["huggingface"][0]
    for line in told["commands"]["huggingface"]:
        named = Path(shlex.split(line)[shlex.split(line).index("--recipe") + 1])
        assert all(run.max_trained_tokens is None for run in load_recipes(named)), "nothing stops it after some minutes"
    few = homeroom("tune", "recommend", "--examples", "30", "--private", "yes", "--json").json
    assert not any("--recipe" in line for line in few["commands"]["huggingface"])


def test_splitting_a_file_changes_no_answer(homeroom, tmp_path):
    records = material.tutor_records()[:12]
    path = material.write_jsonl(tmp_path / "twelve.jsonl", records)
    of_file = homeroom("tune", "recommend", path, "--json").json
    assert homeroom("data", "split", path, "--name", "twelve").code == 0
    of_dataset = homeroom("tune", "recommend", "twelve", "--json").json
    assert of_file["method"] == of_dataset["method"] == "dspy"
    assert of_file["inputs"]["examples"]["value"] == of_dataset["inputs"]["examples"]["value"] == 12
    assert f"homeroom data split {path}" in of_file["about"]["dspy"][0] and not of_dataset["about"]["dspy"]
    assert "too few replies for a verdict" in homeroom("tune", "recommend", "twelve").out
    assert "too few replies for a verdict" not in homeroom("tune", "recommend", "--examples", "300").out


def test_few_examples_are_shown_word_for_word(homeroom, tmp_path):
    records = material.tutor_records()[:3]
    few = material.write_jsonl(tmp_path / "few.jsonl", records)
    told = homeroom("tune", "recommend", few, "--json").json
    assert told["method"] == "prompt"
    (line,) = told["commands"]["prompt"]
    system = shlex.split(line)[-1]
    said = [m["content"] for record in records for m in record["messages"] if m["role"] != "system"]
    assert said and all(text in system for text in said) and exists(line)
    assert line in homeroom("tune", "recommend", few).out
    without = homeroom("tune", "recommend", "--examples", "3", "--json").json
    assert "homeroom tune recommend FILE" in without["about"]["prompt"][0]


OPENAI = """endpoints:
- {name: openai, base_url: 'https://api.openai.com/v1', api_key_env: OPENAI_API_KEY, models: [gpt-4.1-mini%s]}
"""


def test_a_model_that_cannot_be_asked_is_not_named(homeroom, home, monkeypatch):
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(OPENAI % ", later-model")
    for examples in ("0", "12", "30", "400"):
        told = homeroom("tune", "recommend", "--examples", examples, "--json")
        assert told.json["inputs"]["access"]["value"] == "none"
        lines = [line for found in told.json["commands"].values() for line in found]
        assert lines and not any("openai/" in line or "ENDPOINT" in line for line in lines), "they work without a key"
        assert told.json["notes"] == [
            f"openai/{m} is not named: OPENAI_API_KEY is not set" for m in ("gpt-4.1-mini", "later-model")
        ]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
    told = homeroom("tune", "recommend", "--examples", "12")
    assert "--base openai/later-model" in told.out, "the first one that does not end"
    assert "warning: openai/gpt-4.1-mini is not named: it is reported to end on 2027-01-14" in told.err


@pytest.mark.parametrize(
    ("today", "named"), [("2026-10-15", True), ("2026-10-16", False), ("2027-02-01", False), ("9999-12-31", False)]
)
def test_a_model_that_ends_soon_or_has_ended_is_not_named(homeroom, home, monkeypatch, today, named):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-canary")
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text(OPENAI % "")
    for asked in (("--examples", "12"), ("--examples", "400", "--access", "active")):
        told = homeroom("tune", "recommend", *asked, "--today", today)
        assert told.code == 0, told.err
        assert ("openai/gpt-4.1-mini" in told.out) == named
        assert ("openai/gpt-4.1-mini is not named: it is reported to end on 2027-01-14" in told.err) != named


def test_it_ends_with_how_to_measure(homeroom, course):
    assert homeroom("data", "split", course, "--name", "small").code == 0
    told = homeroom("tune", "recommend", "small")
    probe, compare = "homeroom tune recommend --probe --dataset small@1", "homeroom tune compare --dataset small@1"
    assert told.out.index(f"    {probe}\n") < told.out.index(f"    {compare}\n")
    assert homeroom("tune", "recommend", "small", "--json").json["measure"] == [probe, compare]
    assert exists(probe) and exists(compare)
    unknown = homeroom("tune", "recommend", "--examples", "12").out
    assert "--probe --dataset DATASET" in unknown


@pytest.mark.parametrize("option", [("--base", "x"), ("--items", "24"), ("--recipe", "r.yaml")])
def test_an_option_of_the_probe_does_not_pass_in_silence(homeroom, option):
    assert f"{option[0]} is for a probe. Add --probe." in homeroom("tune", "recommend", "--examples", "12", *option).error


def test_data_is_named_once(homeroom):
    assert "give one of them" in homeroom("tune", "recommend", "one", "--dataset", "other").error


def test_a_machine_without_a_way_out_is_seen(tmp_path):
    tables = tmp_path / "proc" / "net"
    tables.mkdir(parents=True)
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    (tables / "route").write_text(head + "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    (tables / "ipv6_route").write_text(f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n")
    assert not has_route(tmp_path)
    (tables / "route").write_text(head + "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
    assert has_route(tmp_path)
    assert has_route(tmp_path / "elsewhere"), "where no table can be read nothing is known"


def test_every_input_has_an_option():
    options = {name for p in shown.command.params for name in p.opts}
    assert {e.option for e in INPUTS} <= options
