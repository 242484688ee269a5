"""`homeroom serve`: one server to a home, everything of it kept running, and nothing left of it when it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from homeroom.app.home import Homeroom
from homeroom.models.engine_info import read_info
from homeroom.settings import load_settings
from tests.app import material
from tests.cli.commands import Command, Outcome, eventually, kill_all, processes_of
from tests.cli.stories import Story


class Server(Command):
    """A server that has said where it is."""

    def __init__(self, home: Path, port: int = 0) -> None:
        super().__init__(home, "serve", "--port", str(port))
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.match(r"Homeroom is at (http://127\.0\.0\.1:(\d+))   \(API: \1/v1\)", line)
        assert found, line + self.ended().err
        self.address, self.port = found[1], int(found[2])

    def models(self) -> list[str]:
        return [model["id"] for model in httpx.get(f"{self.address}/v1/models").json()["data"]]

    def answer(self, model: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Half of 14 is 8."}], "max_tokens": 6}
        return httpx.post(f"{self.address}/v1/chat/completions", json=body, timeout=60)

    def stream(self, model: str, tokens: int) -> Iterator[dict[str, Any]]:
        """The events of a streamed answer, up to its end or an error."""
        body = {"model": model, "messages": [{"role": "user", "content": "Why?"}], "max_tokens": tokens, "stream": True}
        with httpx.stream("POST", f"{self.address}/v1/chat/completions", json=body, timeout=60) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])

    def say(self, text: str) -> str:
        """The events that the chat page gets for a message."""
        with httpx.Client(base_url=self.address, timeout=60) as page:
            token = re.search(r'name="csrf-token" content="([^"]+)"', page.get("/chat").text)
            assert token
            headers = {"X-CSRF-Token": token[1], "Accept": "text/event-stream"}
            return page.post("/chat/turns", json={"text": text, "model": "tiny"}, headers=headers).text

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.address}/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def pids(self, part: str) -> list[int]:
        """The processes of this home whose command line holds ``part``."""
        return [pid for pid in processes_of(self.home) if part.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def _environment(cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        material.use_tiny(monkeypatch, cache)
        yield


@pytest.fixture(scope="module")
def server(_environment: None, demo: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a copy of the demo's home."""
    home = tmp_path_factory.mktemp("serve") / "home"
    shutil.copytree(demo.home, home)
    started = Server(home)
    yield started
    kill_all(home)
    started.process.communicate()


@pytest.fixture
def serve(_environment: None, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of this test's own."""
    started: list[Server] = []

    def start(port: int = 0) -> Server:
        started.append(Server(tmp_path / "home", port))
        return started[-1]

    yield start
    kill_all(tmp_path / "home")
    for server in started:
        server.process.communicate()


def command(server: Server, *arguments: str | Path) -> Outcome:
    return Command(server.home, *arguments).ended()


def test_a_second_server_names_the_first(server):
    told = command(server, "serve", "--port", "0")
    assert told.code == 2
    assert f"in use by process {server.process.pid} at {server.address}" in told.error
    assert "#home-locked]" in told.error
    assert server.healthy()


@pytest.mark.parametrize("host", ["bad_host", "192.0.2.1", "a" * 70 + ".example"])
def test_an_address_that_this_machine_does_not_have_is_told_as_that(homeroom, host):
    """With a key or without: it is not taken for an address that others reach."""
    for _ in range(2):
        told = homeroom("serve", "--host", host, "--port", "0")
        assert told.code == 2 and "#host-unknown" in told.error and repr(host) in told.error
        assert "homeroom serve --host 127.0.0.1" in told.error and "taken" not in told.error
        homeroom("users", "key", "create", "ana")


def test_a_name_that_stands_for_no_model_is_told_at_the_start(start, home):
    with start(
        "serve", "--port", "0", env={"HOMEROOM_OPENAI_MODELS": "{gpt: nope, mine: 'ft:a:b', ok: tiny}"}
    ).process as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("Homeroom is at ")
        process.send_signal(signal.SIGINT)
        told = process.stderr.read().splitlines()
    warnings = [line for line in told if "openai_models" in line]
    assert len(warnings) == 2 and all(line.startswith("warning: ") for line in warnings)
    assert "'gpt' stands for 'nope', which is no model. Mend it: homeroom models list --bases" in warnings[0]
    assert "'mine' stands for 'ft:a:b', and no tuned model has that name. Mend it: homeroom models list" in warnings[1]


def test_a_port_that_is_taken_is_told_with_another(homeroom):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = homeroom("serve", "--port", str(port))
    assert told.code == 2 and "#port-taken" in told.error and f"homeroom serve --port {port + 1}" in told.error


def test_doctor_says_where_it_runs(server):
    assert f"running at {server.address} (process {server.process.pid})" in command(server, "doctor").out


def test_the_terminal_talks_through_the_running_engine(server):
    before = server.pids("engine_child")
    told = command(server, "chat", "--model", "tutor", "-m", "Half of 14 is 8.", "--json")
    assert (told.code, bool(told.json["reply"])) == (0, True)
    assert server.pids("engine_child") == before


@pytest.mark.slow
def test_a_new_model_answers_without_a_restart(server, tmp_path):
    with Homeroom.open(load_settings({"home": str(server.home)})) as home:
        adapter = material.random_adapter(home.base_files(), tmp_path / "newcomer")
    before = (server.process.pid, server.pids("homeroom.server"))
    name = json.loads(command(server, "models", "import", adapter, "--json").out)["name"]
    eventually(lambda: name in server.models())
    assert server.answer(name).json()["model"] == name
    assert command(server, "chat", "--model", name, "-m", "Half of 14 is 8.").code == 0
    assert (server.process.pid, server.pids("homeroom.server")) == before


def test_a_model_that_does_not_exist_is_openais_error(server):
    assert server.answer("nobody").status_code == 404
    assert server.answer("nobody").json()["error"]["code"] == "model_not_found"


def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers(server):
    body = {"model": "tiny", "messages": [{"role": "user", "content": "word " * 3000}]}
    refused = httpx.post(f"{server.address}/v1/chat/completions", json=body, timeout=60)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert re.search(r"has \d{4,5} tokens and the model takes 2048 at the engine", refused.json()["error"]["message"])
    assert re.search(r"event: failed\ndata: .*has \d{4,5} tokens and the model takes 2048", server.say("word " * 3000))
    assert "event: done" in server.say("Why?")


def test_an_engine_killed_in_the_middle_of_an_answer_is_told_there_and_the_next_one_comes(server):
    events = server.stream("tiny", 1900)
    pieces = [next(events) for _ in range(5)]
    for pid in server.pids("engine_child"):
        os.kill(pid, signal.SIGKILL)
    *more, last = events
    assert all("choices" in event for event in [*pieces, *more])
    assert (last["error"]["code"], last["error"]["type"]) == ("engine_ended", "server_error")
    assert "Ask once more" in last["error"]["message"]
    assert server.answer("tiny").status_code == 200  # at once: it waits for the new one
    eventually(server.healthy)


@pytest.mark.parametrize("part", ["homeroom.server", "engine_child", "run_worker"])
def test_what_dies_is_started_again(server, part):
    old = server.pids(part)
    assert old
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: (new := server.pids(part)) and not set(new) & set(old))
    eventually(server.healthy)
    eventually(lambda: server.answer("tiny").status_code == 200)


