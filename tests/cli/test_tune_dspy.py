"""``homeroom tune run --method dspy``: on an endpoint that can be scripted and can fail, and on the tiny model of this machine."""

from __future__ import annotations

import json
import signal
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.app.talk import running_directory
from homeroom.models import tiny
from homeroom.models.prompt_program import PromptProgram
from homeroom.schema.chat import GenerationSettings
from homeroom.schema.examples import Message
from homeroom.schema.models import TunedModel
from tests.app import material
from tests.cli.commands import eventually
from tests.doubles.openai_server import KEY, OpenAIDouble
from tests.doubles.school import name_school

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

pytest.importorskip("dspy")

Json = dict[str, Any]
RUN = ("tune", "run", "--dataset", "small-course", "--method", "dspy", "--task", "tutor", "--base", "school/large")
GUIDES = (
    "Take a sheet and draw {}. Which part are you sure of?",
    "I hear you say {}. How could a friend check that with counters?",
    "Before we go on from {}: where would you begin if the figures were smaller?",
    "Let us slow down at {}. What happens when you try a case that you know?",
    "Point at {} in the question. Which word there helps you choose?",
    "Suppose somebody doubts {}. What would you show them first?",
    "Write {} on a card, then cover one half. What is missing?",
    "Tell me aloud how you came to {}. At which moment did you guess?",
)


def guides(text: str) -> str:
    """A reply that guides, in other words for each text."""
    return GUIDES[zlib.crc32(text.encode()) % len(GUIDES)].format(" ".join(text.rstrip("?.").split()[-4:]))


def taught(body: Json) -> str:
    """Guides when it was shown how, by demonstrations; gives the same answer away otherwise."""
    messages = body["messages"]
    shown = any(message["role"] == "assistant" for message in messages)
    return guides(messages[-1]["content"]) if shown else "The answer is 7. Well done!"


@pytest.fixture
def school(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIDouble]:
    monkeypatch.setenv("SCHOOL_API_KEY", KEY)
    with OpenAIDouble() as made:
        made.reply = taught
        name_school(home, made.address, "large", "wise")
        yield made


@pytest.fixture
def dataset(homeroom, course: Path, school: OpenAIDouble) -> None:
    assert homeroom("data", "split", course).code == 0


def newest() -> tuple[TunedModel, PromptProgram, list[Json]]:
    """The newest model, its program, and its table."""
    with Homeroom.open() as home:
        model = home.registry.list()[0]
        folder = home.artifacts.path(model.artifact)
        return model, PromptProgram.load(folder), json.loads((folder / "candidates.json").read_text())


def test_several_optimisers_are_tried_and_the_best_prompt_is_served(school, homeroom, dataset):
    told = homeroom(*RUN)
    assert told.code == 0, told.err
    assert "budget 300" in told.err
    model, program, table = newest()
    assert (model.kind, model.method, model.base, model.task) == ("prompt", "dspy", "school/large", "tutor")
    assert model.metrics["selection_score"] > model.metrics["selection_score_first"]
    assert {row["optimiser"] for row in table} == {"plain", "zero-shot", "labelled", "bootstrap", "random-search", "iterative"}
    assert [row["kept"] for row in table] == [True] + [False] * (len(table) - 1)
    assert all(row["wins"] + row["ties"] + row["losses"] == model.metrics["selection_items"] for row in table)
    assert program.demonstrations, "showing was what helped"
    assert model.metrics["requests_sent"] == len(school.charged) <= 300
    visible = Message("system", model.settings["system_prompt"])
    question = [visible, Message("user", "Half of 14 is 8.")]
    with Homeroom.open() as home, closing(running_directory(home)) as directory:
        reply = directory.chat_model(model.name).complete(question, GenerationSettings())
    asked = school.charged[-1]["messages"]
    assert asked == [m.to_dict() for m in program.render(question)]
    assert reply.text == guides("Half of 14 is 8.")

    shown = homeroom("tune", "show-prompt", model.name, "--question", "Half of 14 is 8.", "--json").json
    assert shown["messages"] == asked, "what is shown is what is sent"
    assert shown["candidates"] == table
    told = homeroom("tune", "show-prompt", model.suffix, "--output", "prompt.json")
    assert told.code == 0 and "selection score" in told.out and "kept" in told.out
    assert json.loads(Path("prompt.json").read_text())[-1] == {"role": "user", "content": "(what somebody asks)"}
    assert "written to prompt.json" in told.out
    assert "#file-exists" in homeroom("tune", "show-prompt", model.suffix, "--output", "prompt.json").error
    assert homeroom("tune", "show-prompt", model.suffix, "--output", "prompt.json", "--force").code == 0

    school.charged.clear()
    again = homeroom(*RUN, "--again")
    assert again.code == 0 and school.charged == [], "the same run again asks nothing"
    assert newest()[0].name != model.name and newest()[1] == program


