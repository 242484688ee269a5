"""Homeroom's own server as the endpoint of a fine-tuning run: the one that serves this home, else one for as long as it lasts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from sqlalchemy import select

from homeroom.accounts import KeyStore
from homeroom.app.this_server import serving_address
from homeroom.app.work import child_environment, make_worker, running_worker
from homeroom.errors import ConflictError
from homeroom.runtime import Child, free_port, spawn
from homeroom.storage.tables import FineTuningJobRow

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

NAME = "this-server"
READY_S = 180.0
POLL_S = 0.1
KEY_DAYS = 14


@dataclass(frozen=True, slots=True)
class Here:
    """Where the server is, and what opens it: no key where this home has none.

    Attributes:
        base_url: Up to and including ``/v1``.
    """

    base_url: str
    key: str | None
    _home: Homeroom
    _stack: ExitStack

    def work_on(self, remote_job: str) -> None:
        """Run the job that was ordered, unless a worker of the home is quicker: there need not be one."""
        with self._home.database.read() as session:
            job_id = session.scalar(select(FineTuningJobRow.job_id).filter_by(id=remote_job))
        if job_id is not None:
            self._stack.enter_context(running_worker(make_worker(self._home, job_id)))


@contextmanager
def own_server(home: Homeroom) -> Iterator[Here]:
    """A server with OpenAI's API over this home.

    Raises:
        ConflictError: ``web-not-ready``.
    """
    with ExitStack() as stack:
        address = _serving(home) or stack.enter_context(_started(home))
        key = stack.enter_context(_key(home))
        yield Here(f"{address}/v1", key, home, stack)


def _serving(home: Homeroom) -> str:
    address = serving_address(home)
    return address if address and _answers(address) else ""


@contextmanager
def _started(home: Homeroom) -> Iterator[str]:
    port = free_port()
    logs = home.settings.home / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "homeroom.server", "--host", "127.0.0.1", "--port", str(port)]
    child: Child = spawn(argv, env=child_environment(home), stdout=str(logs / "web-for-tuning.log"))
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_S
        while not _answers(address):
            if child.poll() is not None or time.monotonic() > deadline:
                raise ConflictError(
                    f"The web process did not start within {READY_S:.0f} s. See its log: {logs / 'web-for-tuning.log'}",
                    code="web-not-ready",
                )
            time.sleep(POLL_S)
        yield address
    finally:
        child.terminate(5.0)


@contextmanager
def _key(home: Homeroom) -> Iterator[str | None]:
    """A key for as long as the run lasts, where the home asks for keys."""
    keys = KeyStore(home.database)
    if not keys.any_ever():
        yield None
        return
    made, secret = keys.create("tuning with --method openai", ("tune",), expires_at=time.time() + KEY_DAYS * 86_400)
    try:
        yield secret
    finally:
        keys.revoke(made.id)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
