"""Prompts and weights tuned together on the tiny model, from the command line to the chat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.talk import talking
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.chat import ChatModel, GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from homeroom.tuning.dspy.desk import request_key
from homeroom.tuning.dspy.tuner import SEED
from tests.app import material

pytestmark = pytest.mark.slow  # trainings

pytest.importorskip("dspy")

KEYS = {
    "method": "dspy",
    "task": "tutor",
    "metric": "checks",
    "threshold": 0.01,  # the tiny model knows no words
    "items": 2,
    "train_items": 4,
    "demonstrations": 1,
    "attempts": 1,
    "generation": {"max_tokens": 8},
    "weights": {
        "epochs": 3,
        "threads": 1,
        "dtype": "float32",
        "lora": {"rank": 2},
        "optimiser": {"learning_rate": 0.01},
        "accumulation": {"examples": 1},
    },
}
RUN = ("tune", "run", "--dataset", "small-course", "--task", "tutor", "--recipe")


def recipe(*optimisers: str, **keys: object) -> Path:
    return material.write_recipe(Path("together.yaml"), {**KEYS, "optimisers": optimisers, **keys})


def newest() -> TunedModel:
    with Homeroom.open() as home:
        return home.registry.list()[0]


def test_prompt_and_weights_are_served_together_as_they_were_scored(homeroom, course, home):
    assert homeroom("data", "split", course).code == 0
    told = homeroom(*RUN, recipe("better-together", strategy="w -> p"))
    assert told.code == 0, told.err
    model = newest()
    assert (model.method, model.kind, model.task) == ("dspy", "lora", "tutor")
    assert model.metrics["weights_steps"] > 0 and model.metrics["kept"].startswith("together w")
    with Homeroom.open() as opened:
        folder = opened.artifacts.path(model.artifact)
        assert {"adapter.gguf", "adapter_config.json", "program.json", "dspy.json"} <= {f.name for f in folder.iterdir()}
        program, base = PromptProgram.load(folder), opened.base_files()
        assert model.name in (folder / "README.md").read_text() and "program.json" in (folder / "README.md").read_text()
        drawn = GenerationSettings(max_tokens=8, seed=SEED)
        (key,) = [f.name for f in (home / "prompts" / "weights").iterdir()]
        with talking(opened, model.name, "tutor") as (directory, card):
            assert card.name == model.name
            served, plain = directory.chat_model(model.name), directory.chat_model(base.name)
            questions = [example.messages[0].content for example in opened.datasets.get("small-course").examples]
            scored = 0
            for question in questions:
                messages = program.render([Message("user", question)])
                context = min(opened.settings.engine_context, base.context_tokens)
                identity = f"{base.identity}:{opened.settings.engine_weights}:{context}:{key}"
                name = request_key(identity, messages, drawn)
                file = home / "prompts" / "replies" / name[:2] / f"{name}.json"
                if file.exists():  # the search sent exactly these messages, through the library
                    scored += 1
                    assert text(served, [Message("user", question)], drawn) == json.loads(file.read_text())["text"]
            assert scored >= KEYS["items"], "what is served is what was scored, message by message"
            asked = [Message("user", questions[0])]
            assert text(served, asked, drawn) != text(plain, program.render(asked), drawn), "the weights answer too"

    shown = homeroom("tune", "show-prompt", model.name, "--question", "Why?", "--json").json
    assert shown["messages"] == [m.to_dict() for m in program.render([Message("user", "Why?")])]
    assert [row["weights"] for row in shown["candidates"] if "weights" in row] == [True, True]
    assert homeroom("chat", "--model", model.name, "-m", "Why?").code == 0
    judged = homeroom("eval", "run", "--model", model.name, "--items", "2", "--json")
    assert judged.code in (0, 1), judged.err
    assert newest().verdict != "unjudged"


def text(model: ChatModel, messages: list[Message], settings: GenerationSettings) -> str:
    return model.complete(messages, settings).text


def test_the_same_search_again_trains_nothing_and_asks_nothing(homeroom, course, home):
    assert homeroom("data", "split", course).code == 0
    assert homeroom(*RUN, recipe("bootstrap-finetune")).code == 0
    first = newest()
    assert first.kind == "lora"
    (weights,) = (home / "prompts" / "weights").iterdir()
    made = weights.stat().st_ino
    again = homeroom(*RUN, recipe("bootstrap-finetune"), "--again")
    assert again.code == 0, again.err
    assert newest().name != first.name and newest().metrics["requests_sent"] == 0
    assert homeroom(*RUN, recipe("zero-shot", "bootstrap-finetune"), "--again").code == 0
    assert [f.stat().st_ino for f in (home / "prompts" / "weights").iterdir()] == [made], "the same replies: the same weights"


def test_weights_that_cannot_be_had_are_refused_before_anything_is_asked(homeroom, course, home):
    assert homeroom("data", "split", course).code == 0
    home.mkdir(exist_ok=True)
    (home / "config.yaml").write_text("endpoints: [{name: school, base_url: 'http://127.0.0.1:9/v1', models: [large]}]\n")
    for command in ("plan", "run"):
        told = homeroom("tune", command, *RUN[2:], recipe("bootstrap-finetune"), "--base", "school/large")
        assert told.code == 2 and "#search-weights" in told.error
    told = homeroom("tune", "plan", *RUN[2:], recipe("better-together", weights={"weights": "full"}))
    assert "weights belongs beside" in told.err and told.code == 2
    with Homeroom.open() as opened:
        assert opened.jobs.list() == ()


def test_the_plan_counts_the_training(homeroom, course):
    assert homeroom("data", "split", course).code == 0
    (with_weights,) = homeroom("tune", "plan", *RUN[2:], recipe("zero-shot", "bootstrap-finetune"), "--json").json
    (alone,) = homeroom("tune", "plan", *RUN[2:], recipe("zero-shot"), "--json").json
    assert with_weights["trained_tokens"] > 0 == alone["trained_tokens"]
    assert with_weights["time_s"] > alone["time_s"] and with_weights["memory_bytes"] > 0
    assert with_weights["details"]["calls"] > alone["details"]["calls"]
    assert any("weights" in warning for warning in with_weights["warnings"])
