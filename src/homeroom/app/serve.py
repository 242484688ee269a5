"""``homeroom serve``: a thin supervisor over the web process, the engine and the job worker.

It holds the home's lock, imports neither Flask nor torch, restarts a child that died (with growing pauses), and keeps the engines
(`homeroom.app.engine_keeper`). When it ends, however it ends, its children end.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

import httpx

from homeroom.accounts import KeyStore
from homeroom.app.engine_keeper import EngineKeeper
from homeroom.app.model_names import empty_names
from homeroom.app.reach import FREED_IN_S, check_port, check_reach
from homeroom.app.work import child_environment
from homeroom.errors import ConflictError
from homeroom.runtime import Child, free_port, is_loopback, spawn, url_of
from homeroom.storage.lock import HomeLock

if TYPE_CHECKING:
    from homeroom.app.home import Homeroom

TICK_S = 0.3
READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.05
GRACE_S = 5.0
STABLE_S = 30.0
MAX_PAUSE_S = 30.0


@dataclass(slots=True)
class _Service:
    """A child that should always run: restarted when it dies, after a pause that doubles until it has run for a while."""

    name: str
    argv: list[str]
    log: str
    child: Child | None = None
    started: float = 0.0
    pause_s: float = 0.5
    retry_at: float = field(default=0.0)


class Supervisor:
    """Runs everything of one home until it is told to stop.

    Args:
        home: The open home.
        port: Port of the pages; the settings' when None. 0 takes a free one.
        worker: Whether to run a job worker.
        say: Told what a person should know, one line at a time.
    """

    def __init__(
        self, home: Homeroom, *, port: int | None = None, worker: bool = True, say: Callable[[str], None] = print
    ) -> None:
        self._home, self._say = home, say
        settings = home.settings
        self._host = settings.host
        check_port(self._host, 0)  # a mistyped address is told as that, not as one that others reach
        check_reach(self._host, settings.allow_hosts, has_keys=KeyStore(home.database).any_active())
        wanted = settings.port if port is None else port
        self._port = free_port() if wanted == 0 else wanted
        self._stop = threading.Event()
        logs = settings.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        web = [sys.executable, "-m", "homeroom.server", "--host", self._host, "--port", str(self._port)]
        web += [part for name in settings.allow_hosts for part in ("--allow-host", name)]
        self._services = [_Service("web", web, str(logs / "web.log"))]
        if worker:
            self._services.append(_Service("worker", [sys.executable, "-m", "homeroom.app.run_worker"], str(logs / "worker.log")))
        self._engines = EngineKeeper(home, say)

    @property
    def address(self) -> str:
        """Where the pages are, seen from this machine."""
        return url_of(self._host, self._port)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Where other machines find the pages, as far as this one can know; empty where they cannot."""
        names = self._home.settings.allow_hosts
        found = [name if name.startswith("https://") else f"http://{name}:{self._port}" for name in names]
        if self._host in ("0.0.0.0", "::"):  # noqa: S104 - what the person who runs it asked for
            found.append(f"http://ADDRESS-OF-THIS-MACHINE:{self._port}")
        elif not is_loopback(self._host):
            found.append(self.address)
        return tuple(found)

    def stop(self) -> None:
        """Ask `run` to end everything and return."""
        self._stop.set()

    def run(self, ready: Callable[[str], None] | None = None) -> None:
        """Start everything, call ``ready`` with the address, and keep it running until `stop`, SIGINT or SIGTERM.

        Raises:
            ConflictError: another server holds the home (``home-locked``) or the port is taken (``port-taken``).
            ConfigError: this machine has no such address (``host-unknown``), or keeps the port back (``port-refused``).
        """
        with HomeLock(self._home.settings.home, self.address):
            check_port(self._host, self._port, patience_s=FREED_IN_S)
            for empty in empty_names(self._home.settings, [model.name for model in self._home.registry.list()]):
                self._say(f"warning: openai_models: {empty.told}. Mend it: {empty.mend}")
            previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                self._engines.start()
                for service in self._services:
                    self._start(service)
                self._wait_until_ready()
                if ready is not None and not self._stop.is_set():
                    ready(self.address)
                while not self._stop.wait(TICK_S):
                    self._tick()
            finally:
                self._end()
                for number, handler in previous.items():
                    signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _start(self, service: _Service) -> None:
        service.child = spawn(service.argv, env=child_environment(self._home), stdout=service.log)
        service.started = time.monotonic()

    def _tick(self) -> None:
        now = time.monotonic()
        for service in self._services:
            if service.child is not None and service.child.poll() is not None:
                if now - service.started > STABLE_S:
                    service.pause_s = 0.5
                self._say(f"{service.name} ended (status {service.child.poll()}); starting it again. Log: {service.log}")
                service.child = None
                service.retry_at = now + service.pause_s
                service.pause_s = min(MAX_PAUSE_S, service.pause_s * 2)
            if service.child is None and now >= service.retry_at:
                self._start(service)

    def _wait_until_ready(self) -> None:
        """The pages answer, and so does the engine, where its base is here and starts."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._answers() and time.monotonic() < deadline and not self._stop.is_set():
            self._tick()
            self._stop.wait(READY_POLL_S)
        while not self._engines.settled() and not self._stop.wait(READY_POLL_S):
            self._tick()
        if not self._stop.is_set() and not self._answers():
            log = self._services[0].log
            raise ConflictError(
                f"The web process did not start within {READY_TIMEOUT_S:.0f} s. See its log: {log}", code="web-not-ready"
            )

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/health", timeout=2, trust_env=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _end(self) -> None:
        """Everything ends: children together, so that the longest decides how long it takes."""
        threads = [threading.Thread(target=s.child.terminate, args=(GRACE_S,)) for s in self._services if s.child is not None]
        threads.append(threading.Thread(target=self._engines.stop))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
