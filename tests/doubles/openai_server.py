"""A server with OpenAI's models, files, fine-tuning and chat API, as far as reading an account and asking models needs it.

`faults` is a list of (path part, what goes wrong); each is used once, in order, by the first request whose path holds the part:

    429      asks to wait 0 seconds              401, 404, 500   refuses with that status
    cut      half of the body, then the end      garbage         something that is no JSON
    silence  closes the connection unanswered    then cut        (chat) the answer is lost after it was made
    ok       nothing: counts the requests        wait            answers only when `go` is set, as `reached` says
    hold     as wait, after half of the body
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sk-test-canary"
Json = dict[str, Any]


def chat_lines(pairs: list[tuple[str, str]]) -> bytes:
    """A training file in OpenAI's chat format."""
    records = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in pairs]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


class OpenAIDouble:
    """Start it with ``with``; ``address`` is its base URL."""

    def __init__(self, page: int = 2) -> None:
        self.page = page
        self.models: list[Json] = []
        self.jobs: list[Json] = []
        self.events: dict[str, list[Json]] = {}
        self.checkpoints: dict[str, list[Json]] = {}
        self.files: dict[str, bytes] = {}
        self.faults: list[tuple[str, str]] = []
        self.requests: Counter[str] = Counter()
        self.charged: list[Json] = []
        self.reply: Callable[[Json], str] = lambda body: f"old: {body['messages'][-1]['content']}"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._lock = threading.Lock()
        self.reached = threading.Semaphore(0)
        self.go = threading.Event()

    def __enter__(self) -> OpenAIDouble:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.go.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        """Up to and including /v1."""
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def fault(self, path: str) -> str:
        """What goes wrong with this request, if anything."""
        with self._lock:
            self.requests[path] += 1
            found = next((f for f in self.faults if f[0] in path), None)
            if found is not None:
                self.faults.remove(found)
        if found is not None and found[1] == "wait":
            self.stand()
        return found[1] if found else ""

    def stand(self) -> None:
        """Keep a request waiting until `go`."""
        self.reached.release()
        self.go.wait()

    def preferences(self, job: Json, lines: list[Json], **method: Any) -> None:
        """Make of a job one that learnt from ``lines`` by a ``method`` of its own."""
        self.files[job["training_file"]] = "".join(json.dumps(line) + "\n" for line in lines).encode()
        job["method"] = method

    def tuned(self, name: str, base: str, pairs: list[tuple[str, str]], validation: list[tuple[str, str]] | None = None) -> Json:
        """Add a job that succeeded, its files and its model."""
        number = len(self.jobs) + 1
        self.files[f"file-train{number}"] = chat_lines(pairs)
        self.files[f"file-result{number}"] = b"step,train_loss\n1,2.5\n2,2.0\n"
        if validation:
            self.files[f"file-valid{number}"] = chat_lines(validation)
        job = {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": 1_760_000_000 + number,
            "finished_at": 1_760_000_900 + number,
            "model": base,
            "fine_tuned_model": name,
            "status": "succeeded",
            "training_file": f"file-train{number}",
            "validation_file": f"file-valid{number}" if validation else None,
            "result_files": [f"file-result{number}"],
            "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 2.0},
            "trained_tokens": 1234,
        }
        self.jobs.insert(0, job)
        self.events[job["id"]] = [{"id": f"ftevent-{number}-{n}", "message": f"step {n}"} for n in range(5, 0, -1)]
        self.checkpoints[job["id"]] = [{"id": f"ftckpt-{number}", "step_number": 2}]
        self.models.append({"id": name, "object": "model", "owned_by": "org"})
        return job


def _handler(double: OpenAIDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            fault = double.fault(url.path)
            if not self._refused(fault):
                self._answer(url.path, parse_qs(url.query), fault)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fault = double.fault(self.path)
            if self._refused(fault):
                return
            text = double.reply(body)
            usage = {"prompt_tokens": sum(len(m["content"]) for m in body["messages"]) // 4, "completion_tokens": len(text) // 4}
            double.charged.append({"model": body["model"], "messages": body["messages"], **usage})
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self._send(json.dumps({"choices": [choice], "usage": usage}).encode(), fault)

        def _refused(self, fault: str) -> bool:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self._error(401, "Incorrect API key provided")
            elif fault == "silence":
                self.close_connection = True
            elif fault.isdigit():
                self._error(int(fault), "try later" if fault == "429" else "no")
            else:
                return False
            return True

        def _answer(self, path: str, query: dict[str, list[str]], fault: str) -> None:
            parts = path.removeprefix("/v1/").split("/")
            if parts == ["models"]:
                self._send(json.dumps({"object": "list", "data": double.models}).encode(), fault)
            elif parts[0] == "files" and parts[-1] == "content" and parts[1] in double.files:
                self._send(double.files[parts[1]], fault)
            elif parts[0] == "files" and parts[1] in double.files:
                about = {"id": parts[1], "bytes": len(double.files[parts[1]]), "filename": "data.jsonl", "purpose": "fine-tune"}
                self._send(json.dumps(about).encode(), fault)
            elif parts[:2] == ["fine_tuning", "jobs"] and len(parts) in (2, 4):
                rows = double.jobs if len(parts) == 2 else getattr(double, parts[3]).get(parts[2], [])
                self._send(json.dumps(self._page(rows, query)).encode(), fault)
            else:
                self._error(404, f"no {path}")

        def _page(self, rows: list[Json], query: dict[str, list[str]]) -> Json:
            after = query.get("after", [""])[0]
            begin = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
            size = min(double.page, int(query.get("limit", ["20"])[0]))
            return {"object": "list", "data": rows[begin : begin + size], "has_more": begin + size < len(rows)}

        def _error(self, status: int, message: str) -> None:
            data = json.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data.encode())

        def _send(self, data: bytes, fault: str) -> None:
            data = b"<html>" if fault == "garbage" else data
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if fault == "hold":
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                double.stand()
                data = data[len(data) // 2 :]
            with suppress(OSError):  # whoever asked may be gone
                self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            self.close_connection = fault == "cut"

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    return Handler
