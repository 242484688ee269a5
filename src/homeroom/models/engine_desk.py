"""Where the processes of a home ask for an engine: a loopback port of the process that owns the engines, behind a key.

    POST /engine  {"identity": ..., "adapter": ... or null, "failed": {...} or null}  ->  an engine, or an error of ours

It is asked only for what ``run/engine.json`` does not name yet, and after a failure: a chat request costs no further hop.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from homeroom.errors import ConfigError, ConflictError, HomeroomError, NotFoundError, ProviderError
from homeroom.models.engine_info import DeskInfo, EngineInfo

Ensure = Callable[[str, str | None, EngineInfo | None], EngineInfo]
_BODY_BYTES = 65_536
_KINDS: tuple[type[HomeroomError], ...] = (NotFoundError, ConflictError, ConfigError, ProviderError)


class EngineDesk:
    """Answers other processes of the home until `close`.

    Args:
        ensure: `homeroom.models.engine_pool.EnginePool.ensure`.
    """

    def __init__(self, ensure: Ensure) -> None:
        key = secrets.token_urlsafe(32)
        self._server = _Server(("127.0.0.1", 0), _handler(ensure, key))
        self.info = DeskInfo(f"http://127.0.0.1:{self._server.server_address[1]}", key, os.getpid())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="engine-desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more questions."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a question that waits for a model to load is not waited for
    request_queue_size = 128


def _handler(ensure: Ensure, key: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a request to arrive

        def do_POST(self) -> None:
            shown = self.headers.get("Authorization", "")
            if not hmac.compare_digest(shown.encode(), f"Bearer {key}".encode()):
                self.send_error(HTTPStatus.UNAUTHORIZED)
                return
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _BODY_BYTES or self.path != "/engine":
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            try:
                told = answer(ensure, dict(json.loads(self.rfile.read(int(length)))))
            except (ValueError, TypeError, KeyError):
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            self._say(told)

        def _say(self, record: dict[str, Any]) -> None:
            data = json.dumps(record).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged: it is a question of our own processes."""

    return Handler


# JSON of our own processes: Any.
def answer(ensure: Ensure, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question, as JSON takes it: ``{"engine": ...}`` or ``{"error": ...}``."""
    failed = EngineInfo(**asked["failed"]) if asked.get("failed") else None
    try:
        return {"engine": ensure(str(asked["identity"]), asked.get("adapter"), failed).to_dict()}
    except HomeroomError as error:
        kind = next((kind.__name__ for kind in _KINDS if isinstance(error, kind)), "ProviderError")
        return {
            "error": {
                "kind": kind,
                "message": error.message,
                "code": error.code,
                "status": error.status,
                "retry_after_s": getattr(error, "retry_after_s", None),
            }
        }


def ask_desk(
    desk: DeskInfo, identity: str, adapter: str | None, failed: EngineInfo | None, *, timeout_s: float
) -> EngineInfo | None:
    """The engine for a base and an adapter, loaded if need be; None when nobody is at the desk any more.

    Raises:
        HomeroomError: what `EnginePool.ensure` raised there; ProviderError ``engine-down`` when it took too long.
    """
    import httpx

    from homeroom.models.engine_chat import loopback_client

    body = {"identity": identity, "adapter": adapter, "failed": failed.to_dict() if failed else None}
    with loopback_client() as client:
        try:
            told = client.post(
                f"{desk.url}/engine", json=body, headers={"Authorization": f"Bearer {desk.key}"}, timeout=timeout_s
            )
            record = told.json() if told.status_code == httpx.codes.OK else {}
        except httpx.TimeoutException as error:
            raise ProviderError(
                f"The engine did not become ready within {timeout_s:.0f} s. Try again in a moment, or see: homeroom doctor",
                code="engine-down",
                status=503,
                retry_after_s=5,
            ) from error
        except (httpx.HTTPError, ValueError):
            return None
    if "engine" in record:
        return EngineInfo(**record["engine"])
    if "error" in record:
        raise _error(record["error"])
    return None


def _error(said: dict[str, Any]) -> HomeroomError:
    kind = next((kind for kind in _KINDS if kind.__name__ == said["kind"]), ProviderError)
    if kind is ProviderError:
        retry_after_s = said.get("retry_after_s")
        return ProviderError(said["message"], code=said["code"], status=int(said["status"]), retry_after_s=retry_after_s)
    return kind(said["message"], code=said["code"])
