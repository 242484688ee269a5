"""A whole server, as ``homeroom serve`` starts it: hostile files beside it do not touch it, and nothing secret leaves it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from homeroom.models import prepared, tiny
from homeroom.runtime import spawn
from homeroom.server.policy import ROUTES
from tests.app import material
from tests.cli.commands import Command, eventually, kill_all, processes_of
from tests.hostile.bench import Bench, Runner
from tests.hostile.cases import CASES
from tests.hostile.cases_gguf import flipped
from tests.hostile.endpoint import Parrot
from tests.hostile.test_artifacts import check, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CANARIES = {
    "prompt": "canary-prompt-93b1f0",
    "system prompt": "canary-system-77aa52",
    "feedback": "canary-feedback-51ce08",
    "better answer": "canary-better-c0ffee",
    "title": "canary-title-8d2e17",
    "key in the environment": "canary-key-e4a960d2",
}
SECRETS = ("system prompt", "key in the environment")


@dataclass
class Server:
    command: Command
    address: str
    home: Path
    answers: list[tuple[str, httpx.Response, str]] = field(default_factory=list)

    def healthy(self) -> bool:
        return httpx.get(f"{self.address}/health", timeout=10).status_code == 200


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    with Parrot() as made:
        yield made


@pytest.fixture(scope="module")
def server(hostile_cache: Path, empty_home: Path, parrot: Parrot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = Path(shutil.copytree(empty_home, tmp_path_factory.mktemp("live") / "home"))
    endpoint = {
        "name": "school",
        "base_url": parrot.url,
        "api_key_env": "SCHOOL_KEY",
        "models": ["says", "refuses", "fails", "breaks"],
    }
    (home / "config.yaml").write_text(yaml.safe_dump({"endpoints": [endpoint], "log_level": "debug", "requests_per_minute": 0}))
    with pytest.MonkeyPatch.context() as monkeypatch:
        material.use_tiny(monkeypatch, hostile_cache)
        command = Command(home, "serve", "--port", "0", env={"SCHOOL_KEY": CANARIES["key in the environment"]})
        assert command.process.stdout is not None
        found = re.match(r"Homeroom is at (http://\S+)", command.process.stdout.readline())
        assert found, command.ended().err
        started = Server(command, found[1], home)
        eventually(lambda: httpx.get(f"{started.address}/ready", timeout=10).status_code == 200, 120)
        yield started
        command.interrupt()
        command.process.communicate(timeout=60)
        kill_all(home)


def test_hostile_artifacts_leave_the_server_alone(
    server: Server, runner: Runner, good: Path, hostile_cache: Path, tmp_path: Path
) -> None:
    """Every case on the home of a running server."""
    for number, case in enumerate(CASES):
        bench = Bench(tmp_path / f"case-{number}", good)
        told = runner.run(case.make(bench), bench.folder, environment(server.home, hostile_cache), tmp_path / f"told-{number}")
        assert server.healthy(), str(case)
        if case.code:
            check(case, bench, told, tmp_path / f"case-{number}")
        else:
            assert (told.code, told.ran, bench.canary.exists()) == (0, [], False), str(case)
    assert server.command.process.poll() is None


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_gguf_ends_the_engines_child_and_nothing_else(
    server: Server, good: Path, hostile_cache: Path, tmp_path: Path, seed: int
) -> None:
    """Given to native code as it is, past our own checks: whatever happens, happens in a process of its own."""
    base = prepared.find(tiny.NAME, hostile_cache)
    assert base is not None
    whole, adapter = base.gguf.read_bytes(), (good / "adapter.gguf").read_bytes()
    (tmp_path / "model.gguf").write_bytes(flipped(whole, seed, 6) if seed % 2 else whole)
    (tmp_path / "adapter.gguf").write_bytes(adapter if seed % 2 else flipped(adapter, seed, 6))
    report, config = tmp_path / "report.json", tmp_path / "config.json"
    settings = {"slots": 1, "context": 256, "threads": 1, "key": "k", "report": str(report), "alias": "tiny"}
    files = {"gguf": str(tmp_path / "model.gguf"), "adapters": [str(tmp_path / "adapter.gguf")]}
    config.write_text(json.dumps({**settings, **files}))
    child = spawn([sys.executable, "-m", "homeroom.models.engine_child", str(config)], stdout=tmp_path / "log")
    try:
        eventually(lambda: report.exists() or child.poll() is not None, 60)
        if child.poll() is None and "url" in json.loads(report.read_text()):
            body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "lora": [{"id": 0, "scale": 1.0}]}
            with suppress(httpx.HTTPError):  # it may end while it answers
                url = f"{json.loads(report.read_text())['url']}/v1/chat/completions"
                httpx.post(url, json=body, headers={"Authorization": "Bearer k"}, timeout=30)
    finally:
        child.kill()
    assert server.healthy()


def drive(server: Server) -> None:
    """Every address of the server, with something that nobody else may read wherever there is room for it."""
    say = {name: CANARIES[name] for name in CANARIES}
    with httpx.Client(base_url=server.address, timeout=120) as client:
        token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/").text)
        assert token
        client.headers["X-CSRF-Token"] = token[1]

        def ask(method: str, url: str, **sent: Any) -> httpx.Response:
            response = client.request(method, url, **sent)
            server.answers.append((f"{method} {url}", response, response.text))
            return response

        def events(text: str) -> dict[str, Any]:
            return {
                found[1]: json.loads(found[2])
                for found in re.finditer(r"event: (\w+)\ndata: (.*)\n\n", text)
                if found[1] != "delta"
            }

        settings = {"temperature": "0.5", "max_tokens": "4", "system_prompt": say["system prompt"]}
        for model in ("tiny", "school/says", "school/refuses", "school/fails", "school/breaks"):
            ask("POST", "/models/settings", data={"name": model, **settings})
        ids: dict[str, str] = {"name": "tiny", "filename": "homeroom.css", "job_id": "job-x", "reply_id": "x"}
        for model in ("tiny", "school/refuses", "school/fails", "school/breaks", "school/says"):
            text = {"text": say["prompt"], "model": model}
            begun = events(ask("POST", "/chat/turns", json=text).text).get("begin", {})
            messages = [{"role": "system", "content": say["system prompt"]}, {"role": "user", "content": say["prompt"]}]
            for stream in (False, True):
                body = {"model": model, "messages": messages, "max_tokens": 4, "stream": stream}
                ask("POST", "/v1/chat/completions", json=body)
            ids |= {"conversation_id": begun.get("conversation", "x"), "turn_id": begun.get("reply", "x")}
            ask("POST", f"/chat/{ids['conversation_id']}/turns", json=text)
        # What is wrong in every way, with the canary in it.
        for body in ({"text": [say["prompt"]]}, {"text": say["prompt"] * 9000}, {"text": say["prompt"], "model": say["prompt"]}):
            ask("POST", "/chat/turns", json=body)
        for body in (
            {"model": "tiny", "messages": say["prompt"]},
            {"model": "tiny", "messages": [{"role": "user", "content": say["prompt"] * 3000}]},
        ):
            ask("POST", "/v1/chat/completions", json=body)
        session = ask("POST", "/practice", data={"scenario": _scenario(client), "model": "tiny"}).headers.get("Location", "/x")
        ids["session_id"] = session.rsplit("/", 1)[-1]
        for route in sorted(ROUTES, key=lambda route: (route.endswith(("/delete", "/withdraw")), route)):
            method, rule = route.split(" ", 1)
            if rule == "/events":
                continue
            url = re.sub(r"<(?:path:)?(\w+)>", lambda found: ids.get(found[1], "x"), rule)
            policy = ROUTES[route]
            form = {
                "title": say["title"], "reason": say["feedback"], "better_answer": say["better answer"], "thumb": "down",
                "consent": "refused", "name": "tiny", "task": "tutor", **settings,
            }  # fmt: skip
            asked = {
                "text": say["prompt"],
                "model": "tiny",
                "models": ["tiny", "school/says"],
                "messages": [{"role": "user", "content": "x"}],
            }
            line = json.dumps({"messages": [{"role": "user", "content": say["prompt"]}, {"role": "assistant", "content": "x"}]})
            upload = {"files": {"file": ("examples.jsonl", line)}, "data": {"purpose": "fine-tune"}}
            bodies = {"form": {"data": form}, "json": {"json": asked}, "upload": upload}
            sent: dict[str, Any] = bodies.get(policy.takes, {}) if method == "POST" else {}
            ask(method, url, **sent)
            ask(method, url, **sent, headers={"Host": "evil.example"})
            ask(method, url, **sent, headers={"X-CSRF-Token": "wrong"})
            ask(method, url, **sent, headers={"Accept": "text/html", "HX-Request": "true"})
        with client.stream("GET", "/events") as stream:
            server.answers.append(("GET /events", stream, next(stream.iter_text())))
    # Requests that are no HTTP are written about by the server underneath.
    parts = httpx.URL(server.address)
    for line in (
        f"CANARY {say['prompt']}",
        f"GET / HTTP/1.1\r\nAuthorization {say['key in the environment']}",
        f"GET /{say['prompt']} HTTP/7",
    ):
        with socket.create_connection((parts.host, parts.port)) as connection:
            connection.sendall(f"{line}\r\n\r\n".encode())
            connection.recv(4096)


def _scenario(client: httpx.Client) -> str:
    found = re.search(r'name="scenario" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def driven(server: Server) -> Server:
    drive(server)
    return server


def test_the_canaries_reached_their_places(driven: Server) -> None:
    """Otherwise the searches below would find nothing for the wrong reason."""
    texts = " ".join(text for _, _, text in driven.answers)
    assert all(canary in texts for name, canary in CANARIES.items() if name != "key in the environment")
    database = b"".join(path.read_bytes() for path in driven.home.glob("homeroom.db*"))
    assert all(CANARIES[name].encode() in database for name in ("prompt", "system prompt", "better answer"))
    assert {response.status_code for _, response, _ in driven.answers} >= {200, 303, 400, 403, 404}
    assert any(
        CANARIES["key in the environment"].encode() in Path(f"/proc/{pid}/environ").read_bytes()
        for pid in processes_of(driven.home)
    )


def test_no_log_and_no_file_of_the_running_server_holds_them(driven: Server) -> None:
    files = [path for folder in ("logs", "run") for path in (driven.home / folder).rglob("*") if path.is_file()]
    assert {"web.log", "engine.log"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert [name for name, canary in CANARIES.items() if canary.encode() in content] == [], path
    web = (driven.home / "logs" / "web.log").read_text()
    assert "provider" in web, "the failures of the endpoint were not logged at all"


def test_no_process_list_holds_them(driven: Server) -> None:
    seen = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        seen += 1
        assert [name for name, canary in CANARIES.items() if canary.encode() in argv] == [], argv
    assert seen > 4


def test_no_address_and_no_header_holds_them(driven: Server) -> None:
    for asked, response, text in driven.answers:
        heads = " ".join([str(response.url), *(f"{name}: {value}" for name, value in response.headers.items())])
        addresses = " ".join(
            re.findall(r'(?:href|src|action|hx-get|hx-post)="([^"]*)"', text) + re.findall(r'"url":"([^"]*)"', text)
        )
        assert [name for name, canary in CANARIES.items() if canary in heads + addresses] == [], asked


def test_no_answer_holds_a_key_and_no_refusal_a_secret(driven: Server) -> None:
    engine_keys = [json.loads(path.read_text()).get("key", "") for path in (driven.home / "run").glob("engine*.json")]
    signing = (driven.home / "secret.key").read_bytes()
    for asked, response, text in driven.answers:
        body = text.encode()
        assert CANARIES["key in the environment"].encode() not in body, asked
        assert signing not in body
        assert not any(key and key.encode() in body for key in engine_keys), asked
        # But for the endpoint's own words, which are shown to whoever asked.
        if response.status_code >= 400 and "I was told" not in text:
            assert [name for name in SECRETS if CANARIES[name].encode() in body] == [], (asked, text[:400])
            assert "Traceback" not in text


def test_folders_and_files_of_the_home_are_private(driven: Server) -> None:
    for path in driven.home.rglob("*"):
        if not path.is_symlink() and path.exists() and path.name != "config.yaml":  # that one a person wrote
            assert path.stat().st_mode & 0o077 == 0, path
