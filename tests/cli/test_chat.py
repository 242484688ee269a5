"""`homeroom chat` and `homeroom practice` without a server: the engine lives as long as the command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from homeroom.app.home import Homeroom
from tests.cli.commands import processes_of


def test_one_message_gives_one_reply_and_is_kept(tuned, homeroom, home):
    told = homeroom("chat", "--model", "tutor", "-m", "Half of 14 is 8.", "--json")
    assert told.code == 0
    assert (told.json["turns"], told.json["model"].split(":")[3]) == (
        [{"message": "Half of 14 is 8.", "reply": told.json["reply"]}],
        "tutor",
    )
    with Homeroom.open() as opened:
        from homeroom.chat.conversations import ConversationStore
        from homeroom.storage import Scope

        (exchange,) = ConversationStore(opened.database).exchanges(Scope(), told.json["conversation"])
        assert (exchange.user.text, exchange.chosen.text) == ("Half of 14 is 8.", told.json["reply"])
    assert processes_of(home) == []


def test_a_conversation_from_a_pipe(homeroom):
    """The base model: nothing was tuned here."""
    told = homeroom("chat", typed="Half of 14 is 8.\nWhy?\n\nnever sent\n")
    assert told.code == 0
    assert len(told.out.splitlines()) >= 2 and "you>" not in told.out
    assert "must not teach children" in told.err
    data = homeroom("chat", "--json", typed="Half of 14 is 8.\nWhy?\n").json
    assert [turn["message"] for turn in data["turns"]] == ["Half of 14 is 8.", "Why?"]
    assert data["reply"] == data["turns"][-1]["reply"]
    assert homeroom("chat", "--json", typed="").json["turns"] == []


def test_an_unknown_model_or_an_empty_message_is_one_line(homeroom):
    assert "homeroom models list" in homeroom("chat", "--model", "nobody", "-m", "hi").error
    assert "#message-empty" in homeroom("chat", "-m", "  ").error


def test_without_the_base_model_the_command_that_gets_it_is_named(homeroom, monkeypatch):
    monkeypatch.setenv("HOMEROOM_DEFAULT_BASE", "smollm2-135m-instruct")
    told = homeroom("chat", "-m", "hi")
    assert (told.code, "homeroom models pull smollm2-135m-instruct" in told.error) == (2, True)


def test_practice_lists_the_learners_of_the_newest_dataset(tuned, homeroom):
    scenarios = homeroom("practice", "--list", "--json").json
    assert sorted(scenario["name"] for scenario in scenarios)[:3] == ["Ben", "Ola", "Pia"]
    assert len(homeroom("practice", "--list").out.splitlines()) == 13


def test_practice_lists_the_learners_of_the_course_in_a_fresh_home(homeroom):
    assert len(homeroom("practice", "--list", "--json").json) == 96


def test_practice_quotes_the_teachers_own_words(tuned, homeroom):
    told = homeroom("practice", "--scenario", "Pia", typed="What made you think so?\nShow me the clock.\n")
    assert told.code == 0
    assert told.out.count("Pia: ") == 2 and "teacher>" not in told.out
    notes = told.out[told.out.index("Notes on your turns") :]
    assert "“What made you think so?”" in notes
    data = homeroom("practice", "--scenario", "practice-clock", "--json", typed="What made you think so?\n").json
    assert [message["role"] for message in data["transcript"]] == ["system", "user", "assistant"]
    assert data["notes"]["counts"]["turns"] == 1


def test_practice_without_a_word_still_ends_well(homeroom):
    told = homeroom("practice", "--scenario", "1", typed="\n")
    assert told.code == 0, told.err
    assert "#scenario-not-found" in homeroom("practice", "--scenario", "nobody").error


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that says one thing, to whoever has the key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        allowed = self.headers["Authorization"] == "Bearer right"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "text/event-stream" if allowed else "application/json")
        self.end_headers()
        if not allowed:
            self.wfile.write(b'{"error": {"message": "no such key"}}')
            return
        piece = '{"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": %s, "finish_reason": %s}]}'
        for delta, reason in (
            ('{"role": "assistant", "content": "Draw"}', "null"),
            ('{"content": " it."}', "null"),
            ("{}", '"stop"'),
        ):
            self.wfile.write(f"data: {piece % (delta, reason)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint(home, monkeypatch) -> Iterator[str]:
    """A school's endpoint in this home's settings."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home.mkdir()
    (home / "config.yaml").write_text(
        "endpoints:\n  - name: school\n"
        f"    base_url: http://127.0.0.1:{server.server_port}/v1\n    api_key_env: SCHOOL_KEY\n    models: [large]\n"
    )
    monkeypatch.setenv("SCHOOL_KEY", "right")
    yield "school"
    server.shutdown()
    server.server_close()


def test_a_model_of_an_endpoint_answers(endpoint, homeroom, home):
    assert [card["name"] for card in homeroom("models", "list", "--json").json] == ["tiny", "school/large"]
    told = homeroom("chat", "--model", "school/large", "-m", "Half of 14 is 8.")
    assert (told.code, told.out) == (0, "Draw it.\n")


def test_a_tuned_model_of_an_endpoint_is_imported_and_answers(endpoint, homeroom):
    source = "school/ft:gpt-4o-mini:my-school::abc123"
    made = homeroom("models", "import", source, "--suffix", "fractions", "--json").json
    assert made["name"].startswith("ft:gpt-4o-mini:homeroom:fractions:")
    assert (made["kind"], made["remote_id"], made["task"]) == ("remote", source, "tutor")
    assert homeroom("chat", "--model", "fractions", "-m", "hi", "--json").json["reply"] == "Draw it."
    assert homeroom("models", "use", "fractions").code == 0
    assert homeroom("practice", "--model", "fractions", typed="Why?\n").out.count("Draw it.") == 1


def test_a_wrong_or_missing_key_is_one_line(endpoint, homeroom, monkeypatch):
    monkeypatch.setenv("SCHOOL_KEY", "wrong")
    told = homeroom("chat", "--model", "school/large", "-m", "hi")
    assert (told.code, "#provider-auth" in told.error) == (2, True)
    assert homeroom("chat", "--model", "school/large", "-m", "hi", "--json").json["error"]["code"] == "provider-auth"
    monkeypatch.delenv("SCHOOL_KEY")
    assert "export SCHOOL_KEY=" in homeroom("chat", "--model", "school/large", "-m", "hi").error


def test_an_endpoint_that_is_gone_is_one_line(homeroom, home):
    home.mkdir()
    (home / "config.yaml").write_text("endpoints:\n  - {name: gone, base_url: 'http://127.0.0.1:9/v1', models: [m]}\n")
    told = homeroom("chat", "--model", "gone/m", "-m", "hi")
    assert (told.code, "'gone/m' cannot be reached" in told.error) == (2, True)
