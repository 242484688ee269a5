"""A home to hurt: its files, its environment, its server, and every process that belongs to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from homeroom.models import prepared, tiny
from homeroom.runtime import free_port
from homeroom.schema.models import BaseFiles
from tests.app import material
from tests.faults.tether import tethered

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Process:
    """A living process of a home."""

    pid: int
    parent: int
    command: str
    started: str  # ticks since the machine started: with the pid it names the process for ever

    @property
    def alive(self) -> bool:
        return _stat(self.pid)[1] == self.started

    def kill(self) -> bool:
        """Kill -9. Returns whether it was there to be killed."""
        with suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, signal.SIGKILL)
                return True
        return False


def descendants(of: int, processes: Iterable[Process]) -> list[Process]:
    """Those of ``processes`` that were started by ``of``, or by one of them."""
    found: list[Process] = []
    family = {of}
    left = list(processes)
    while children := [process for process in left if process.parent in family]:
        found += children
        family |= {process.pid for process in children}
        left = [process for process in left if process not in children]
    return found


class Bed:
    """Everything that a run of faults works on, under ``folder``.

    Args:
        folder: Journals, inputs and logs; survives what is done to the home.
        home: The home; ``<folder>/home`` when None.
        env: More environment for every process.
    """

    def __init__(self, folder: Path, home: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self.home = (home or self.folder / "home").resolve()
        self.journals = self.folder / "journals"
        self.stop_file = self.folder / "stop"
        self.port = free_port()
        self._extra = dict(env or {})
        self._server: subprocess.Popen[bytes] | None = None
        for path in (self.folder, self.journals):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def adapter(self) -> Path:
        """A LoRA to import."""
        return self.folder / "adapter"

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEROOM_")}
        return {
            **kept,
            "HOMEROOM_HOME": str(self.home),
            "HOMEROOM_CACHE": str(self.cache),
            "HOMEROOM_DEFAULT_BASE": tiny.NAME,
            "HOMEROOM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
            **self._extra,
        }

    def make(self, *, recipe: Mapping[str, Any] = material.QUICK) -> BaseFiles:
        """The base model, an adapter, data and a recipe. The home itself is made by its first command."""
        base = prepared.prepare_folder(tiny.build(self.folder / "tiny"), tiny.NAME, self.cache)
        material.random_adapter(base, self.adapter)
        self.recipe(recipe)
        material.write_jsonl(self.folder / "base-data.jsonl", [*material.tutor_records(), *material.learner_records()])
        return base

    def recipe(self, recipe: Mapping[str, Any], name: str = "recipe") -> Path:
        return material.write_recipe(self.folder / f"{name}.json", {"task": "tutor", **recipe})

    def popen(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start ``python -m homeroom …`` in a session of its own, as a shell does."""
        return subprocess.Popen(
            tethered(sys.executable, "-m", "homeroom", *arguments),
            env={**self.env, **(env or {})},
            cwd=self.folder,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.popen(*arguments, env=env)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ok(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What a command printed that must succeed."""
        ended = self.run(*arguments, env=env)
        assert ended.returncode == 0, f"{arguments}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def serve(self) -> None:
        """Start the server, without waiting for it; its output goes to ``<folder>/serve.log``."""
        with (self.folder / "serve.log").open("ab") as log:
            self._server = subprocess.Popen(
                tethered(sys.executable, "-m", "homeroom", "serve", "--port", str(self.port)),
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def server(self) -> subprocess.Popen[bytes]:
        assert self._server is not None
        return self._server

    def serves(self) -> bool:
        """Whether the server process runs; reaps it when it does not."""
        return self._server is not None and self._server.poll() is None

    def ready(self) -> bool:
        """Whether pages and engine answer."""
        try:
            return httpx.get(f"{self.address}/ready", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def await_ready(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until everything answers."""
        eventually(self.ready, patience_s, f"the server at {self.address} is not ready; see {self.folder / 'serve.log'}")

    def end_server(self, patience_s: float = 30.0) -> int:
        """Ctrl-C. Returns the exit status."""
        self.server.send_signal(signal.SIGTERM)
        try:
            return self.server.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
            raise

    def processes(self) -> list[Process]:
        """Every living process of this home, whatever group or session it is in; the clients are not of it."""
        return [process for process in processes_of(self.home) if "tests.faults.client" not in process.command]

    def end_everything(self) -> None:
        """Kill what is left of this bed, by pid."""
        deadline = time.monotonic() + 20
        while (left := processes_of(self.home)) and time.monotonic() < deadline:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.05)
        if self._server is not None:
            self._server.wait(10)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def processes_of(home: Path) -> list[Process]:
    """Living processes that name ``home`` in their environment or on their command line, this one left out."""
    mark = str(home).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            environ = (folder / "environ").read_bytes().split(b"\0")
            parent, started = _stat(pid)
            if started and pid != os.getpid() and (b"HOMEROOM_HOME=" + mark in environ or mark in command):
                found.append(Process(pid, parent, command.replace(b"\0", b" ").decode(errors="replace").strip(), started))
    return found


def _stat(pid: int) -> tuple[int, str]:
    """Its parent and when it started; the latter is empty when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, ""
    return int(fields[1]), "" if fields[0] in "ZX" else fields[19]


def did_its_work(ended: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command with ``--json`` did its work; an evaluation that advises against the model ends with 1 all the same."""
    return ended.returncode == 0 or (ended.returncode == 1 and "error" not in json.loads(ended.stdout))


def eventually(condition: Callable[[], Any], patience_s: float = PATIENCE_S, what: str = "it never came to pass") -> Any:
    """What ``condition`` gives, once it is true."""
    deadline = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value