@pytest.mark.slow
def test_the_servers_worker_runs_what_the_terminal_only_queues(server, tmp_path):
    recipe = material.write_recipe(tmp_path / "later.yaml", {**material.QUICK, "seed": 7})
    queued = json.loads(
        command(server, "tune", "run", "--dataset", "small-course", "--recipe", recipe, "--no-wait", "--json").out
    )
    told = command(server, "jobs", "follow", queued[0]["id"], "--json")
    assert (told.code, told.json["state"], told.json["attempts"]) == (0, "succeeded", 1)
    name = told.json["result"]["model"]
    eventually(lambda: name in server.models())
    assert server.answer(name).status_code == 200


def test_ctrl_c_ends_everything_and_the_next_start_works(server):
    """The last test of this server."""
    server.interrupt()
    told = server.ended()
    assert (told.code, "Traceback" in told.err) == (0, False)
    assert processes_of(server.home) == []
    assert read_info(server.home) is None
    again = Server(server.home, server.port)
    assert again.healthy()
    again.process.terminate()
    assert again.ended().code == 0
    assert processes_of(server.home) == []


@pytest.mark.slow
def test_kill_9_leaves_nothing_and_the_next_start_works(serve):
    server = serve()
    assert {part for part in ("homeroom.server", "engine_child", "run_worker") if server.pids(part)} == {
        "homeroom.server",
        "engine_child",
        "run_worker",
    }
    server.process.kill()
    server.process.communicate()
    eventually(lambda: processes_of(server.home) == [], patience_s=5)
    again = serve(server.port)
    assert again.answer("tiny").status_code == 200
    again.interrupt()
    assert again.ended().code == 0
    assert processes_of(server.home) == []


@pytest.mark.slow
def test_the_demo_ends_with_the_chat_and_ctrl_c_ends_that(demo, tuned, start):
    """Everything was done before, so that it comes to the chat at once."""
    command = start(*(argument for argument in demo.arguments if argument != "--no-serve"), "--port", "0")
    assert command.process.stdout is not None
    lines = iter(command.process.stdout.readline, "")
    address = next(found[1] for line in lines if (found := re.search(r"The chat is at (\S+)", line)))
    assert httpx.get(f"{address}/health").status_code == 200
    assert len(httpx.get(f"{address}/v1/models").json()["data"]) == 3
    command.interrupt()
    assert command.ended().code == 0
    assert processes_of(tuned) == []


@pytest.mark.slow
def test_without_a_base_model_the_pages_are_there_already(serve, monkeypatch):
    monkeypatch.setenv("HOMEROOM_DEFAULT_BASE", "smollm2-135m-instruct")
    server = serve()
    assert httpx.get(f"{server.address}/health").status_code == 200
    assert "homeroom models pull" in json.dumps(server.answer("smollm2-135m-instruct").json())
    server.interrupt()
    assert server.ended().code == 0
