"""A real server on the tiny base model, driven through the official SDK over a real socket. Started once for all tests here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from homeroom.app.home import Homeroom
from homeroom.models import tiny
from homeroom.settings import load_settings
from tests.app import material
from tests.cli.commands import SOURCE, kill_all

ALIAS = "gpt-4o-mini-2024-07-18"
TIMEOUT_S = 400
SETTINGS = {
    "HOMEROOM_DEFAULT_BASE": tiny.NAME,
    "HOMEROOM_THREADS": "1",
    "HOMEROOM_REQUESTS_PER_MINUTE": "0",
    "HOMEROOM_OPENAI_MODELS": f"{{{ALIAS}: {tiny.NAME}}}",
    "HOMEROOM_WEBHOOK_PRIVATE": "true",
    "OMP_NUM_THREADS": "1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
            if {"serve", "locked"} & set(getattr(item, "fixturenames", ())):  # a server of its own
                item.add_marker(pytest.mark.slow)


@dataclass
class Server:
    """A running ``homeroom serve`` with the worker."""

    home: Path
    address: str
    process: subprocess.Popen[str]
    env: dict[str, str]

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def client(self, key: str = "no-key-needed", **options: Any) -> openai.OpenAI:
        """The official client; it asks once, so that a test sees the first answer."""
        return openai.OpenAI(base_url=self.base_url, api_key=key, **{"max_retries": 0, "timeout": 60, **options})

    def open(self) -> Homeroom:
        """The server's home, opened beside it."""
        return Homeroom.open(load_settings(environ=self.env))

    def command(self, *arguments: str) -> str:
        """What a command of Homeroom's prints on this home."""
        argv = [sys.executable, "-m", "homeroom", *arguments]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()

    def kill(self) -> None:
        """Everything of this home ends at once."""
        kill_all(self.home)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start(home: Path, cache: Path, **settings: str) -> Server:
    """Start a server on ``home`` with `SETTINGS` and those given, and wait until it answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEROOM_")}
    own = {"HOMEROOM_HOME": str(home), "HOMEROOM_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(SOURCE)}
    env = {**kept, **own, **SETTINGS, **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "homeroom", "serve", "--port", "0"],
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()).startswith("warning: "):
        pass
    found = re.match(r"Homeroom is at (http://127\.0\.0\.1:\d+) ", line)
    assert found, line + process.stdout.read()
    return Server(home, found[1], process, env)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return material.tiny_cache(tmp_path_factory)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[Server]:
    """The one server of the session, without API keys. Whoever needs keys or other settings takes `serve`."""
    started = start(tmp_path_factory.mktemp("openai-api") / "home", cache)
    try:
        yield started
        started.stop()
    finally:
        started.kill()


@pytest.fixture
def serve(tmp_path: Path, cache: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of this test's own: ``serve(HOMEROOM_MAX_UPLOAD_MB="1")``."""

    started: list[Server] = []

    def one(**settings: str) -> Server:
        started.append(start(tmp_path / "home", cache, **settings))
        return started[-1]

    yield one
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def client(server: Server) -> openai.OpenAI:
    """The official SDK, talking to the session's server."""
    return server.client()
