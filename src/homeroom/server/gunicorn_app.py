"""Serves the application with gunicorn: one worker, many threads. Inference happens elsewhere, so a thread only waits."""

from __future__ import annotations

import json
import resource
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import (
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from homeroom.app.logs import FORMAT, PrivateFormatter
from homeroom.server.context import end_streams
from homeroom.server.limits import MAX_ADDRESS_BYTES, MAX_HEADER_BYTES, MAX_HEADERS

THREADS = 1280  # they only wait, and are made when they are needed: half of them may be open replies
GRACE_S = 4
OPEN_FILES = 8192


def allow_open_files(wanted: int = OPEN_FILES) -> None:
    """Let this process open as many files as its streams take, as far as the machine allows: each has a client and a model."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class PrivateLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's log without what a client sent: its own words quote header lines and addresses."""

    def setup(self, cfg: Any) -> None:  # gunicorn's configuration
        """As gunicorn's, with exceptions shown as ours are."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(PrivateFormatter(FORMAT))

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Of a request that is no HTTP, that there was one."""
        if msg.startswith("Invalid request"):
            msg, args = "a client sent something that is no HTTP request", ()
        super().warning(msg, *args, **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Of a request that failed outside the application, without its address."""
        if msg.startswith(("Error handling request", "Error processing request")):
            msg, args = "a request failed before the application met it", ()
        super().exception(msg, *args, **kwargs)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threads, with OpenAI's object for what is no HTTP request too, where gunicorn's page quotes the client."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # of gunicorn
        """Answer what the application never met."""
        if not isinstance(exc, ParseException) or isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Invalid request")
        too_much = isinstance(exc, LimitRequestLine | LimitRequestHeaders)
        status, code = ("431 Request Header Fields Too Large", "headers-too-large") if too_much else ("400 Bad Request", "http")
        told = "the address or the headers are too long" if too_much else "this is no HTTP request that can be read"
        error = {"message": f"{told}. Send it again, with long texts in the body", "type": "invalid_request_error"}
        body = json.dumps({"error": {**error, "param": None, "code": code}}).encode()
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with suppress(OSError):  # whoever sent it has gone
            write_nonblock(client, head.encode() + body)


class WebApplication(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn without its command line.

    Args:
        make_app: Builds the application; called in the worker, after the fork, so that it opens its own database connections.
        host: Address to bind.
        port: Port to bind.
        threads: Requests served at once; replies and open pages are admitted up to fewer than that.
    """

    def __init__(self, make_app: Callable[[], Flask], *, host: str, port: int, threads: int = THREADS) -> None:
        self._make_app = make_app
        self._options: dict[str, Any] = {  # gunicorn's own names and types
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": 1,
            "worker_class": Worker,
            "threads": threads,
            "worker_connections": 2 * threads,
            "graceful_timeout": GRACE_S,
            "timeout": 120,
            "keepalive": 15,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "proc_name": "homeroom-web",
            "control_socket_disable": True,
            "limit_request_line": MAX_ADDRESS_BYTES,
            "limit_request_fields": MAX_HEADERS,
            "limit_request_field_size": MAX_HEADER_BYTES // 2,
            "forwarded_allow_ips": "",  # nobody stands in front: what a client says of a proxy is not believed
            "logger_class": PrivateLogger,
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
