"""Serves the application with gunicorn: one worker, many threads. Inference happens elsewhere, so a thread only waits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from homeroom.runtime import check_loopback
from homeroom.server.context import end_streams

THREADS = 96
GRACE_S = 4


class WebApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn without its command line.

    Args:
        make_app: Builds the application; called in the worker, after the fork, so that it opens its own database connections.
        host: Address to bind; loopback only.
        port: Port to bind.
        threads: Requests served at once; replies and open pages are admitted up to fewer than that.

    Raises:
        ConfigError: ``host`` is not loopback.
    """

    def __init__(self, make_app: Callable[[], Flask], *, host: str, port: int, threads: int = THREADS) -> None:
        check_loopback(host)
        self._make_app = make_app
        self._options: dict[str, Any] = {  # gunicorn's own names and types
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": threads,
            "graceful_timeout": GRACE_S,
            "timeout": 120,
            "keepalive": 15,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "proc_name": "homeroom-web",
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        """Hand over the options that this gunicorn knows."""
        for name, value in self._options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, in the worker."""
        app = self._make_app()
        previous = signal.getsignal(signal.SIGTERM)

        def on_term(number: int, frame: FrameType | None) -> None:
            # In a thread: a signal handler must not wait for a lock that the interrupted code may hold.
            threading.Thread(target=end_streams, args=(app,), name="end-streams").start()
            if callable(previous):
                previous(number, frame)

        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_term)
        return app