def test_the_plan_says_what_a_run_may_take_and_the_run_keeps_to_it(school, homeroom, dataset, home):
    (home / "prices.yaml").write_text("endpoints: {school/large: {input: 2.0, output: 8.0}}\n")
    (plan,) = homeroom("tune", "plan", *RUN[2:], "--max-calls", "30", "--json").json
    assert plan["details"]["calls"] == plan["details"]["max_calls"] == 30 and plan["cost_usd"] > 0
    assert "max_calls is 30" in " ".join(plan["warnings"]) and school.charged == []
    told = homeroom(*RUN, "--max-calls", "30", "--yes")
    assert told.code == 0 and f"about ${plan['cost_usd']:.2f}" in told.err
    assert len(school.charged) <= 30
    tokens = sum(c["prompt_tokens"] * 2 + c["completion_tokens"] * 8 for c in school.charged)
    assert tokens / 1e6 <= plan["cost_high_usd"]
    assert "not tried, the budget of 30 calls is used up" in told.out


@pytest.mark.parametrize(
    ("fault", "said"),
    [("401", "refused the key"), ("403", "refused the key"), ("404", "no such model"), ("garbage", "not a JSON object")],
)
def test_a_fault_that_stays_ends_the_run_in_one_line(school, homeroom, dataset, fault, said):
    school.faults = [("chat", fault)] * 100
    told = homeroom(*RUN)
    assert (told.code, "Traceback" in told.err) == (1, False)
    assert said in told.error
    assert school.requests["/v1/chat/completions"] <= 12
    school.faults = []
    assert homeroom(*RUN).code == 0, "the next command works"


@pytest.mark.parametrize("fault", ["429", "500", "silence", "cut", "garbage"])
def test_a_fault_that_passes_costs_nothing_twice(school, homeroom, dataset, fault):
    school.faults = [("chat", fault)] * 2
    assert homeroom(*RUN, "--max-calls", "40").code == 0
    model, _, _ = newest()
    asked = [json.dumps(c["messages"]) for c in school.charged]
    lost = 2 if fault in ("cut", "garbage") else 0  # the endpoint had answered these
    assert len(asked) - len(set(asked)) <= lost
    assert model.metrics["requests"] <= 40


def test_a_run_that_failed_goes_on_where_it_stopped(school, homeroom, dataset):
    def breaks(body: Json) -> str:
        if len(school.charged) == 20:
            school.faults = [("chat", "401")] * 100
        return taught(body)

    school.reply = breaks
    assert "refused the key" in homeroom(*RUN).error
    school.reply, school.faults = taught, []
    assert homeroom(*RUN).code == 0
    asked = [json.dumps(c["messages"]) for c in school.charged if c["messages"]]
    assert newest()[0].metrics["requests_sent"] == len(asked) - 21


def test_a_killed_or_cancelled_run_goes_on_where_it_stopped(school, homeroom, start, dataset):
    release = threading.Event()

    def waits(body: Json) -> str:
        if len(school.charged) >= 15:
            release.wait(60)
        return taught(body)

    school.reply = waits
    command = start(*RUN)
    eventually(lambda: len(school.charged) >= 15)
    command.process.send_signal(signal.SIGINT)
    release.set()
    command.ended()
    with Homeroom.open() as home:
        assert home.registry.list() == ()
        assert home.jobs.list(kind="tune")[0].state in ("cancelled", "queued", "failed")
    school.reply = taught
    assert homeroom(*RUN).code == 0
    asked = [json.dumps(c["messages"]) + str(c.get("seed")) for c in school.charged]
    assert newest()[0].metrics["requests_sent"] < len(asked), "what was answered before the end was not asked again"


def test_wrong_names_are_one_line_each(school, homeroom, dataset):
    assert "#unknown-program" in homeroom(*RUN, "--program", "anser").error
    assert "#signature-path" in homeroom(*RUN, "--program", "none.py:Nothing").error
    assert "#prompt-model" in homeroom(*RUN, "--prompt-model", "nowhere/wise").error
    unasked = homeroom(*RUN, "--recipe", quick("tutor"), "--prompt-model", "school/wise")
    assert "#prompt-model" in unasked.error and "'school/wise' would not be asked" in unasked.error
    assert "#recipe-method" in homeroom("tune", "run", "--dataset", "small-course", "--program", "answer").error
    assert "#endpoint-unknown" in homeroom(*RUN[:-1], "nowhere/large").error
    assert school.charged == []


