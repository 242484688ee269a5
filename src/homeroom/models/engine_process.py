"""One engine child: started, waited for until it is ready, asked whether it is idle, ended when it is."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from homeroom.errors import ProviderError
from homeroom.models.engine_info import AdapterFile, EngineInfo
from homeroom.models.folder import read_json
from homeroom.models.prepared import write_atomic
from homeroom.schema.models import BaseFiles
from homeroom.storage.errors import disk_errors
from homeroom.storage.files import make_private_folder
from homeroom.storage.held import hold

_POLL_S = 0.02
_READY_S = 300.0
_IDLE_POLL_S = 0.5


class ChildProcess(Protocol):
    """What `homeroom.runtime.spawn` returns."""

    pid: int

    def poll(self) -> int | None:
        """Exit status, None while it runs."""

    def terminate(self, grace_s: float = 5.0) -> int | None:
        """End it."""


class Spawn(Protocol):
    """`homeroom.runtime.spawn`."""

    def __call__(self, argv: Sequence[str], *, stdout: Path | None = None) -> ChildProcess:
        """Start a child that ends with this process."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a base is served.

    Attributes:
        slots: Conversations at a time.
        context: Tokens of prompt plus reply in one conversation.
        threads: Processor threads, at least 1.
    """

    slots: int
    context: int
    threads: int


@dataclass(frozen=True, slots=True)
class Engine:
    """A child that was ready, and the adapters that it was started with."""

    info: EngineInfo
    child: ChildProcess
    files: tuple[AdapterFile, ...]

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self.child.poll() is None

    def idle(self) -> bool:
        """Whether it says that it computes nothing. A child that does not say so in time is busy, or gone."""
        headers = {"Authorization": f"Bearer {self.info.key}"}
        with contextlib.suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"{self.info.url}/slots", headers=headers, timeout=5.0, trust_env=False)
            return answer.status_code == httpx.codes.OK and not any(slot["is_processing"] for slot in answer.json())
        return False

    def drain(self, limit_s: float, stopped: threading.Event) -> None:
        """End it once it is idle, twice in a row because a request may be on its way; at once after ``limit_s`` or a stop."""
        deadline = time.monotonic() + limit_s
        idle = 0
        while idle < 2 and time.monotonic() < deadline and self.alive:
            if stopped.wait(_IDLE_POLL_S):
                break
            idle = idle + 1 if self.idle() else 0
        self.child.terminate(grace_s=2.0)


def _served(base: BaseFiles, files: Sequence[AdapterFile], options: EngineOptions) -> dict[str, object]:
    """What the child serves and how, for its configuration."""
    return {
        "gguf": str(base.gguf),
        "alias": base.name,
        "adapters": [str(file.path) for file in files],
        "slots": options.slots,
        "context": options.context,
        "threads": options.threads,
        "embedding": base.purpose == "embedding",
    }


def start_engine(
    base: BaseFiles,
    files: Sequence[AdapterFile],
    options: EngineOptions,
    *,
    home: Path,
    spawn: Spawn,
    stopped: threading.Event,
) -> Engine:
    """Start a child for ``base`` with the adapters ``files`` and wait until it answers.

    Args:
        base: The model.
        files: Its adapters; their numbers in the engine are their places here.
        options: How it is served.
        home: ``run/`` in it is used for the child's configuration, ``logs/engine.log`` for what it says.
        spawn: `homeroom.runtime.spawn`.
        stopped: Ends the wait.

    Raises:
        ProviderError: ``engine-start``, with the last line of the log.
        StorageError: ``no-space``.
    """
    log, run = log_path(home), home / "run"
    tag, key = secrets.token_hex(6), secrets.token_urlsafe(32)
    config, report = (run / f"engine-{tag}.{kind}.json" for kind in ("config", "report"))
    record = {**_served(base, files, options), "key": key, "report": str(report)}
    with disk_errors(home), contextlib.ExitStack() as after:
        make_private_folder(log.parent)
        _sweep(make_private_folder(run))
        mark = hold(run / f"engine-{tag}.lock")
        if mark is not None:
            after.enter_context(mark)
        after.callback(report.unlink, missing_ok=True)
        after.callback(config.unlink, missing_ok=True)
        write_atomic(config, json.dumps(record), mode=0o600)
        started_at = time.time()
        child = spawn([sys.executable, "-m", "homeroom.models.engine_child", str(config)], stdout=log)
        ready = _await_report(child, report, base, log, stopped)
    info = EngineInfo(
        base=base.name,
        identity=base.identity,
        url=str(ready["url"]),
        key=key,
        pid=int(str(ready["pid"])),
        adapters={file.name: index for index, file in enumerate(files)},
        context_tokens=options.context,
        slots=options.slots,
        started_at=started_at,
    )
    return Engine(info, child, tuple(files))


def _sweep(run: Path) -> None:
    """Remove what starts of processes that were killed have left: it holds the engines' keys."""
    for path in (*run.glob("engine-*.*"), *run.glob(".engine-*.*")):
        tag = path.name.removeprefix(".").partition(".")[0]
        mark = hold(run / f"{tag}.lock")
        if mark is not None:
            with mark:
                path.unlink(missing_ok=True)


def log_path(home: Path) -> Path:
    """Where the engines of ``home`` write."""
    return home / "logs" / "engine.log"


def _await_report(child: ChildProcess, report: Path, base: BaseFiles, log: Path, stopped: threading.Event) -> dict[str, object]:
    deadline = time.monotonic() + _READY_S
    while not report.exists():
        if child.poll() is not None or time.monotonic() > deadline or stopped.is_set():
            child.terminate(grace_s=1.0)
            raise _start_error(base, log, "it was stopped" if stopped.is_set() else "it ended")
        time.sleep(_POLL_S)
    ready = read_json(report)
    if "error" in ready:
        child.terminate(grace_s=1.0)
        raise _start_error(base, log, str(ready["error"]))
    return ready


def _start_error(base: BaseFiles, log: Path, reason: str) -> ProviderError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    last = next((line for line in reversed(lines) if line.strip()), "nothing")
    return ProviderError(
        f"The engine did not start with {base.name!r} ({reason}; its last line: {last[:200]!r}). The log is"
        f" {str(log)!r}. Check memory and files: homeroom doctor",
        code="engine-start",
        status=503,
    )
