"""A model endpoint that repeats what was sent to it, and the key with it when it refuses: the worst a provider does with secrets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Parrot:
    """Runs while the ``with`` block lasts. The model's name says how it answers: ``says``, ``refuses``, ``fails``, ``breaks``."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(200, {"data": [{"id": name} for name in ("says", "refuses", "fails", "breaks")]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said = f"I was told {json.dumps(body['messages'])} with {self.headers.get('Authorization')}"
                how = body["model"]
                if how == "says":
                    self._say(f"You said {body['messages'][-1]['content']}", stream=bool(body.get("stream")))
                elif how == "breaks":
                    self.close_connection = True
                else:
                    self._send({"refuses": 401, "fails": 500}[how], {"error": {"message": said, "code": said}})

            def _say(self, text: str, *, stream: bool) -> None:
                if not stream:
                    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                    self._send(200, {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
                    return
                events: list[dict[str, Any]] = [
                    {"choices": [{"index": 0, "delta": {"content": text}}]},
                    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                ]
                lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
                self._send(200, lines.encode(), "text/event-stream")

            def _send(self, status: int, body: Any, kind: str = "application/json") -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Parrot:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
