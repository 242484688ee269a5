"""The tutorial's commands run, word for word and in order, with the tiny generated model in the place of the real one."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from homeroom.models import prepared, tiny

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-hour.md"
BASE = "smollm2-135m-instruct"
# Four held-out replies can never be promoted, and `eval run` says so with its status.
STATUS = {"homeroom eval run": 1}


def commands(page: str) -> list[str]:
    """What a reader types in the page's console blocks, here-documents included."""
    found: list[str] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        lines = iter(block.splitlines())
        for line in lines:
            if not line.startswith("$ "):
                continue
            command = line.removeprefix("$ ")
            here = re.search(r"<<'(\w+)'$", command)
            if here:
                body = []
                for follow in lines:
                    body.append(follow)
                    if follow == here[1]:
                        break
                command = "\n".join([command, *body, ""])
            found.append(command)
    return found


class Terminal:
    """Runs commands as a reader's shell does: the folder that `cd` chose stays."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        if command.startswith("cd "):
            self.folder = self.folder / command.removeprefix("cd ")
        return subprocess.run(
            ["/bin/bash", "-c", command if not command.startswith("cd ") else "true"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    @contextlib.contextmanager
    def serving(self, command: str) -> Iterator[str]:
        """`homeroom serve` until the block ends, then Ctrl-C."""
        arguments = shlex.split(command)
        program = [sys.executable, "-m", *arguments]
        process = subprocess.Popen(program, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            process.stdout.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    cache = tmp_path / "cache"
    prepared.prepare_folder(tiny.build(tmp_path / "tiny"), BASE, cache)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "homeroom").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m homeroom "$@"\n')
    (programs / "homeroom").chmod(0o755)
    folder = tmp_path / "desk"
    folder.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "HOMEROOM_CACHE": str(cache),
        "HOMEROOM_PORT": "0",
        "OMP_NUM_THREADS": "1",
    }
    return Terminal(folder, environment)


def test_a_here_document_is_one_command() -> None:
    page = "```console\n$ cat > a <<'END'\nx\n$ not a command\nEND\n$ ls\nwhat it prints\n```\n"
    assert commands(page) == ["cat > a <<'END'\nx\n$ not a command\nEND\n", "ls"]


@pytest.mark.slow  # some twenty processes, four of which load PyTorch
@pytest.mark.timeout(900)
def test_every_command_of_the_tutorial_runs(terminal: Terminal) -> None:
    said: dict[str, str] = {}
    for command in commands(TUTORIAL.read_text("utf-8")):
        if command == "homeroom serve":
            with terminal.serving(command) as line:
                address = re.search(r"http://127\.0\.0\.1:\d+", line)
                assert address is not None, line
                models = _models(address[0])
            continue
        result = terminal.run(command)
        expected = next((status for start, status in STATUS.items() if command.startswith(start)), 0)
        assert result.returncode == expected, f"$ {command}\n{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr, result.stderr
        said[command.split(" --")[0]] = result.stdout
    assert "12 examples in 1 file: nothing to mend." in said["homeroom data check data/examples.jsonl"]
    assert "train 6 · validation 2 · test 4 examples" in said["homeroom data split data/examples.jsonl"]
    assert "few: expect the model to learn a manner" in said["homeroom tune plan"]
    assert "4 replies. Wanted: At least 16 held-out replies." in said["homeroom eval run"]
    assert "2 topics. Wanted: At least 7 unseen topics." in said["homeroom eval run"]
    assert "now answers as tutor" in said["homeroom models use tutor"]
    assert "Notes on your turns" in said["homeroom practice"]
    assert (terminal.folder / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert models[0] == BASE
    assert re.fullmatch(rf"ft:{BASE}:homeroom:tutor:[0-9a-f]{{8}}", models[1])


def _models(address: str) -> list[str]:
    deadline = time.monotonic() + 30
    while True:
        try:
            return [model["id"] for model in httpx.get(f"{address}/v1/models", timeout=10).json()["data"]]
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
