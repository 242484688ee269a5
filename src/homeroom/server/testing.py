"""Runs the application on a free port in a thread, for tests and for looking at the pages; and embedders without a model."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from homeroom.app.embedders import EmbedderCard
from homeroom.errors import NotFoundError
from homeroom.models.testing import WordEmbedder


class _QuietHandler(WSGIRequestHandler):
    """Without a line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class LiveServer:
    """The application at ``url`` on loopback for as long as the ``with`` block lasts.

    Args:
        app: What `homeroom.server.app.create_app` made.
        port: 0 takes a free one.
    """

    def __init__(self, app: Flask, *, port: int = 0) -> None:
        self._server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_QuietHandler)
        self._server.daemon_threads = True  # type: ignore[attr-defined]  # of socketserver.ThreadingMixIn
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="live-server", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LiveServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class WordEmbedders:
    """Implements `homeroom.server.services.Embedders` with `WordEmbedder` under the names that are given."""

    def __init__(self, *names: str) -> None:
        self._embedders: Mapping[str, WordEmbedder] = {name: WordEmbedder(name) for name in names}

    def list(self) -> Sequence[EmbedderCard]:
        """All of them."""
        return [EmbedderCard(name, name, found.dimensions, 512) for name, found in self._embedders.items()]

    def embedder(self, name: str) -> WordEmbedder:
        """The one of that name.

        Raises:
            NotFoundError: there is none (``model-not-found``).
        """
        if name not in self._embedders:
            raise NotFoundError(f"There is no embedding model {name!r} here", code="model-not-found")
        return self._embedders[name]