def test_a_signature_of_ones_own_is_tuned_and_served(school, homeroom, dataset, tmp_path):
    (tmp_path / "mine.py").write_text(
        'import dspy\n\n\nclass Hint(dspy.Signature):\n    """Give one hint."""\n'
        "    problem: str = dspy.InputField()\n    hint: str = dspy.OutputField()\n"
    )
    told = homeroom(*RUN, "--program", "mine.py:Hint", "--max-calls", "40")
    assert told.code == 0, told.err
    model, program, table = newest()
    assert (model.recipe["program"], model.metrics["metric"]) == ("Hint", "reference")
    assert (program.instructions, model.settings["system_prompt"]) == ("Give one hint.", "")
    assert "plain" not in {row["optimiser"] for row in table}, "zero-shot is the same prompt"
    said = [[m["content"] for m in body["messages"] if m["role"] == "system"] for body in school.charged]
    assert all("Give one hint." in texts[0] for texts in said)
    assert not any("patient tutor" in text for texts in said for text in texts), "the recipe's prompt is another program's"


def test_a_recipe_that_names_the_signature_keeps_its_own_system_prompt(school, homeroom, dataset, tmp_path):
    (tmp_path / "mine.py").write_text(
        'import dspy\n\n\nclass Summary(dspy.Signature):\n    """Say it in one line."""\n'
        "    text: str = dspy.InputField()\n    summary: str = dspy.OutputField()\n"
    )
    keys = {
        "method": "dspy",
        "program": "mine.py:Summary",
        "optimisers": ["plain"],
        "items": 2,
        "system_prompt": "Write for a child.",
    }
    told = homeroom(*RUN[:-4], "--base", "school/large", "--recipe", material.write_recipe(tmp_path / "s.yaml", keys))
    assert told.code == 0, told.err
    model, program, _ = newest()
    assert (program.instructions, model.settings["system_prompt"]) == ("Say it in one line.", "Write for a child.")
    texts = [m["content"] for m in school.charged[-1]["messages"]]
    assert any("Say it in one line." in text for text in texts) and any("Write for a child." in text for text in texts)


def test_the_model_of_this_machine_is_tuned_and_answers(homeroom, course):
    assert homeroom("data", "split", course).code == 0
    told = homeroom("tune", "run", "--dataset", "small-course", "--recipe", quick("learner"), "--task", "learner")
    assert told.code == 0, told.err
    model, _, table = newest()
    assert (model.base, model.kind, model.task) == (tiny.NAME, "prompt", "learner")
    assert [row["optimiser"] for row in table if "selection_score" in row].count("plain") == 1
    told = homeroom("chat", "--model", model.name, "-m", "What did you get?")
    assert told.code == 0, told.err


def quick(task: str) -> Path:
    """A recipe that asks the tiny model little."""
    keys = {"method": "dspy", "task": task, "optimisers": ["plain", "labelled", "random-search"], "items": 2, "train_items": 3}
    more = {"demonstrations": 1, "candidates": 1, "budget_characters": 1500, "generation": {"max_tokens": 8}}
    return material.write_recipe(Path("quick.yaml"), {**keys, **more})


def test_a_reply_of_several_fields_on_the_model_of_this_machine_follows_its_schema(homeroom, tmp_path):
    records = [
        {
            "input": {"learner_answer": f"I say {n}.", "question": f"What is {n} and 1?"},
            "output": {"feedback": f"Count on from {n}.", "correct": False, "look_again": ["the start"]},
            "metadata": {"topic": f"sum {n}", "task": "tutor"},
        }
        for n in range(24)
    ]
    file = material.write_jsonl(tmp_path / "feedback.jsonl", records)
    assert homeroom("data", "split", file).code == 0
    keys = {"method": "dspy", "optimisers": ["zero-shot", "labelled"], "items": 2, "train_items": 3, "demonstrations": 1}
    more = {"program": "feedback_learner", "generation": {"max_tokens": 200}}
    told = homeroom(
        "tune", "run", "--dataset", "feedback", "--recipe", material.write_recipe(tmp_path / "f.yaml", {**keys, **more})
    )
    assert told.code == 0, told.err
    model, program, _ = newest()
    assert program.outputs is not None and program.main == "learner_answer"
    assert (model.metrics["metric"], model.metrics["requests_failed"]) == ("field-checks", 0)
    replies = [json.loads(f.read_text())["text"] for f in (Path(tmp_path) / "home" / "prompts" / "replies").rglob("*.json")]
    assert len(replies) == model.metrics["requests"] == 4
    for reply in replies:  # the tiny model knows no words: one that is cut off begins as the schema says all the same
        assert reply.startswith('{"feedback": "'), reply
