"""Open WebUI, started with this server as its only connection, and asked through its own API as its pages ask it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from checks import (
    BASE_URL,
    EMBEDDER,
    FOLDER,
    KEY,
    LONGEST,
    MISSING,
    MODEL,
    PATIENCE_S,
    POLL_S,
    QUESTION,
    SCHEMA,
    assert_answer,
    check,
    cut_of,
    done,
    lacks,
)

ASKED = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": LONGEST}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = free_port()
TOKEN = ""


def start() -> subprocess.Popen[bytes]:
    """The program with its own defaults, but for where it looks for models and what it would fetch."""
    env = {
        **os.environ,
        "DATA_DIR": str(FOLDER / "data"),
        "OPENAI_API_BASE_URL": BASE_URL,
        "OPENAI_API_KEY": KEY,
        "ENABLE_OLLAMA_API": "false",
        "WEBUI_AUTH": "false",
        "WEBUI_SECRET_KEY": "of this test alone",
        "OFFLINE_MODE": "true",
        "HF_HUB_OFFLINE": "1",
        "RAG_EMBEDDING_ENGINE": "openai",
        "ANONYMIZED_TELEMETRY": "false",
    }
    program = str(Path(sys.executable).with_name("open-webui"))
    log = (FOLDER / "open-webui.log").open("wb")
    return subprocess.Popen([program, "serve", "--host", "127.0.0.1", "--port", str(PORT)], env=env, stdout=log, stderr=log)


def ask(address: str, body=None) -> bytes:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {TOKEN}"} if TOKEN else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"http://127.0.0.1:{PORT}{address}", data, headers), timeout=120
    ) as answer:
        return answer.read()


def wait(program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask("/health")
        except OSError:
            assert program.poll() is None, (FOLDER / "open-webui.log").read_text()[-800:]
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(POLL_S)
        else:
            return


def refused(body) -> tuple[int, str]:
    try:
        found = ask("/openai/chat/completions", body)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    raise AssertionError(f"it was not refused: {found[:200]!r}")


def choice(**more):
    return json.loads(ask("/openai/chat/completions", {**ASKED, **more}))["choices"][0]


webui = start()
try:
    wait(webui)
    TOKEN = json.loads(ask("/api/v1/auths/signin", {"email": "admin@localhost", "password": "admin"}))["token"]

    @check("models")
    def models():
        names = [model["id"] for model in json.loads(ask("/api/models"))["data"]]
        assert MODEL in names, names

    @check("chat")
    def chat():
        assert choice()["message"]["content"].strip()

    @check("stream")
    def stream():
        lines = ask("/openai/chat/completions", {**ASKED, "stream": True}).decode().splitlines()
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        pieces = [event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]]
        assert len(pieces) > 2 and "".join(pieces) == choice()["message"]["content"], pieces

    @check("usage")
    def usage():
        found = json.loads(ask("/openai/chat/completions", ASKED))["usage"]
        assert found["prompt_tokens"] > 0 and 0 < found["completion_tokens"] <= LONGEST, found

    @check("stop")
    def stop():
        text = choice()["message"]["content"]
        letter = cut_of(text)
        assert choice(stop=[letter])["message"]["content"] == text[: text.index(letter)]

    @check("schema")
    def schema():
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
        assert_answer(choice(max_tokens=80, response_format=wanted)["message"]["content"])

    @check("unknown model")
    def unknown_model():
        status, said = refused(ASKED | {"model": MISSING})
        assert status in (400, 404), (status, said)
        return f"refused by Open WebUI itself: {status}"

    @check("bad request")
    def bad_request():
        status, said = refused(ASKED | {"temperature": 9})
        assert status == 400 and "temperature" in said, (status, said)

finally:
    webui.terminate()
    webui.wait(60)

for name in ("completions", "responses", "files", "fine-tuning"):
    lacks(name, "its pages have no such thing")
lacks(
    "embeddings",
    "asked for when it reads documents, which was not tried" if EMBEDDER else "no embedding model was given to the run",
)
lacks("wrong key", "the key is set once for all of its users, by its admin")
done()
