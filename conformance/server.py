"""A real ``homeroom serve`` with API keys, on loopback, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ALIAS = "gpt-4o-mini-2024-07-18"
"""A name of OpenAI's that fine-tuning jobs may ask for."""
SOURCE = Path(__file__).parents[1] / "src"
STOP_S = 20.0


@dataclass
class Server:
    """A running server.

    Attributes:
        model: The base model that it serves.
        embedder: The model that it embeds with; empty when there is none.
        key: May do everything.
        chat_key: May chat, and nothing else.
    """

    home: Path
    address: str
    model: str
    embedder: str
    key: str
    chat_key: str
    process: subprocess.Popen[str]
    env: dict[str, str]

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return f"{self.address}/v1"

    def stop(self) -> None:
        """As Ctrl-C does; what does not end by that is ended."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


def end_on_sigterm() -> None:
    """Let a program that is told to end stop its server first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@contextmanager
def serving(
    folder: Path, *, cache: Path | None = None, model: str = "", embedder: str = "", worker: bool = True
) -> Iterator[Server]:
    """A server on the home ``folder/home``; a second call with the same folder goes on where the first one ended.

    Args:
        folder: Everything of the server is in here.
        cache: Model files to use. None makes the tiny model, which speaks no language.
        model: The base model in that cache.
        embedder: The embedding model in that cache, if any.
        worker: Whether jobs are run.
    """
    if cache is None:
        cache = folder / "cache"
        model, embedder = _tiny(folder, cache)
    server = _start(folder / "home", cache, model, embedder, worker=worker)
    try:
        yield server
    finally:
        server.stop()


def _tiny(folder: Path, cache: Path) -> tuple[str, str]:
    from homeroom.models import prepared, tiny, tiny_embedder
    from homeroom.models.embed_files import prepare_embedder

    if not cache.exists():
        prepared.prepare_folder(tiny.build(folder / "tiny"), tiny.NAME, cache)
        prepare_embedder(tiny_embedder.build(folder / "tiny-embedder"), tiny_embedder.NAME, cache)
    return tiny.NAME, tiny_embedder.NAME


def _start(home: Path, cache: Path, model: str, embedder: str, *, worker: bool) -> Server:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("HOMEROOM_") and not name.endswith("_API_KEY")
    }
    env = {
        **kept,
        "HOMEROOM_HOME": str(home),
        "HOMEROOM_CACHE": str(cache),
        "HOMEROOM_DEFAULT_BASE": model,
        "HOMEROOM_THREADS": "1",
        "HOMEROOM_REQUESTS_PER_MINUTE": "0",
        "HOMEROOM_OPENAI_MODELS": f"{{{ALIAS}: {model}}}",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(SOURCE),
    }
    key, chat_key = _key(env, "admin"), _key(env, "chat")
    with (home / "serve.log").open("a") as log:
        process = subprocess.Popen(
            _command("serve", "--port", "0", *([] if worker else ["--no-worker"])),
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"Homeroom is at (http://127\.0\.0\.1:\d+) ", line)
    if found is None:
        raise RuntimeError(f"the server did not start: {line}{(home / 'serve.log').read_text()}")
    return Server(home, found[1], model, embedder, key, chat_key, process, env)


def _key(env: dict[str, str], scope: str) -> str:
    argv = _command("users", "key", "create", "conformance", "--scope", scope, "--rpm", "1000000", "--json")
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=120)
    return str(json.loads(done.stdout)["secret"])


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "homeroom", *arguments]
