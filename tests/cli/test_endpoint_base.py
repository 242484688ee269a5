"""The two acts on a base at an endpoint: its weights are elsewhere, so its prompt is tuned, compared and judged."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from homeroom.app.home import Homeroom
from homeroom.models.prompt_program import PromptProgram

pytestmark = pytest.mark.slow  # many processes, or much arithmetic

Asked = list[list[dict[str, str]]]


def shows(messages: list[dict[str, str]]) -> bool:
    """Whether a request carries demonstrations: as an appendix, or as turns before the question."""
    return "Example 1" in messages[0]["content"] or [m["role"] for m in messages].count("assistant") >= 1


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


def taught(messages: list[dict[str, str]]) -> str:
    """Guides, each time in other words, when it was shown how; gives the same answer away otherwise."""
    if not shows(messages):
        return "The answer is 7. Well done!"
    text = messages[-1]["content"]
    return GUIDES[zlib.crc32(text.encode()) % len(GUIDES)].format(" ".join(text.rstrip("?.").split()[-4:]))


class School:
    """An OpenAI-compatible endpoint on loopback. ``reply`` may be changed between commands."""

    def __init__(self) -> None:
        self.asked: Asked = []
        self.reply = taught
        self.down = False
        school = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if school.down:
                    self.send_error(401)
                    return
                school.asked.append(body["messages"])
                text = school.reply(body["messages"])
                self._send({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}, body, text)

            def _send(self, whole: dict[str, Any], body: dict[str, Any], text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream" if body.get("stream") else "application/json")
                self.end_headers()
                if body.get("stream"):
                    for delta, reason in (({"content": text}, None), ({}, "stop")):
                        chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
                        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                    self.wfile.write(b"data: [DONE]\n\n")
                else:
                    self.wfile.write(json.dumps(whole).encode())

            def log_message(self, *arguments: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def school(home) -> Iterator[School]:
    made = School()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    home.mkdir(exist_ok=True)
    address = f"http://127.0.0.1:{made.server.server_port}/v1"
    (home / "config.yaml").write_text(f"endpoints: [{{name: school, base_url: '{address}', models: [large]}}]\n")
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_demo_tunes_the_prompt_of_an_endpoint_and_judges_it(school, homeroom, course):
    told = homeroom("demo", "--data", course, "--base", "school/large", "--no-serve")
    assert told.code == 0, told.err
    assert "its prompt will be tuned" in told.out
    assert "will be sent to" not in told.out, "a loopback endpoint is this machine"
    assert told.out.count("was best of 5") == 2
    with Homeroom.open() as home:
        models = {model.task: model for model in home.registry.list()}
        tutor = models["tutor"]
        assert (tutor.kind, tutor.method, tutor.base) == ("prompt", "dspy", "school/large")
        assert tutor.metrics["validation_score"] > tutor.metrics["validation_score_plain"]
        program = PromptProgram.load(home.artifacts.path(tutor.artifact))
        assert 1 <= len(program.demonstrations) <= 3
        dataset = home.datasets.get(tutor.dataset)
        train = {example.messages for example in dataset.part("train", "tutor")}
        assert set(program.demonstrations) <= train, "validation or test examples were shown"
        (card,) = home.registry.scorecards(tutor.name)
        report = json.loads((home.artifacts.path(card.report_artifact) / "evaluation.json").read_text())
        assert [system["name"] for system in report["systems"]][:3] == ["base", "few-shot", "tuned"]
        assert models["learner"].verdict in ("practice", "reject")

    before = len(school.asked)
    assert homeroom("demo", "--data", course, "--base", "school/large", "--no-serve").out.count("Done before") == 4
    assert len(school.asked) == before + 1, "a rerun asks for one word to see that the endpoint is there, and for nothing else"
    prices = home.settings.home / "prices.yaml"
    prices.write_text("endpoints: {school/: {input: 1.0, output: 2.0}}\n")
    free = homeroom("demo", "--data", course, "--base", "school/large", "--no-serve")
    assert (free.code, len(school.asked)) == (0, before + 1), "where a word costs money, a rerun asks nobody for anything"
    told = homeroom("demo", "--data", course, "--base", "school/large", "--no-serve", "--again", typed="n\n")
    assert told.code == 130 and len(school.asked) == before + 1
    for part in ("the first word", "tuning a tutor", "tuning a simulated learner", "judging a tutor", "Together: about $"):
        assert part in told.err, told.err
    prices.unlink()

    school.asked.clear()
    assert homeroom("chat", "--model", tutor.name, "-m", "Half of 14 is 8.").code == 0
    (messages,) = school.asked
    turns = [m for m in messages if m["role"] != "system"]
    assert turns[-1] == {"role": "user", "content": "Half of 14 is 8."}
    assert [m["content"] for m in turns[:-1]] == [m.content for d in program.demonstrations for m in d if m.role != "system"]
    assert messages[0]["content"] == tutor.settings["system_prompt"]


def test_demonstrations_that_do_not_help_are_not_shown(school, homeroom, course):
    school.reply = lambda messages: taught([*messages[:1], {"role": "assistant", "content": ""}, *messages[-1:]])  # always well
    assert homeroom("data", "split", course).code == 0
    planned = homeroom("tune", "plan", "--dataset", "small-course", "--base", "school/large", "--task", "tutor", "--json").json
    told = homeroom("tune", "run", "--dataset", "small-course", "--base", "school/large", "--task", "tutor")
    assert told.code == 0, told.err
    with Homeroom.open() as home:
        (model,) = home.registry.list()
        assert model.metrics["kept"] == "plain"
        assert PromptProgram.load(home.artifacts.path(model.artifact)).demonstrations == ()
    assert planned[0]["details"]["requests"] == len(school.asked) == model.metrics["requests"]


def test_a_failed_search_goes_on_where_it_stopped(school, homeroom, course):
    assert homeroom("data", "split", course).code == 0
    run = ("tune", "run", "--dataset", "small-course", "--base", "school/large", "--task", "tutor")

    def breaks(messages: list[dict[str, str]]) -> str:
        school.down = len(school.asked) >= 4
        return taught(messages)

    school.reply = breaks
    assert "refused the key" in homeroom(*run).error
    school.reply, school.down = taught, False
    assert homeroom(*run).code == 0
    asked = [json.dumps(messages) for messages in school.asked]
    assert len(asked) == len(set(asked)), "an answered question was asked, and paid, twice"


def test_a_model_tuned_at_an_endpoint_is_judged_against_the_base_that_it_names(school, homeroom, course):
    assert homeroom("data", "split", course).code == 0
    source = "school/ft:large:my-school::abc123"
    made = homeroom("models", "import", source, "--suffix", "alone", "--json").json
    told = homeroom("eval", "run", "--model", made["name"], "--dataset", "small-course")
    assert (told.code, "#no-base" in told.error, "--base ENDPOINT/MODEL" in told.error) == (2, True, True)
    made = homeroom("models", "import", source, "--suffix", "known", "--base", "school/large", "--json").json
    told = homeroom("eval", "run", "--model", made["name"], "--dataset", "small-course", "--items", "6")
    assert told.code == 1, told.err
    with Homeroom.open() as home:
        assert home.registry.get(made["name"]).verdict == "reject"


@pytest.mark.parametrize(
    ("base", "code"),
    [("nowhere/large", "#unknown-model"), ("school/", "#unknown-model")],
)
def test_a_wrong_endpoint_is_one_line(school, homeroom, course, base, code):
    told = homeroom("demo", "--data", course, "--base", base, "--no-serve")
    assert (told.code, told.err.count("Traceback")) == (2, 0)
    assert len(told.error.splitlines()) <= 2, told.error
    assert school.asked == []
